//! Values with every field off its default, as they were written into the golden files. None of them is ever changed.

use std::time::Duration;

use bytes::Bytes;
use jobbers_core::policy::{Backoff, Jitter, OnStop, Retry};
use jobbers_core::record::{
    AttemptEnd, Cause, Edge, Head, JobState, LimitKey, MapPlan, PastAttempt, Priority, Progress, ReadyWhen, Revision, Rule, Span, Spec,
    Stop, Template, TracePair, Trail, Unknown,
};
use jobbers_core::{LimitName, QueueName, SmallText, TaskName, Timestamp, WorkerId};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + millis).unwrap()
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn worker() -> WorkerId {
    "01K5YXN1Q0000000000000000W".parse().unwrap()
}

fn key(limit: &str, value: &str) -> LimitKey {
    LimitKey { limit: LimitName::new(limit).unwrap(), value: SmallText::new(value) }
}

pub(crate) fn head_1() -> Head {
    Head {
        revision: Revision { count: 7, nonce: 0xfeed_beef_dead_cafe },
        state: JobState::Running,
        task: TaskName::new("mail.send_now").unwrap(),
        version: 2,
        queue: queue("mail.bulk-2"),
        priority: Priority::Urgent,
        born: 42,
        attempt: 3,
        owner: Some(worker()),
        started_at: Some(at(1)),
        asked: Some(Box::new(Stop {
            by: SmallText::new("ann"),
            why: SmallText::new("wrong list"),
            at: at(2),
            grace: Duration::from_secs(30),
            unknown: Unknown::default(),
        })),
        limits: [key("customer", "42"), key("queue:img", "é")].into_iter().collect(),
        parked_on: Some(Box::new(key("worker:mail.send@2", ""))),
        remaining: 4,
        succeeded: 5,
        failed: 6,
        skipped: 8,
        ready_when: ReadyWhen::Succeeded(2),
        wake_at: Some(at(15_000)),
        created_at: at(0),
        ended_at: Some(at(16_000)),
        unknown: Unknown::default(),
    }
}

pub(crate) fn spec_1() -> Spec {
    Spec {
        parameters: Bytes::from_static(b"{\"to\":\"ann@example.org\"}"),
        content_type: SmallText::new("application/json"),
        digest: *b"0123456789abcdef",
        retry: retry_1(7),
        attempt_timeout: Some(Duration::from_secs(60)),
        heartbeat_every: Some(Duration::from_millis(1_500)),
        on_stop: OnStop::Finish,
        deadline: Some(at(86_400_000)),
        expires_at: Some(at(3_600_000)),
        edges: vec![Edge {
            step: 9,
            queue: queue("later"),
            priority: Priority::Low,
            expires_at: Some(at(7_200_000)),
            unknown: Unknown::default(),
        }],
        parents: vec![Span { first: 2, count: 5_000, unknown: Unknown::default() }],
        rule: Rule::AllEnded,
        next_step: 1 << 31,
        step_room: 256,
        trace: vec![TracePair {
            name: SmallText::new("traceparent"),
            value: SmallText::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            unknown: Unknown::default(),
        }],
        map: Some(Box::new(MapPlan {
            item: Template {
                task: TaskName::new("page.index").unwrap(),
                version: 4,
                queue: queue("pages"),
                priority: Priority::High,
                retry: retry_1(9),
                attempt_timeout: Some(Duration::from_secs(5)),
                heartbeat_every: Some(Duration::from_secs(1)),
                on_stop: OnStop::Fail,
                unknown: Unknown::default(),
            },
            join_queue: queue("joins"),
            join_priority: Priority::Urgent,
            cursor: 70_000_000_000,
            window: 1_000,
            unknown: Unknown::default(),
        })),
        unknown: Unknown::default(),
    }
}

/// Parameters of another content type than JSON: `{"to":"ann"}` in MessagePack.
pub(crate) fn spec_2() -> Spec {
    Spec { parameters: Bytes::from_static(b"\x81\xa2to\xa3ann"), content_type: SmallText::new("application/vnd.msgpack"), ..spec_1() }
}

fn retry_1(failures_max: u32) -> Retry {
    Retry {
        backoff: Backoff::Linear,
        base: Duration::from_millis(250),
        cap: Duration::from_secs(30),
        jitter: Jitter::Half,
        failures_max,
        losses_max: 4,
    }
}

pub(crate) fn trail_1() -> Trail {
    let attempt = |attempt, how| PastAttempt {
        attempt,
        worker: Some(worker()),
        started_at: Some(at(100)),
        ended_at: at(200),
        how,
        errors: vec![SmallText::new("no route to host"), SmallText::new("cable cut")],
        step: SmallText::new("resizing 3/9"),
        unknown: Unknown::default(),
    };
    let hows = [
        AttemptEnd::Failed,
        AttemptEnd::Panicked,
        AttemptEnd::TimedOut,
        AttemptEnd::Lost,
        AttemptEnd::Cancelled,
        AttemptEnd::Snoozed,
        AttemptEnd::HandedBack,
    ];
    Trail {
        failures: 3,
        losses: 1,
        waits: 2,
        cause: Some(Cause::NotRetryable),
        why: SmallText::new("no such address"),
        attempts: (1..).zip(hows).map(|(number, how)| attempt(number, how)).collect(),
        forgotten: 5,
        unknown: Unknown::default(),
    }
}

pub(crate) fn progress_1() -> Progress {
    Progress {
        attempt: 3,
        step: SmallText::new("page 17 of 40"),
        step_at: Some(at(300)),
        permille: Some(425),
        alive_at: Some(at(400)),
        unknown: Unknown::default(),
    }
}
