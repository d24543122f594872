use super::*;

#[tokio::test]
async fn deliveries_come_by_priority_then_in_order_and_the_front_first() {
    let backend = open();
    let queue = backend.queue();
    let (low, normal, urgent) = (Priority::Low, Priority::Normal, Priority::Urgent);
    let pushed =
        [(1, low, Place::Back), (2, normal, Place::Back), (3, normal, Place::Back), (4, urgent, Place::Back), (5, normal, Place::Front)];
    queue.push(&pushed.map(|(run, priority, place)| delivery(run, priority, place))).await.unwrap();
    let pulled = queue.pull(&pull(4, 0, 100)).await.unwrap();
    assert_eq!((runs(&pulled), pulled.more), (vec![4, 5, 2, 3], true));
    assert_eq!(queue.depth(&[self::queue("mail"), self::queue("none")]).await.unwrap(), [1, 0]);
    let pulled = queue.pull(&pull(4, 0, 100)).await.unwrap();
    assert_eq!((runs(&pulled), pulled.more), (vec![1], false));
}

#[tokio::test]
async fn what_is_not_acked_comes_back_to_its_old_place_and_what_is_acked_never() {
    let backend = open();
    let queue = backend.queue();
    queue.push(&[1, 2, 3].map(|run| delivery(run, Priority::Normal, Place::Back))).await.unwrap();
    let first = queue.pull(&pull(2, 0, 100)).await.unwrap();
    queue.ack(&[first.items[0].1.clone(), Receipt(Bytes::from_static(b"foreign"))]).await.unwrap();
    assert_eq!(runs(&queue.pull(&pull(1, 99, 500)).await.unwrap()), [3]);
    assert_eq!(runs(&queue.pull(&pull(9, 100, 500)).await.unwrap()), [2]);
    queue.ack(&[first.items[1].1.clone()]).await.unwrap();
    assert_eq!(runs(&queue.pull(&pull(9, 500, 900)).await.unwrap()), [2, 3], "the receipt was one of the pull before");
}

#[tokio::test]
async fn a_pull_takes_of_each_queue_what_was_named_with_it() {
    let backend = open();
    let (a, b) = (queue("a"), queue("b"));
    let deliveries: Vec<Delivery> = (0..8)
        .map(|n| Delivery { queue: if n < 4 { a.clone() } else { b.clone() }, ..delivery(n, Priority::Normal, Place::Back) })
        .collect();
    backend.queue().push(&deliveries).await.unwrap();
    let pull = Pull { queues: vec![(b, 2), (a, 9)], max: 5, now: at(0), back_at: at(9) };
    assert_eq!(runs(&backend.queue().pull(&pull).await.unwrap()), [4, 5, 0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_push_of_n_wakes_n_listeners_and_no_more() {
    let backend = open();
    let mut listeners: Vec<_> = (0..5)
        .map(|_| {
            let queue = backend.queue().clone();
            tokio::spawn(async move { queue.listen(&[self::queue("other"), self::queue("mail")], Duration::from_secs(60)).await.unwrap() })
        })
        .collect();
    tokio::task::yield_now().await;
    let start = tokio::time::Instant::now();
    backend.queue().push(&[1, 2].map(|run| delivery(run, Priority::Normal, Place::Back))).await.unwrap();
    backend.queue().pull(&pull(9, 0, 100)).await.unwrap();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(listeners.iter().filter(|listener| listener.is_finished()).count(), 2);
    for listener in listeners.drain(..) {
        listener.await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::from_secs(60), "the others at the latest after their time");
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_dropped_after_its_ring_passes_it_on() {
    let backend = open();
    let listen = || {
        let queue = backend.queue().clone();
        tokio::spawn(async move { queue.listen(&[self::queue("mail")], Duration::from_secs(60)).await.unwrap() })
    };
    let (first, second) = (listen(), listen());
    tokio::task::yield_now().await;
    let start = tokio::time::Instant::now();
    backend.queue().push(&[delivery(1, Priority::Normal, Place::Back)]).await.unwrap();
    backend.queue().pull(&pull(9, 0, 100)).await.unwrap();
    first.abort();
    second.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_push_between_pull_and_listen_is_heard() {
    let backend = open();
    let start = tokio::time::Instant::now();
    assert!(backend.queue().pull(&pull(9, 0, 100)).await.unwrap().items.is_empty());
    backend.queue().push(&[delivery(1, Priority::Normal, Place::Back)]).await.unwrap();
    backend.queue().listen(&[queue("mail")], Duration::from_secs(60)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_take_claims_what_it_may_returns_other_ready_jobs_and_drops_the_rest() {
    let backend = open();
    let known = TaskName::new("known").unwrap();
    let record = |task: &str, wake_at: Option<i64>| {
        let mut record = job(JobState::Ready);
        (record.head.task, record.head.wake_at) = (TaskName::new(task).unwrap(), wake_at.map(at));
        record
    };
    for (run, record) in
        [record("known", None), record("other", None), record("known", Some(50)), record("known", Some(51))].into_iter().enumerate()
    {
        put(&backend, id(run as u128), record).await;
    }
    let mut limited = record("known", None);
    limited.head.limits.push(crate::record::LimitKey { limit: crate::LimitName::new("customer").unwrap(), value: SmallText::default() });
    put(&backend, id(4), limited).await;
    backend.queue().push(&[delivery(0, Priority::Low, Place::Back), delivery(9, Priority::Low, Place::Back)]).await.unwrap();

    let owner = WorkerId::from_u128(7);
    let claim = Claim { owner, now: at(50), wake_at: at(65), nonce: 3 };
    let request = TakeRequest { pull: pull(10, 50, 80), claim, claimable: vec![(known, 0)] };
    let taken = backend.take().unwrap().take(&request).await.unwrap();
    assert_eq!(taken.claimed.iter().map(|(id, _)| id.run.as_u128()).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(taken.pulled.iter().map(|(delivery, _)| delivery.id.run.as_u128()).collect::<Vec<_>>(), [1, 2, 4]);
    let head = &load(&backend, id(3)).await.head;
    assert_eq!(
        (head.state, head.attempt, head.owner, head.started_at, head.wake_at),
        (JobState::Running, 1, Some(owner), Some(at(50)), Some(at(65)))
    );
    assert_eq!(head.revision, Revision { count: 2, nonce: 3 });
    let again = backend.queue().pull(&pull(10, 80, 99)).await.unwrap();
    assert_eq!(runs(&again), [1, 2, 4], "what was claimed or dropped was acked");
}

#[tokio::test]
async fn a_take_looks_at_300_deliveries_at_most() {
    let backend = open();
    let stale: Vec<Delivery> = (0..400).map(|run| delivery(run, Priority::Normal, Place::Back)).collect();
    backend.queue().push(&stale).await.unwrap();
    let claim = Claim { owner: WorkerId::from_u128(7), now: at(0), wake_at: at(1), nonce: 3 };
    let taken = backend.take().unwrap().take(&TakeRequest { pull: pull(10, 0, 9), claim, claimable: Vec::new() }).await.unwrap();
    assert!(taken.more && taken.claimed.is_empty() && taken.pulled.is_empty());
    assert_eq!(backend.queue().depth(&[queue("mail")]).await.unwrap(), [100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn consumers_that_pull_and_listen_miss_no_delivery() {
    const JOBS: u128 = 3_000;
    let backend = open();
    let (seen, mut all) = tokio::sync::mpsc::channel(16);
    let consume = |backend: Backend, seen: tokio::sync::mpsc::Sender<u128>| async move {
        loop {
            let pulled = backend.queue().pull(&pull(1, 0, 100)).await.unwrap();
            match pulled.items.first() {
                Some((delivery, receipt)) => {
                    backend.queue().ack(std::slice::from_ref(receipt)).await.unwrap();
                    seen.send(delivery.id.run.as_u128()).await.unwrap();
                }
                // Far longer than the test may take: a ring that is lost is a test that fails.
                None => backend.queue().listen(&[self::queue("mail")], Duration::from_secs(600)).await.unwrap(),
            }
        }
    };
    let consumers: Vec<_> = (0..4).map(|_| tokio::spawn(consume(backend.clone(), seen.clone()))).collect();
    let push = async {
        for run in 0..JOBS {
            backend.queue().push(&[delivery(run, Priority::Normal, Place::Back)]).await.unwrap();
            if run % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let collect = async {
        let mut found = std::collections::BTreeSet::new();
        while found.len() < JOBS as usize {
            assert!(found.insert(all.recv().await.unwrap()), "one came twice");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(push, collect) }).await.expect("a delivery was missed");
    consumers.iter().for_each(tokio::task::JoinHandle::abort);
}
