//! Jobs whose parameters and outputs are not JSON, or no longer.

use super::*;
use crate::id::{QueueName, RunId, SmallText, TaskName};
use crate::machine::{self, Submission};
use crate::record::{AttemptEnd, Cause, Priority, ReadyWhen, Spec};
use crate::task::Codec;
use crate::worker::{Ctx, JobError, MapEnd, MapPage};

/// The codecs of this build.
const CODECS: &[Codec] = &[
    Codec::Json,
    #[cfg(feature = "msgpack")]
    Codec::Msgpack,
    #[cfg(feature = "bincode")]
    Codec::Bincode,
];

const PAIR: Task<(String, Option<u32>), Vec<u32>> = Task::new("pair");

async fn pair((text, number): (String, Option<u32>)) -> Result<Vec<u32>, JobError> {
    Ok(text.chars().map(u32::from).chain(number).collect())
}

/// A job of [`PAIR`] whose record says that its parameters are something.
async fn submit_as(backend: &Backend, content_type: &str, parameters: &'static [u8]) -> JobId {
    let id = JobId::from(RunId::derived(&[content_type]));
    let spec = Spec { parameters: parameters.into(), content_type: SmallText::new(content_type), ..Spec::default() };
    let submission = Submission {
        id,
        task: TaskName::new("pair").unwrap(),
        version: 1,
        queue: QueueName::default(),
        priority: Priority::Normal,
        limits: Vec::new(),
        run_at: None,
        remaining: 0,
        ready_when: ReadyWhen::AllEnded,
        spec,
    };
    let commit = machine::submit(&submission, None, &crate::worker::moment(backend));
    backend.store().commit(&[commit]).await.remove(0).unwrap();
    id
}

#[tokio::test]
async fn parameters_and_output_of_every_codec_arrive_and_the_record_says_what_they_are() {
    for codec in CODECS {
        let backend = memory::open();
        let task = PAIR.codec(*codec);
        let worker = worker().task(task, pair).start(&backend).await.unwrap();
        let job = Client::new(&backend).submit(task, &("a".to_owned(), Some(7))).await.unwrap();
        assert_eq!(job.output_within(PATIENCE).await.unwrap(), [97, 7]);
        let view = job.record().await.unwrap();
        assert_eq!((view.parameters.content_type(), view.output.content_type()), (codec.content_type(), codec.content_type()));
        assert_eq!(view.output.decode::<Vec<u32>>().unwrap(), [97, 7]);
        stop(worker).await;
    }
}

#[tokio::test]
async fn a_job_that_was_submitted_before_its_task_changed_its_codec_still_runs() {
    for (before, after) in CODECS.iter().flat_map(|before| CODECS.iter().map(move |after| (*before, *after))) {
        let backend = memory::open();
        let job = Client::new(&backend).submit(PAIR.codec(before), &("a".to_owned(), None)).await.unwrap();
        let worker = worker().task(PAIR.codec(after), pair).start(&backend).await.unwrap();
        assert_eq!(job.output_within(PATIENCE).await.unwrap(), [97], "{before:?}, {after:?}");
        assert_eq!(job.record().await.unwrap().output.content_type(), before.content_type());
        stop(worker).await;
    }
}

#[tokio::test]
async fn a_content_type_that_this_build_does_not_know_is_dead_at_once() {
    let backend = memory::open();
    let id = submit_as(&backend, "application/x-newer", b"?").await;
    let worker = worker().task(PAIR, pair).start(&backend).await.unwrap();
    let view = ended(&backend, id).await;
    assert_eq!((view.state, view.cause, view.attempt), (JobState::Dead, Some(Cause::NotRetryable), 1));
    assert_eq!(view.attempts[0].how, AttemptEnd::Failed);
    let errors: Vec<&str> = view.attempts[0].errors.iter().map(SmallText::as_str).collect();
    assert!(errors.join(" ").contains("application/x-newer") && errors.join(" ").contains("newer one"), "{errors:?}");
    assert!(serde_json::to_value(&view).unwrap()["parameters"]["bytes"] == 1);
    stop(worker).await;
}

#[cfg(not(all(feature = "msgpack", feature = "bincode")))]
#[tokio::test]
async fn a_codec_that_is_not_compiled_in_names_the_feature_to_switch_on() {
    let backend = memory::open();
    let (content_type, feature) = match cfg!(feature = "msgpack") {
        true => ("application/x-bincode2", "`bincode`"),
        false => ("application/vnd.msgpack", "`msgpack`"),
    };
    let id = submit_as(&backend, content_type, b"?").await;
    let worker = worker().task(PAIR, pair).start(&backend).await.unwrap();
    let view = ended(&backend, id).await;
    assert_eq!((view.state, view.attempt), (JobState::Dead, 1));
    let errors: Vec<&str> = view.attempts[0].errors.iter().map(SmallText::as_str).collect();
    assert!(errors.join(" ").contains(feature), "{errors:?}");
    stop(worker).await;
}

#[tokio::test]
async fn items_of_a_map_are_json_whatever_the_codec_of_their_task_is() {
    for codec in CODECS {
        const ITEMS: Task<u32> = Task::new("items");
        const ITEM: Task<u32, u32> = Task::new("item");
        const SUM: Task<u32, u32> = Task::new("sum");
        let backend = memory::open();
        let (items, item, sum) = (ITEMS.codec(*codec), ITEM.codec(*codec), SUM.codec(*codec));
        let page = async |_: Ctx, most: u32, from: u64, _: usize| {
            let items: Vec<u32> = (from as u32..most).collect();
            Ok::<_, JobError>(MapPage { items, last: MapEnd::Last })
        };
        let add = async |ctx: Ctx, more: u32| {
            let (mut parents, mut sum) = (ctx.parents(), more);
            while let Some(page) = parents.next_page().await? {
                for parent in page {
                    sum += parent.output::<u32>()?.unwrap_or_default();
                }
            }
            Ok::<_, JobError>(sum)
        };
        let worker = worker().map_source(items, page).task(item, async |n: u32| Ok::<_, JobError>(n * 10)).task(sum, add);
        let worker = worker.start(&backend).await.unwrap();
        let run = Client::new(&backend).map_join_from(items, &3, item, sum, &1).await.unwrap();
        assert_eq!(output::<u32>(&backend, JobId::new(run.run(), 1)).await, 31);
        let of = async |step| stored(&backend, JobId::new(run.run(), step)).await.spec.content_type;
        assert_eq!((of(0).await.as_str(), of(1).await.as_str()), (codec.content_type(), codec.content_type()));
        assert_eq!(of(2).await.as_str(), Codec::Json.content_type());
        assert_eq!(output::<u64>(&backend, run.run()).await, 3);
        stop(worker).await;
    }
}

#[tokio::test]
async fn a_follow_up_is_written_by_the_codec_of_its_own_task() {
    for codec in CODECS {
        const LAST: Task<(), u32> = Task::new("last");
        let (backend, last) = (memory::open(), LAST.codec(*codec));
        let first = move |ctx: Ctx, text: String| async move { ctx.then(last, &()).map(|()| text) };
        let worker = worker().task(ECHO, first).task(last, async |()| Ok::<_, JobError>(5));
        let worker = worker.start(&backend).await.unwrap();
        let job = Client::new(&backend).submit(ECHO, &"a".to_owned()).await.unwrap();
        assert_eq!(job.output_within(PATIENCE).await.unwrap(), "a");
        let then = JobId::new(job.id().run, 1);
        assert_eq!(output::<u32>(&backend, then).await, 5);
        assert_eq!(stored(&backend, then).await.spec.content_type.as_str(), codec.content_type());
        stop(worker).await;
    }
}
