//! The attribute `#[task(..)]` of Jobbers.
//!
//! It is sugar: what it writes is a constant of type `Task` and a call of `Worker::task`, in a type with the name of the function. The
//! crate `jobbers` re-exports it; see there.

mod duration;
mod expand;
mod function;
mod keys;
mod names;

use proc_macro::TokenStream;

/// Makes a task of a function: `#[task(name = "mail.send")]`.
///
/// The function stays what it is. Beside it comes a type with its name, which has
/// - `TASK`, the handle of the task: `Task<P, O>`, of the function's last argument and its `Ok`,
/// - `submit(&client, &parameters)`, short for `client.submit(TASK, &parameters)`,
///
/// and which a worker takes whole: `.register::<send_mail>()` is short for `.task(send_mail::TASK, send_mail)`.
///
/// | key | says | without it |
/// |---|---|---|
/// | `name = "mail.send"` | the task's name; has to be there | |
/// | `version = 2` | its version | 1 |
/// | `queue = "mail"` | the queue of its jobs | `default` |
/// | `priority = Priority::High` | the level there | normal |
/// | `codec = "msgpack"` | how parameters and outputs are written: `json`, or with their features `msgpack` or `bincode` | `json` |
/// | `retry = Retry::none()` | when to try again: any constant expression | `Retry::DEFAULT` |
/// | `timeout = "30s"` | how long an attempt may take | no limit |
/// | `heartbeat_every = "10s"` | how often it has to give a sign of life | none is asked for |
/// | `on_stop = OnStop::Finish` | what a worker that stops does with it | it is handed back |
/// | `deadline_after = "1d"` | when a job gives up, whatever it is doing | never |
/// | `expires_after = "1h"` | when a job gives up if no attempt has started | never |
/// | `blocking` | the function is not async: each attempt gets a thread | it is async |
/// | `crate = my::jobbers` | where the crate is | `::jobbers` |
///
/// Times are a whole number and a unit, or several: `ms`, `s`, `min`, `h`, `d`; `"1h 30min"`.
#[proc_macro_attribute]
pub fn task(keys: TokenStream, function: TokenStream) -> TokenStream {
    expand::task(keys.into(), function.into()).into()
}
