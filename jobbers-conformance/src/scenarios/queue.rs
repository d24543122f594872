//! The queue: it carries ids.

use std::task::Poll;
use std::time::Duration;

use jobbers_core::driver::{Capability, Delivery, Dispatch, Pull};
use jobbers_core::record::{JobState, Priority};

use crate::kit::{at, delivery, delivery_in_front, pull, queue};
use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

/// What was pushed is pulled, by somebody, until it is acked.
async fn what_was_pushed_is_pulled(stage: Stage) -> Outcome {
    let pushed: Vec<Delivery> = (0..20).map(|_| delivery(stage.id(), "mail")).collect();
    stage.push(&pushed).await?;
    let pulled = stage.pull(&pull(&["mail"], at(0)), 20).await?;
    for delivery in &pushed {
        let found = pulled.iter().find(|(one, _)| one.id == delivery.id);
        ensure_eq!(found.map(|(one, _)| (&one.queue, one.priority)), Some((&delivery.queue, delivery.priority)), "the delivery");
    }
    Ok(())
}

/// A queue delivers each pushed delivery at least once until it is acked.
async fn a_delivery_that_nobody_acks_comes_again_and_again(stage: Stage) -> Outcome {
    let id = stage.id();
    stage.push(&[delivery(id, "mail")]).await?;
    stage.pull(&pull(&["mail"], at(0)), 1).await?;
    for minute in 1..5 {
        let items = stage.pull_back(&pull(&["mail"], at(60 * minute)), 1).await?;
        ensure_eq!(items[0].0.id, id, "the delivery in minute {minute}");
    }
    Ok(())
}

/// A delivery at the front comes before those that wait; a queue that can not do that adds it at the back.
async fn a_delivery_at_the_front_comes_first(stage: Stage) -> Outcome {
    let (first, second, urgent) = (stage.id(), stage.id(), stage.id());
    stage.push(&[delivery(first, "mail"), delivery(second, "mail")]).await?;
    stage.push(&[delivery_in_front(urgent, "mail")]).await?;
    let items = stage.pull(&pull(&["mail"], at(0)), 3).await?;
    let ids: Vec<_> = items.iter().map(|(delivery, _)| delivery.id).collect();
    if stage.backend.capabilities().has(Capability::Fifo) {
        ensure_eq!(ids, vec![urgent, first, second], "the order");
    }
    ensure!(ids.contains(&urgent), "the delivery at the front came not at all");
    Ok(())
}

/// Deliveries of one priority are pulled in the order of their pushes.
async fn deliveries_come_in_the_order_of_their_pushes(stage: Stage) -> Outcome {
    stage.needs(Capability::Fifo)?;
    let ids: Vec<_> = (0..30).map(|_| stage.id()).collect();
    for some in ids.chunks(7) {
        stage.push(&some.iter().map(|id| delivery(*id, "mail")).collect::<Vec<_>>()).await?;
    }
    let mut seen = Vec::new();
    while seen.len() < ids.len() {
        let due = 8.min(ids.len() - seen.len());
        let items = stage.pull(&Pull { max: 8, ..pull(&["mail"], at(0)) }, due).await?;
        seen.extend(items.iter().map(|(delivery, _)| delivery.id));
    }
    ensure_eq!(seen, ids, "the order");
    Ok(())
}

/// A delivery of a more urgent priority is pulled before one of a less urgent one that was there first.
async fn urgent_deliveries_come_before_others(stage: Stage) -> Outcome {
    stage.needs(Capability::Priority)?;
    let wanted: Vec<_> = Priority::ALL.iter().map(|priority| Delivery { priority: *priority, ..delivery(stage.id(), "mail") }).collect();
    for delivery in wanted.iter().rev() {
        stage.push(std::slice::from_ref(delivery)).await?;
    }
    stage.settle(&["mail"]).await?;
    let items = stage.pull(&pull(&["mail"], at(0)), 4).await?;
    let seen: Vec<_> = items.iter().map(|(delivery, _)| (delivery.id, delivery.priority)).collect();
    ensure_eq!(seen, wanted.iter().map(|one| (one.id, one.priority)).collect::<Vec<_>>(), "the order");
    Ok(())
}

/// A delivery of a more urgent priority is pulled before one of a less urgent one that was there first: where a queue does not claim that, it
/// delivers all of them all the same.
async fn a_queue_without_priorities_delivers_all_of_them(stage: Stage) -> Outcome {
    stage.lacks(Capability::Priority)?;
    let wanted: Vec<_> = Priority::ALL.iter().map(|priority| Delivery { priority: *priority, ..delivery(stage.id(), "mail") }).collect();
    stage.push(&wanted).await?;
    stage.pull(&pull(&["mail"], at(0)), 4).await.map(drop)
}

/// On an error any part of the deliveries may have been added: sending them again loses none.
async fn a_push_that_failed_may_be_sent_again(stage: Stage) -> Outcome {
    let pushed: Vec<_> = (0..10).map(|_| delivery(stage.id(), "mail")).collect();
    let cut = stage.fixture.cut(&stage.backend).await?.ok_or_else(|| crate::Broken::skipped("its fixture can not cut it off"))?;
    let error = stage.queue().push(&pushed).await.err();
    ensure!(error.is_some_and(|error| error.is_transient()), "a push over a cut connection has to fail, and to say that trying again helps");
    drop(cut);
    let mut tries = 0;
    while let Err(error) = stage.queue().push(&pushed).await {
        tries += 1;
        ensure!(tries < 100, "10 s after the cut has healed a push still fails: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stage.settle(&["mail"]).await?;
    let items = stage.queue().pull(&pull(&["mail"], at(0))).await?.items;
    for delivery in &pushed {
        ensure!(items.iter().any(|(one, _)| one.id == delivery.id), "a delivery is lost");
    }
    Ok(())
}

/// At most `pull.max` deliveries are returned, and of each queue at most the number named with it.
async fn a_pull_returns_no_more_than_it_asks_for(stage: Stage) -> Outcome {
    let pushed: Vec<_> = (0..20).map(|n| delivery(stage.id(), if n % 2 == 0 { "mail" } else { "image" })).collect();
    stage.push(&pushed).await?;
    stage.settle(&["mail", "image"]).await?;
    let few = Pull { queues: vec![(queue("mail"), 3), (queue("image"), 100)], max: 7, ..pull(&[], at(0)) };
    let items = stage.pull(&few, 7).await?;
    let of_mail = items.iter().filter(|(delivery, _)| delivery.queue == queue("mail")).count();
    ensure!(of_mail <= 3, "{of_mail} of 3 came from mail");
    Ok(())
}

/// Queues are looked at in the order of `pull.queues`.
async fn queues_are_pulled_in_the_order_asked(stage: Stage) -> Outcome {
    stage.push(&[delivery(stage.id(), "image"), delivery(stage.id(), "mail"), delivery(stage.id(), "zip")]).await?;
    stage.settle(&["zip", "mail", "image"]).await?;
    let items = stage.pull(&pull(&["zip", "mail", "image"], at(0)), 3).await?;
    let seen: Vec<_> = items.iter().map(|(delivery, _)| delivery.queue.to_string()).collect();
    ensure_eq!(seen, ["zip", "mail", "image"], "the order of the queues");
    Ok(())
}

/// Nothing of another queue is returned, also where one name starts with the other.
async fn a_queue_serves_no_other_queue(stage: Stage) -> Outcome {
    stage.push(&[delivery(stage.id(), "mail.bulk"), delivery(stage.id(), "mail-2"), delivery(stage.id(), "mai")]).await?;
    stage.pull_nothing(&pull(&["mail"], at(0))).await
}

/// A delivery that was pulled is hidden from other pulls until `pull.back_at`.
async fn a_pulled_delivery_is_hidden_until_it_comes_back(stage: Stage) -> Outcome {
    stage.push(&[delivery(stage.id(), "mail")]).await?;
    stage.pull(&pull(&["mail"], at(0)), 1).await?;
    stage.pull_nothing(&pull(&["mail"], at(0))).await?;
    stage.pull_nothing(&pull(&["mail"], at(60) - Duration::from_millis(1))).await
}

/// What is not acked by `pull.back_at` comes back with the first pull whose `now` is not earlier.
async fn what_is_not_acked_comes_back_in_time(stage: Stage) -> Outcome {
    let id = stage.id();
    stage.push(&[delivery(id, "mail")]).await?;
    stage.pull(&pull(&["mail"], at(0)), 1).await?;
    let items = stage.pull_back(&pull(&["mail"], at(60)), 1).await?;
    ensure_eq!(items[0].0.id, id, "what came back");
    Ok(())
}

/// What is not acked by `pull.back_at` comes back: each time, with a receipt that settles it.
async fn what_came_back_is_settled_by_its_new_receipt(stage: Stage) -> Outcome {
    stage.push(&[delivery(stage.id(), "mail")]).await?;
    stage.pull(&pull(&["mail"], at(0)), 1).await?;
    let items = stage.pull_back(&pull(&["mail"], at(60)), 1).await?;
    stage.queue().ack(&[items[0].1.clone()]).await?;
    stage.pull_nothing(&pull(&["mail"], at(600))).await
}

/// An empty queue, and one that nobody has pushed to, gives nothing and no error.
async fn an_empty_queue_gives_nothing(stage: Stage) -> Outcome {
    stage.pull_nothing(&pull(&["nobody"], at(0))).await?;
    stage.push(&[delivery(stage.id(), "mail")]).await?;
    let items = stage.pull(&pull(&["mail"], at(0)), 1).await?;
    stage.queue().ack(&[items[0].1.clone()]).await?;
    stage.pull_nothing(&pull(&["mail", "nobody"], at(600))).await
}

/// `more` says that something was left; `partial` that a part of the queue could not be reached.
async fn a_pull_says_whether_something_was_left(stage: Stage) -> Outcome {
    stage.push(&(0..5).map(|_| delivery(stage.id(), "mail")).collect::<Vec<_>>()).await?;
    stage.settle(&["mail"]).await?;
    let some = stage.queue().pull(&Pull { max: 3, ..pull(&["mail"], at(0)) }).await?;
    ensure!(some.more && !some.partial, "3 of 5 were pulled: more is {}, partial is {}", some.more, some.partial);
    let rest = stage.queue().pull(&pull(&["mail"], at(0))).await?;
    ensure_eq!((some.items.len() + rest.items.len(), rest.more), (5, false), "all of them, and nothing left");
    Ok(())
}

/// Polls the call so many times, as it asks to be, and drops it with whatever it has done until then, or with its answer.
async fn poll_and_drop(call: impl Future, polls: u32) {
    let (mut call, mut left) = (std::pin::pin!(call), polls);
    std::future::poll_fn(|context| {
        left -= 1;
        if call.as_mut().poll(context).is_ready() || left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Cancel safe: what a dropped future had taken comes back, as after a crash.
async fn what_a_dropped_pull_had_taken_comes_back(stage: Stage) -> Outcome {
    for polls in 1..8 {
        let name = format!("mail-{polls}");
        let ids: Vec<_> = (0..5).map(|_| stage.id()).collect();
        stage.push(&ids.iter().map(|id| delivery(*id, &name)).collect::<Vec<_>>()).await?;
        stage.settle(&[&name]).await?;
        let once = pull(&[&name], at(0));
        poll_and_drop(stage.queue().pull(&once), polls).await;
        let mut seen: Vec<_> = stage.pull_back(&pull(&[&name], at(60)), 5).await?.iter().map(|(delivery, _)| delivery.id).collect();
        seen.sort();
        ensure_eq!(seen, ids, "what came back after {polls} polls");
    }
    Ok(())
}

/// It returns at once, or soon, where something waits in one of `queues`, or is pushed there.
async fn a_listener_hears_of_a_push(stage: Stage) -> Outcome {
    let (ear, names) = (stage.clone(), [queue("image"), queue("mail")]);
    let listening = tokio::spawn(async move { ear.queue().listen(&names, Duration::from_secs(600)).await });
    // A push that came before the call was counts as something that waits, so this test needs no order between the two.
    stage.push(&[delivery(stage.id(), "mail")]).await?;
    let heard = tokio::time::timeout(Duration::from_secs(20) + stage.fixture.first_pull_within(), listening).await;
    ensure!(matches!(heard, Ok(Ok(Ok(())))), "20 s after a push the listener had not returned: {heard:?}");
    Ok(())
}

/// It returns at once, or soon, where something waits in one of `queues`: also what was pushed long before.
async fn a_listener_returns_where_something_waits(stage: Stage) -> Outcome {
    stage.push(&[delivery(stage.id(), "mail")]).await?;
    stage.settle(&["mail"]).await?;
    let heard = tokio::time::timeout(Duration::from_secs(20), stage.queue().listen(&[queue("mail")], Duration::from_secs(600))).await;
    ensure!(matches!(heard, Ok(Ok(()))), "a delivery waits, and the listener did not return within 20 s: {heard:?}");
    Ok(())
}

/// It returns at the latest after `most`.
async fn a_listener_returns_after_its_time(stage: Stage) -> Outcome {
    let heard = tokio::time::timeout(Duration::from_secs(20), stage.queue().listen(&[queue("mail")], Duration::from_millis(30))).await;
    ensure!(matches!(heard, Ok(Ok(()))), "a listener that may wait for 30 ms had not returned after 20 s: {heard:?}");
    Ok(())
}

/// It is a hint, wrong both ways: only a pull tells. Cancel safe: listening takes nothing, and neither does a listener that is dropped.
async fn listening_takes_nothing(stage: Stage) -> Outcome {
    stage.push(&[delivery(stage.id(), "mail")]).await?;
    stage.queue().listen(&[queue("mail")], Duration::from_millis(10)).await?;
    for polls in 1..4 {
        poll_and_drop(stage.queue().listen(&[queue("mail")], Duration::from_secs(600)), polls).await;
    }
    stage.pull(&pull(&["mail"], at(0)), 1).await.map(drop)
}

/// What is acked never comes back.
async fn what_is_acked_never_comes_back(stage: Stage) -> Outcome {
    stage.push(&(0..10).map(|_| delivery(stage.id(), "mail")).collect::<Vec<_>>()).await?;
    let items = stage.pull(&pull(&["mail"], at(0)), 10).await?;
    let (acked, kept) = items.split_at(6);
    stage.queue().ack(&acked.iter().map(|(_, receipt)| receipt.clone()).collect::<Vec<_>>()).await?;
    let mut back: Vec<_> = stage.pull_back(&pull(&["mail"], at(60)), 4).await?.iter().map(|(delivery, _)| delivery.id).collect();
    back.sort();
    ensure_eq!(
        back,
        kept.iter().map(|(delivery, _)| delivery.id).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        "what came back"
    );
    Ok(())
}

/// What one pull has given is claimed and acked in any order.
async fn what_was_pulled_is_claimed_in_any_order(stage: Stage) -> Outcome {
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(stage.submit(JobState::Ready).await?);
    }
    if stage.backend.dispatch() == Dispatch::Caller {
        stage.push(&jobs.iter().map(|job| delivery(job.id, "mail")).collect::<Vec<_>>()).await?;
    }
    let items = stage.pull(&pull(&["mail"], at(0)), jobs.len()).await?;
    for (delivery, receipt) in items.iter().rev() {
        let job = jobs.iter().find(|job| job.id == delivery.id);
        let job = job.ok_or_else(|| Broken::failed(format!("nobody has pushed {}", delivery.id)))?;
        stage.claim(job, stage.worker(), at(60)).await?;
        stage.queue().ack(std::slice::from_ref(receipt)).await?;
    }
    stage.pull_nothing(&pull(&["mail"], at(999))).await
}

/// Unknown receipts, and those acked before, are ignored.
async fn unknown_receipts_are_ignored(stage: Stage) -> Outcome {
    let kept = stage.id();
    stage.push(&[delivery(stage.id(), "mail"), delivery(kept, "mail")]).await?;
    let items = stage.pull(&pull(&["mail"], at(0)), 2).await?;
    let acked = items.iter().find(|(delivery, _)| delivery.id != kept).map(|(_, receipt)| receipt.clone());
    let acked = acked.ok_or_else(|| crate::Broken::failed("one delivery came twice"))?;
    for _ in 0..2 {
        stage.queue().ack(std::slice::from_ref(&acked)).await?;
    }
    for nonsense in [&b""[..], b"?", b"no receipt of this queue", &[0xff; 300]] {
        stage.queue().ack(&[jobbers_core::driver::Receipt(bytes::Bytes::from_static(nonsense))]).await?;
    }
    let back = stage.pull_back(&pull(&["mail"], at(60)), 1).await?;
    ensure_eq!(back[0].0.id, kept, "what came back");
    Ok(())
}

/// Giving a delivery back is a push at the front, then an ack.
async fn a_delivery_is_given_back_by_push_and_ack(stage: Stage) -> Outcome {
    let id = stage.id();
    stage.push(&[delivery(id, "mail")]).await?;
    let items = stage.pull(&pull(&["mail"], at(0)), 1).await?;
    stage.push(&[delivery_in_front(id, "mail")]).await?;
    stage.queue().ack(&[items[0].1.clone()]).await?;
    let again = stage.pull(&pull(&["mail"], at(1)), 1).await?;
    ensure_eq!(again[0].0.id, id, "what was given back");
    stage.pull_nothing(&pull(&["mail"], at(2))).await
}

/// Deliveries that wait in each queue, approximately, in the order asked; what is pulled and not acked may count or not.
async fn depth_counts_what_waits(stage: Stage) -> Outcome {
    stage.push(&(0..7).map(|n| delivery(stage.id(), if n < 5 { "mail" } else { "image" })).collect::<Vec<_>>()).await?;
    let asked = [queue("image"), queue("nobody"), queue("mail")];
    stage.depths(&asked, &[2, 0, 5]).await?;
    let items = stage.pull(&pull(&["mail"], at(0)), 5).await?;
    stage.queue().ack(&items.into_iter().map(|(_, receipt)| receipt).collect::<Vec<_>>()).await?;
    stage.depths(&asked, &[2, 0, 0]).await
}

table! { "queue", "queue.rs";
    Once: [
        what_was_pushed_is_pulled,
        a_delivery_that_nobody_acks_comes_again_and_again,
        a_delivery_at_the_front_comes_first,
        deliveries_come_in_the_order_of_their_pushes,
        urgent_deliveries_come_before_others,
        a_queue_without_priorities_delivers_all_of_them,
        a_push_that_failed_may_be_sent_again,
        a_pull_returns_no_more_than_it_asks_for,
        queues_are_pulled_in_the_order_asked,
        a_queue_serves_no_other_queue,
        a_pulled_delivery_is_hidden_until_it_comes_back,
        what_is_not_acked_comes_back_in_time,
        what_came_back_is_settled_by_its_new_receipt,
        an_empty_queue_gives_nothing,
        a_pull_says_whether_something_was_left,
        what_a_dropped_pull_had_taken_comes_back,
        a_listener_hears_of_a_push,
        a_listener_returns_where_something_waits,
        a_listener_returns_after_its_time,
        listening_takes_nothing,
        what_is_acked_never_comes_back,
        what_was_pulled_is_claimed_in_any_order,
        unknown_receipts_are_ignored,
        a_delivery_is_given_back_by_push_and_ack,
        depth_counts_what_waits,
    ];
}
