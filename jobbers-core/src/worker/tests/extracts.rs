//! What handlers take beside their parameters.

use super::*;
use crate::error::ErrorKind;
use crate::id::{RunId, WorkerId};
use crate::worker::{Attempt, Ctx, Fence, FromContext, JobError, Needs, State};

#[derive(Clone)]
struct Greeting(&'static str);

async fn greet(State(greeting): State<Greeting>, Attempt(attempt): Attempt, name: String) -> Result<String, JobError> {
    Ok(format!("{} {name} {attempt}", greeting.0))
}

async fn all(ctx: Ctx, id: JobId, run: RunId, worker: WorkerId, fence: Fence, _: String) -> Result<String, JobError> {
    assert_eq!((ctx.id(), ctx.run(), ctx.worker_id(), ctx.fence()), (id, run, worker, fence));
    Ok(id.to_string())
}

fn shout(State(greeting): State<Greeting>, name: String) -> Result<String, JobError> {
    Ok(format!("{} {name}", greeting.0).to_uppercase())
}

const ALL: Task<String, String> = Task::new("all");
const SHOUT: Task<String, String> = Task::new("shout");

#[tokio::test]
async fn handlers_take_what_they_name_and_their_parameters_last() {
    let backend = memory::open();
    let worker = worker().state(Greeting("hello")).state(7_u8).task(ECHO, greet).task(ALL, all).blocking(SHOUT, shout);
    let worker = worker.start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let job = |task| client.submit(task, &"anna".to_owned());
    let (first, second, third) = (job(ECHO).await.unwrap(), job(ALL).await.unwrap(), job(SHOUT).await.unwrap());
    assert_eq!(output::<String>(&backend, first.id()).await, "hello anna 1");
    assert_eq!(output::<String>(&backend, second.id()).await, second.id().to_string());
    assert_eq!(output::<String>(&backend, third.id()).await, "HELLO ANNA");
    stop(worker).await;
}

#[tokio::test]
async fn a_worker_without_a_state_that_a_handler_needs_does_not_start() {
    let cases = [
        (worker().task(ECHO, greet), "the handler of echo@1 needs a state of type"),
        (worker().state("hello").blocking(SHOUT, shout), "Greeting, which the worker does not have; add it: .state(value)"),
        (worker().state(1_u8).state(2_u8).task(ECHO, echo), "two states of type u8"),
    ];
    for (worker, message) in cases {
        let error = worker.start(&memory::open()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// One of a handler's own, which refuses the first attempt.
struct Second;

impl FromContext for Second {
    fn needs(needs: &mut Needs) {
        needs.state::<Greeting>();
    }

    fn from_context(ctx: &Ctx) -> Result<Second, JobError> {
        assert_eq!(ctx.state::<Greeting>().unwrap().0, "hello");
        if ctx.attempt() == 1 { Err(JobError::retry_after(Duration::ZERO, "not at the first")) } else { Ok(Second) }
    }
}

async fn patient(_: Second, name: String) -> Result<String, JobError> {
    Ok(name)
}

#[tokio::test]
async fn an_argument_of_ones_own_names_its_needs_and_its_error_is_the_attempts() {
    let error = worker().task(ECHO, patient).start(&memory::open()).await.unwrap_err();
    assert!(error.to_string().contains("Greeting"), "{error}");
    let backend = memory::open();
    let worker = worker().state(Greeting("hello")).task(ECHO, patient).start(&backend).await.unwrap();
    let job = Client::new(&backend).submit(ECHO, &"anna".to_owned()).await.unwrap();
    let view = ended(&backend, job.id()).await;
    assert_eq!((view.state, view.attempt, view.attempts[0].errors[0].as_str()), (JobState::Succeeded, 2, "not at the first"));
    stop(worker).await;
}
