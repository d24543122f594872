//! Lengths of time as text: `30s`, `1h 30min`.

/// Units, in milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The milliseconds that `text` says, or what is wrong with it.
pub(crate) fn millis(text: &str) -> Result<u64, String> {
    let wrong =
        |what: &str| format!("{text:?} is no length of time: {what}; write it as \"500ms\", \"30s\", \"10min\", \"2h\" or \"1h 30min\"");
    let mut rest = text.trim_start();
    let mut sum = 0_u64;
    if rest.is_empty() {
        return Err(wrong("it is empty"));
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = rest.split_at(digits);
        if number.is_empty() {
            return Err(wrong("a whole number has to come first"));
        }
        let behind = behind.trim_start();
        let letters = behind.len() - behind.trim_start_matches(|c: char| !c.is_ascii_digit() && !c.is_whitespace()).len();
        let (unit, behind) = behind.split_at(letters);
        if unit.is_empty() {
            return Err(wrong(&format!("{number} has no unit")));
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(wrong(&format!("{unit:?} is no unit")));
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        sum = part.and_then(|part| sum.checked_add(part)).ok_or_else(|| wrong("it is too long"))?;
        rest = behind.trim_start();
    }
    if sum == 0 { Err(wrong("it is zero")) } else { Ok(sum) }
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn numbers_with_units_are_added() {
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis(" 1h 30 min "), Ok(5_400_000));
        assert_eq!(millis("1d2h"), Ok(93_600_000));
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "it is empty"),
            ("30", "30 has no unit"),
            ("30 seconds", "\"seconds\" is no unit"),
            ("1.5h", "\".\" is no unit"),
            ("s", "a whole number"),
            ("-3s", "a whole number"),
            ("0s", "it is zero"),
            ("99999999999999999999s", "too long"),
            ("999999999999999999d", "too long"),
        ] {
            let error = millis(text).unwrap_err();
            assert!(error.contains(why) && error.contains("\"30s\""), "{text}: {error}");
        }
    }
}
