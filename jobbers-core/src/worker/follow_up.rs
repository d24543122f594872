//! Jobs that a handler adds to its run.

use serde::Serialize;

use crate::client::current_trace;
use crate::error::Result;
use crate::id::{JobId, SmallText};
use crate::machine::Submission;
use crate::record::{ReadyWhen, Spec, digest};
use crate::task::{CheckedTask, TaskDef, payload};
use crate::time::Timestamp;

/// A job of `parent`'s run; its step is chosen by the commit that ends the attempt.
///
/// # Errors
/// As [`TaskDef::checked`] and [`payload::encode_parameters`].
pub(super) fn follow_up<P: Serialize>(parent: JobId, def: &TaskDef, parameters: &P, now: Timestamp) -> Result<Submission> {
    let CheckedTask { task, queue } = def.checked()?;
    let parameters = payload::encode_parameters(def.codec, def.name, parameters)?;
    let version = def.version.to_be_bytes();
    let content: [&[u8]; 4] = [task.as_str().as_bytes(), &version, queue.as_str().as_bytes(), &parameters];
    let spec = Spec {
        digest: digest(&content),
        content_type: SmallText::new(def.codec.content_type()),
        retry: def.retry,
        attempt_timeout: def.attempt_timeout,
        heartbeat_every: def.heartbeat_every,
        on_stop: def.on_stop,
        deadline: def.deadline_after.map(|after| now + after),
        expires_at: def.expires_after.map(|after| now + after),
        parameters,
        trace: current_trace(),
        ..Spec::default()
    };
    Ok(Submission {
        id: parent,
        task,
        version: def.version,
        queue,
        priority: def.priority,
        limits: Vec::new(),
        run_at: None,
        remaining: 0,
        ready_when: ReadyWhen::AllEnded,
        spec,
    })
}
