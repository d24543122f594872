//! Names of queues, tasks, limits and namespaces, and bounded text.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

use crate::error::{Error, ErrorKind, Result};

/// Whether `text` is dot-separated words of `a-z`, `0-9`, `-` (and `_` where `underscore`), in `most` bytes.
fn is_name(text: &str, most: usize, underscore: bool) -> bool {
    text.len() <= most
        && text.split('.').all(|word| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || (underscore && b == b'_'))
        })
}

// Short texts lie inline: the names of a busy queue are cloned by every thread for every job, and a shared count would be fought over.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks a name and makes it.
            ///
            /// # Errors
            /// [`ErrorKind::Invalid`] with the rule, if the text breaks it.
            pub fn new(text: &str) -> Result<$name> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    return Ok($name(SmolStr::new(text)));
                }
                let shown: String = text.chars().take(100).collect();
                Err(Error::new(ErrorKind::Invalid, concat!("name a ", $what), format!("{shown:?} is not allowed; {}", $rule)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<$name> {
                $name::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<$name> {
                $name::new(text)
            }
        }
    };
}

name! {
    /// Name of a queue: words of `a-z`, `0-9` and `-`, separated by dots, at most 80 bytes.
    ///
    /// ```
    /// use jobbers_core::QueueName;
    /// assert!(QueueName::new("mail.bulk-2").is_ok());
    /// assert!(QueueName::new("mail_bulk").is_err());
    /// ```
    QueueName, "queue", |text| is_name(text, 80, false), "words of a-z, 0-9 and '-', separated by dots, at most 80 bytes"
}
name! {
    /// Name of a task: words of `a-z`, `0-9`, `-` and `_`, separated by dots, at most 128 bytes.
    TaskName, "task", |text| is_name(text, 128, true), "words of a-z, 0-9, '-' and '_', separated by dots, at most 128 bytes"
}
name! {
    /// Prefix that isolates installations on one server; the rule of a queue's name.
    Namespace, "namespace", |text| is_name(text, 80, false), "words of a-z, 0-9 and '-', separated by dots, at most 80 bytes"
}
name! {
    /// Name of a limit, as `queue:img` or `customer`: printable ASCII without blanks, 1 to 180 bytes.
    LimitName, "limit", |text| (1..=180).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()), "printable ASCII without blanks, 1 to 180 bytes"
}

// Defaults exist for the decoder, which fills a head field by field.
impl Default for QueueName {
    /// The queue `default`.
    fn default() -> QueueName {
        QueueName(SmolStr::new_static("default"))
    }
}

impl Default for TaskName {
    /// The task `unnamed`, which no worker can register.
    fn default() -> TaskName {
        TaskName(SmolStr::new_static("unnamed"))
    }
}

/// Longest [`SmallText`], in bytes: such texts lie in heads, which every driver copies.
pub const SMALL_TEXT_BYTES_MAX: usize = 200;

/// Free text of at most [`SMALL_TEXT_BYTES_MAX`] bytes; what is longer is cut at a character.
///
/// ```
/// use jobbers_core::SmallText;
/// assert_eq!(SmallText::new(&"é".repeat(300)).as_str().len(), 200);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SmallText(SmolStr);

impl SmallText {
    /// Makes a text, cut to the bound.
    pub fn new(text: &str) -> SmallText {
        SmallText(SmolStr::new(&text[..text.cut_at(SMALL_TEXT_BYTES_MAX)]))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `str::floor_char_boundary` is stable only from Rust 1.91.
pub(crate) trait CharBoundary {
    fn cut_at(&self, at: usize) -> usize;
}

impl CharBoundary for str {
    fn cut_at(&self, at: usize) -> usize {
        if at >= self.len() {
            return self.len();
        }
        (0..=at).rev().find(|at| self.is_char_boundary(*at)).unwrap_or(0)
    }
}

impl fmt::Display for SmallText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SmallText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl From<&str> for SmallText {
    fn from(text: &str) -> SmallText {
        SmallText::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_break_the_rule_are_refused_with_the_rule() {
        for text in ["", ".", "..", "a..b", ".a", "a.", "a/b", "a b", "A", "é", "a_b", "\u{202e}a", &"a".repeat(81)] {
            assert!(QueueName::new(text).is_err(), "{text:?}");
        }
        assert!(TaskName::new("mail.send_now").is_ok());
        let error = TaskName::new("Mail").unwrap_err().to_string();
        assert!(error.contains("\"Mail\"") && error.contains("128"), "{error}");
    }
}
