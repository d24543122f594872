//! The rule of names, as the core has it; there it is checked again, for tasks that were written by hand.

/// Checks a name of dot-separated parts of lower-case letters, digits, `-`, and what `more` allows. The error says what is wrong.
fn check(what: &str, name: &str, more: &str, most: usize) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || more.contains(c);
    let example = if more.is_empty() { "mail.bulk" } else { "mail.send_all" };
    if name.is_empty() || name.len() > most || name.split('.').any(|part| part.is_empty() || !part.chars().all(fits)) {
        let extra = if more.is_empty() { "" } else { ", `_`" };
        return Err(format!(
            "{name:?} is no name of a {what}: it has 1 to {most} characters, a-z, 0-9, `-`{extra}, in parts between dots, as {example:?}"
        ));
    }
    Ok(())
}

/// Checks the name of a task.
pub(crate) fn task(name: &str) -> Result<(), String> {
    if name.starts_with("jobbers.") {
        return Err(format!("{name:?} is taken: names that start with \"jobbers.\" are the engine's own"));
    }
    check("task", name, "_", 128)
}

/// Checks the name of a queue.
pub(crate) fn queue(name: &str) -> Result<(), String> {
    check("queue", name, "", 80)
}

/// The variant of the codec with that name.
pub(crate) fn codec(name: &str) -> Result<&'static str, String> {
    match name {
        "json" => Ok("Json"),
        "msgpack" => Ok("Msgpack"),
        "bincode" => Ok("Bincode"),
        _ => Err(format!("{name:?} is no codec: there are \"json\", and \"msgpack\" and \"bincode\" with the features of these names")),
    }
}

#[cfg(test)]
mod tests {
    use super::{queue, task};

    #[test]
    fn names_follow_the_rule() {
        assert!(task("mail.send_all-2").is_ok() && queue("mail.bulk-2").is_ok());
        for bad in ["", "Mail", "mail..send", ".mail", "mail.", "mail send", "jobbers.map"] {
            assert!(task(bad).is_err(), "{bad}");
        }
        assert!(queue("no_underscore").unwrap_err().contains("name of a queue"));
        assert!(task(&"a".repeat(128)).is_ok() && task(&"a".repeat(129)).is_err());
    }
}
