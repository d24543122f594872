//! The kit as a test of a user's tasks uses it.

mod assertions;
mod attempts;
mod crashes;
mod runs;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::*;
use crate::error::ErrorKind;
use crate::policy::{Jitter, Retry};
use crate::record::JobState;
use crate::task::Task;
use crate::worker::{Ctx, JobError, Worker};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const MAIL: Task<String, String> = Task::new("mail.send").queue("mail");

async fn send(to: String) -> Result<String, JobError> {
    Ok(format!("sent to {to}"))
}

/// A worker that knows and serves what `MAIL` needs.
fn mailer() -> Worker {
    Worker::queues(["mail"]).task(MAIL, send)
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// The message of an assertion that fails.
fn failure<T>(assertion: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(assertion)) {
        Ok(_) => panic!("the assertion holds"),
        Err(panic) => *panic.downcast::<String>().expect("a message with arguments"),
    }
}
