//! Assertions, and what they say when they fail.

use super::*;

#[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
struct Order {
    number: u32,
    lines: Vec<String>,
}

const ORDER: Task<Order> = Task::new("order.place").version(2);
const ORDER_BEFORE: Task<Order> = Task::new("order.place");

fn order(number: u32) -> Order {
    Order { number, lines: vec![text("a pen")] }
}

#[tokio::test]
async fn what_was_submitted_is_found_by_task_and_parameters_whatever_became_of_it() {
    let kit = Kit::new();
    let first = kit.client().submit(MAIL, &text("anna")).await.unwrap();
    kit.client().submit(MAIL, &text("anna")).delay(HOUR).await.unwrap();
    kit.client().submit(ORDER, &order(7)).queue("orders").await.unwrap();
    kit.run_for(mailer(), Duration::ZERO).await.unwrap();

    assert_eq!(kit.assert_submitted(MAIL, &text("anna")).id(), first.id());
    kit.assert_submitted_times(MAIL, 2);
    kit.assert_submitted(ORDER, &order(7));
    assert_eq!(kit.assert_submitted_where(ORDER, |order| order.lines.len() == 1).record().await.unwrap().queue.as_str(), "orders");
    kit.assert_not_submitted(ORDER_BEFORE);
    let orders = kit.submitted(ORDER);
    assert_eq!((&orders[0].parameters, orders[0].job.version), (&order(7), 2));
    let states: Vec<JobState> = kit.submitted(MAIL).iter().map(|mail| mail.job.state).collect();
    assert_eq!(states, [JobState::Succeeded, JobState::Scheduled]);
}

#[cfg(all(feature = "msgpack", feature = "bincode"))]
#[tokio::test]
async fn parameters_are_compared_whatever_they_are_written_as() {
    use crate::task::Codec;
    const MSGPACK: Task<Order> = Task::new("order.msgpack").codec(Codec::Msgpack);
    const BINCODE: Task<Order> = Task::new("order.bincode").codec(Codec::Bincode);
    let kit = Kit::new();
    for task in [MSGPACK, BINCODE] {
        kit.client().submit(task, &order(7)).await.unwrap();
        kit.assert_submitted(task, &order(7));
        assert_eq!(kit.submitted(task)[0].parameters, order(7));
        assert!(failure(|| kit.assert_submitted(task, &order(8))).contains("\"number\":8"));
    }
}

#[tokio::test]
async fn jobs_are_listed_in_the_order_of_their_submits() {
    let kit = Kit::new();
    kit.client().submit_all(MAIL, (0..1000).map(|n| format!("{n:03}"))).await;
    kit.advance(SECOND);
    kit.client().submit(MAIL, &text("last")).await.unwrap();
    let mails: Vec<String> = kit.submitted(MAIL).into_iter().map(|mail| mail.parameters).collect();
    assert_eq!(mails.len(), 1001);
    assert!(mails.is_sorted(), "{mails:?}");
}

#[tokio::test]
async fn a_failed_assertion_shows_what_was_submitted_instead() {
    let kit = Kit::new();
    let message = failure(|| kit.assert_submitted(ORDER, &order(7)));
    assert_eq!(message, "no job of order.place@2 was submitted with\n    {\"lines\":[\"a pen\"],\"number\":7}\nnothing was submitted");

    kit.client().submit_all(MAIL, ["anna", "ben"].map(text)).await;
    let message = failure(|| kit.assert_submitted(ORDER, &order(7)));
    assert!(message.ends_with("\nthere are jobs of other tasks only: mail.send@1 (2)"), "{message}");

    let other = kit.client().submit(ORDER, &order(8)).await.unwrap().id();
    kit.client().submit(ORDER_BEFORE, &order(7)).await.unwrap();
    let message = failure(|| kit.assert_submitted(ORDER, &order(7)));
    let instead = format!(
        "of that task there are:\n    {{\"lines\":[\"a pen\"],\"number\":8}}  (job {other}, ready, queue default)\n\
         and of other tasks: mail.send@1 (2), order.place@1 (1)"
    );
    assert!(message.ends_with(&instead), "{message}");
    assert!(failure(|| kit.assert_submitted_where(ORDER, |order| order.lines.is_empty())).ends_with(&instead));
    assert!(failure(|| kit.assert_submitted_times(ORDER, 2)).starts_with("1 jobs of order.place@2 were submitted, not 2\n"));
    assert!(failure(|| kit.assert_not_submitted(ORDER)).ends_with(&instead));
}

#[tokio::test]
async fn a_message_stays_short_however_much_was_submitted() {
    let kit = Kit::new();
    let long = "é".repeat(10_000);
    kit.client().submit_all(MAIL, (0..50).map(|n| format!("{long}{n}"))).await;
    let message = failure(|| kit.assert_submitted(MAIL, &text("anna")));
    assert!(message.contains("… (20003 bytes)") && message.contains("and 40 more"), "{message}");
    assert!(message.chars().count() < 5_000, "{}", message.chars().count());
}

#[tokio::test]
async fn a_wrong_state_is_explained() {
    let kit = Kit::new();
    let job = kit.client().submit(MAIL, &text("anna")).delay(HOUR).await.unwrap();
    kit.assert_state(job.id(), JobState::Scheduled);
    let message = failure(|| kit.assert_state(job.id(), JobState::Succeeded));
    assert!(
        message.starts_with(&format!("job {} is not succeeded:\njob {0} is scheduled: it was submitted to start at", job.id())),
        "{message}"
    );
    let other = Kit::new();
    assert!(failure(|| other.assert_state(job.id(), JobState::Ready)).contains("there is no job"));
}

#[tokio::test]
async fn parameters_of_another_type_are_named() {
    let kit = Kit::new();
    kit.client().submit(MAIL, &text("anna")).await.unwrap();
    const AS_NUMBER: Task<u32> = Task::new("mail.send");
    let message = failure(|| kit.submitted(AS_NUMBER));
    assert!(message.contains("mail.send@1, do not fit the task's type") && message.contains("invalid type: string"), "{message}");
}
