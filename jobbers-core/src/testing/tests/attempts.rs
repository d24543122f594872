//! One handler, called as a function.

use super::*;
use crate::worker::{Attempt, FromContext, JobError};

const THANK: Task<String> = Task::new("mail.thank").version(3);

async fn resize(ctx: Ctx, images: u32) -> Result<u32, JobError> {
    for image in 1..=images {
        ctx.step(format!("image {image} of {images}"));
        ctx.progress(f64::from(image) / 4.0);
        if ctx.is_stopping() {
            return Err(JobError::hand_back());
        }
    }
    ctx.then(THANK, &format!("{images} images"))?;
    ctx.then(MAIL, &text("anna"))?;
    Ok(ctx.attempt())
}

#[tokio::test]
async fn a_handler_is_called_with_a_context_and_what_it_says_is_asked() {
    let kit = Kit::new();
    let attempt = kit.attempt().number(3).deadline_after(HOUR);
    assert_eq!((attempt.step(), attempt.share()), (String::new(), None));
    assert_eq!(attempt.ctx().time_left(), Some(HOUR));
    assert_eq!(resize(attempt.ctx(), 2).await.unwrap(), 3);
    assert_eq!((attempt.step().as_str(), attempt.share()), ("image 2 of 2", Some(0.5)));
    assert_eq!(attempt.follow_ups(THANK), ["2 images"]);
    assert_eq!(attempt.follow_ups(MAIL), ["anna"]);
    assert!(kit.heads().is_empty(), "nothing is stored");
}

#[tokio::test]
async fn a_handler_hears_that_it_is_cancelled_and_that_its_worker_stops() {
    let kit = Kit::new();
    let attempt = kit.attempt();
    let ctx = attempt.ctx();
    assert!(!ctx.is_cancelled() && !ctx.is_stopping());
    attempt.cancel("nobody wants the images any more");
    ctx.cancelled().await;
    assert!(!ctx.is_stopping());
    attempt.stop_worker();
    ctx.stopping().await;
    assert_eq!(resize(ctx, 2).await.unwrap_err().to_string(), "its worker stops");
    assert_eq!(attempt.step(), "image 1 of 2");
}

#[test]
fn what_a_handler_takes_can_be_made_of_the_context() {
    let attempt = Kit::new().attempt().number(2).state(7_u32).state("folder");
    let ctx = attempt.ctx();
    assert_eq!((ctx.state::<u32>(), ctx.state::<&'static str>(), ctx.state::<u64>()), (Some(&7), Some(&"folder"), None));
    assert_eq!(Attempt::from_context(&ctx).unwrap(), Attempt(2));
    assert_eq!(format!("{attempt:?}"), format!("LoneAttempt({}, attempt 2)", ctx.id()));
}
