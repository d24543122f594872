//! What went wrong at the server, as an error of the seam: which kind, whether the call may have been applied, and what to do.

use jobbers_core::{Error, ErrorKind};
use redis::{ErrorKind as Kind, RedisError, ServerErrorKind};

/// Where and at what something went wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) op: &'static str,
    /// The server, without credentials.
    pub(crate) location: &'a str,
}

/// The code of an answer that names none of the client's kinds.
fn code(error: &RedisError) -> &str {
    error.code().unwrap_or_default()
}

/// Reads a server's error. What the server refused it did not apply; a call whose answer never came may have been applied.
pub(crate) fn from_redis(at: At<'_>, error: &RedisError) -> Error {
    let At { op, location } = at;
    let text = error.to_string();
    let (kind, advice) = match (error.kind(), code(error)) {
        (Kind::Server(ServerErrorKind::BusyLoading), _) => (ErrorKind::Unavailable, "it is still loading its data"),
        (Kind::Server(ServerErrorKind::ReadOnly), _) => {
            (ErrorKind::Unavailable, "it is a read-only replica; name the primary, or wait until it is promoted")
        }
        (Kind::Server(ServerErrorKind::MasterDown), _) => (ErrorKind::Unavailable, "its primary is down"),
        (Kind::Server(ServerErrorKind::NoPerm), _) | (Kind::AuthenticationFailed, _) | (_, "NOAUTH" | "WRONGPASS") => {
            (ErrorKind::Invalid, "its user has not the right to; check name, password and its access list")
        }
        (_, "BUSY") => (ErrorKind::Unavailable, "somebody else's script runs there; end it with SCRIPT KILL"),
        (_, "OOM") => (ErrorKind::Full, "its memory is used up; raise maxmemory, or let workers empty the queues"),
        (_, "MISCONF") => (ErrorKind::Full, "it can not write to its disk, and refuses to change anything until it can"),
        (_, "NOREPLICAS") => (ErrorKind::Unavailable, "fewer replicas follow it than its min-replicas-to-write asks for"),
        (_, "WRONGTYPE") => (ErrorKind::Damaged, "a key of this namespace holds something that Jobbers has not written"),
        (Kind::InvalidClientConfig, _) => (ErrorKind::Invalid, "check the URL"),
        (Kind::Server(_) | Kind::Extension, _) => (ErrorKind::Internal, "it refused the call"),
        (Kind::Parse | Kind::UnexpectedReturnType, _) => (ErrorKind::Damaged, "it answered what no Redis answers; is it one?"),
        _ => (ErrorKind::Unavailable, "is it running, and can it be reached?"),
    };
    let error_out = Error::new(kind, op, format!("redis at {location}: {advice}")).with_source(text);
    let never_sent = error.is_connection_refusal();
    if kind == ErrorKind::Unavailable && !answered(error) && !never_sent { error_out.with_outcome_unknown() } else { error_out }
}

/// Whether the server answered, and thereby said that it did not apply the call.
pub(crate) fn answered(error: &RedisError) -> bool {
    matches!(error.kind(), Kind::Server(_) | Kind::Extension | Kind::AuthenticationFailed | Kind::InvalidClientConfig)
}

/// Reads an error that a script caught and returned.
pub(crate) fn from_script(at: At<'_>, text: &str) -> Error {
    let At { op, location } = at;
    let kind = if text.contains("WRONGTYPE") || text.contains("JOBBERSDAMAGED") { ErrorKind::Damaged } else { ErrorKind::Internal };
    let advice = match kind {
        ErrorKind::Damaged => "a key of this namespace holds something that this version of Jobbers has not written",
        _ => "a script failed",
    };
    Error::new(kind, op, format!("redis at {location}: {advice}")).with_source(text.to_owned())
}

/// The server answered something else than its script returns.
pub(crate) fn unexpected(at: At<'_>, what: &str) -> Error {
    Error::new(
        ErrorKind::Damaged,
        at.op,
        format!("redis at {}: it answered without {what}; is another version of Jobbers at work?", at.location),
    )
}

/// The same trouble for another caller of one shared call.
pub(crate) fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.op().to_owned(), error.context().to_owned());
    let copy = match std::error::Error::source(error) {
        Some(source) => copy.with_source(source.to_string()),
        None => copy,
    };
    if error.outcome_unknown() { copy.with_outcome_unknown() } else { copy }
}
