use super::*;

#[tokio::test]
async fn a_store_that_dispatches_enqueues_and_names_nothing_and_the_other_way_round() {
    let own = open();
    let Verdict::Applied { ready, .. } = commit(&own, insert(id(1), job(JobState::Ready))).await else { panic!("the id is free") };
    assert!(ready.is_empty());
    assert_eq!(own.queue().depth(&[queue("mail")]).await.unwrap(), [1]);

    let caller = Memory::new().dispatch(Dispatch::Caller).open();
    let Verdict::Applied { ready, .. } = commit(&caller, insert(id(1), job(JobState::Ready))).await else { panic!("the id is free") };
    assert_eq!(ready, [delivery(1, Priority::Normal, Place::Back)]);
    assert_eq!(caller.queue().depth(&[queue("mail")]).await.unwrap(), [0]);
}

#[tokio::test]
async fn due_jobs_come_oldest_first_and_hide_until_they_are_shown_again() {
    let backend = open();
    let store = backend.store();
    for (run, wake_at) in [(1, 30), (2, 10), (3, 20), (4, 90)] {
        let mut record = job(JobState::Scheduled);
        record.head.wake_at = Some(at(wake_at));
        put(&backend, id(run), record).await;
    }
    let due = store.due(at(30), at(60), 2).await.unwrap();
    assert_eq!((due.ids, due.next), (vec![id(2), id(3)], Some(at(30))));
    let due = store.due(at(30), at(60), 9).await.unwrap();
    assert_eq!((due.ids, due.next), (vec![id(1)], Some(at(60))));
    assert!(store.due(at(59), at(80), 9).await.unwrap().ids.is_empty());

    change(&backend, id(2), 2, |record| record.head.wake_at = Some(at(55))).await;
    let due = store.due(at(59), at(80), 9).await.unwrap();
    assert_eq!((due.ids, due.next), (vec![id(2)], Some(at(60))), "a new timer ends the hiding");
    change(&backend, id(3), 2, |record| record.trail = Bytes::from_static(b"news")).await;
    assert!(store.due(at(59), at(80), 9).await.unwrap().ids.is_empty(), "the same timer does not");

    change(&backend, id(1), 2, |record| (record.head.state, record.head.ended_at) = (JobState::Dead, Some(at(60)))).await;
    let due = store.due(at(80), at(99), 9).await.unwrap();
    assert_eq!((due.ids, due.next), (vec![id(3), id(2)], Some(at(90))), "an end is never due");
}

#[tokio::test]
async fn owned_are_the_running_jobs_of_a_worker() {
    let backend = open();
    let (mine, other) = (WorkerId::from_u128(7), WorkerId::from_u128(8));
    for (run, owner, state) in [(1, mine, JobState::Running), (2, other, JobState::Running), (3, mine, JobState::Ready)] {
        let mut record = job(state);
        record.head.owner = Some(owner);
        put(&backend, id(run), record).await;
    }
    let first = Revision { count: 1, nonce: 1 };
    assert_eq!(backend.store().owned(mine, 9).await.unwrap(), [(id(1), first)]);
    change(&backend, id(1), 2, |record| record.head.state = JobState::Succeeded).await;
    assert!(backend.store().owned(mine, 9).await.unwrap().is_empty());
    assert_eq!(backend.store().owned(other, 0).await.unwrap(), []);
}

#[tokio::test]
async fn a_scan_shows_each_record_once_a_page_at_a_time() {
    let backend = open();
    for run in 0..7 {
        put(&backend, id(run), job(JobState::Ready)).await;
    }
    let (mut cursor, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = backend.store().scan(cursor, 3).await.unwrap();
        seen.extend(page.heads.iter().map(|(id, _)| id.run.as_u128()));
        pages += 1;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), ((0..7).collect(), 3));
    assert!(backend.store().scan(Some(Cursor(Bytes::from_static(b"?"))), 3).await.is_err());
}

#[tokio::test]
async fn a_list_keeps_the_order_of_its_state_over_pages_and_queues() {
    let backend = open();
    for (run, queue_name, ended_at) in [(1, "a", 30), (2, "b", 10), (3, "a", 20), (4, "b", 40)] {
        let mut record = job(JobState::Dead);
        (record.head.queue, record.head.ended_at) = (queue(queue_name), Some(at(ended_at)));
        put(&backend, id(run), record).await;
    }
    let list = async |queue: Option<&str>, after, limit| {
        let filter = Filter { state: JobState::Dead, queue: queue.map(self::queue), task: None };
        let listing = backend.store().list(&filter, &Page { after, limit }).await.unwrap();
        (listing.records.iter().map(|(id, _)| id.run.as_u128()).collect::<Vec<_>>(), listing.next)
    };
    let (newest, next) = list(None, None, 3).await;
    assert_eq!(newest, [4, 1, 3]);
    assert_eq!(list(None, next, 3).await, (vec![2], None));
    assert_eq!(list(Some("a"), None, 2).await, (vec![1, 3], None));
    assert_eq!(list(Some("none"), None, 2).await, (vec![], None));
}

#[tokio::test]
async fn a_filter_looks_at_a_bounded_number_and_says_where_to_go_on() {
    let backend = open();
    let rare = TaskName::new("rare").unwrap();
    for run in 0..1_500 {
        let mut record = job(JobState::Ready);
        record.head.created_at = at(run);
        if run >= 1_400 {
            record.head.task = rare.clone();
        }
        put(&backend, id(run as u128), record).await;
    }
    let filter = Filter { state: JobState::Ready, queue: None, task: Some(rare) };
    let first = backend.store().list(&filter, &Page { after: None, limit: 10 }).await.unwrap();
    assert!(first.records.is_empty());
    let second = backend.store().list(&filter, &Page { after: first.next, limit: 10 }).await.unwrap();
    assert_eq!((second.records.len(), second.records[0].0, second.next.is_some()), (10, id(1_400), true));
}

#[tokio::test]
async fn counts_and_unended_follow_every_change() {
    let backend = open();
    let run = RunId::from_u128(1);
    put(&backend, JobId::new(run, 0), job(JobState::Ready)).await;
    put(&backend, JobId::new(run, 1), job(JobState::Waiting)).await;
    let count = |state, jobs| Count { queue: queue("mail"), state, jobs };
    assert_eq!(backend.store().counts().await.unwrap(), [count(JobState::Waiting, 1), count(JobState::Ready, 1)]);
    assert_eq!(backend.store().unended(&[run, RunId::from_u128(9)]).await.unwrap(), [2, 0]);
    change(&backend, JobId::new(run, 0), 2, |record| record.head.state = JobState::Succeeded).await;
    assert_eq!(backend.store().unended(&[run]).await.unwrap(), [1]);
    change(&backend, JobId::new(run, 0), 3, |record| record.head.state = JobState::Ready).await;
    assert_eq!(backend.store().unended(&[run]).await.unwrap(), [2]);
    assert_eq!(backend.store().counts().await.unwrap(), [count(JobState::Waiting, 1), count(JobState::Ready, 1)]);
}

#[tokio::test]
async fn prune_forgets_ended_runs_by_their_step_0_which_goes_last() {
    let backend = open();
    let store = backend.store();
    let ended = |state, ended_at| {
        let mut record = job(state);
        record.head.ended_at = Some(at(ended_at));
        record
    };
    let run = RunId::from_u128(1);
    put(&backend, JobId::new(run, 0), ended(JobState::Succeeded, 10)).await;
    put(&backend, JobId::new(run, 1), ended(JobState::Dead, 8)).await;
    put(&backend, JobId::new(run, 2), job(JobState::Running)).await;
    put(&backend, id(2), ended(JobState::Succeeded, 20)).await;
    put(&backend, id(3), ended(JobState::Dead, 5)).await;
    let prune = async |before, limit| store.prune(&queue("mail"), JobState::Succeeded, at(before), limit).await.unwrap();
    assert_eq!(prune(20, 9).await, 0, "one has an unended step, one ended at that time, one is dead");
    change(&backend, JobId::new(run, 2), 2, |record| record.head.state = JobState::Succeeded).await;
    assert_eq!(prune(20, 2).await, 2);
    assert!(store.load(&[JobId::new(run, 0)]).await[0].as_ref().unwrap().is_some());
    assert_eq!(prune(21, 9).await, 2);
    assert_eq!(store.counts().await.unwrap(), [Count { queue: queue("mail"), state: JobState::Dead, jobs: 1 }]);
}

#[tokio::test]
async fn a_document_changes_by_compare_and_set_and_no_version_comes_twice() {
    let backend = open();
    let store = backend.store();
    let key = |name: &str| DocKey { kind: DocKind::Role, name: SmallText::new(name) };
    let write = async |expect, body: Option<&'static str>| {
        let write = DocWrite { key: key("b"), expect, body: body.map(Bytes::from), expires_at: Some(at(5)) };
        store.write(&[write]).await.unwrap().remove(0)
    };
    let DocVerdict::Applied(first) = write(None, Some("one")).await else { panic!("it was absent") };
    assert!(matches!(write(None, Some("two")).await, DocVerdict::Conflict(Some(doc)) if doc.version == first && doc.body == "one"));
    assert_eq!(write(Some(first), None).await, DocVerdict::Applied(first));
    let DocVerdict::Applied(again) = write(None, Some("three")).await else { panic!("it was deleted") };
    assert!(again > first);
    assert_eq!(write(Some(first), Some("four")).await, DocVerdict::Conflict(store.read(&[key("b")]).await.unwrap().remove(0)));

    for name in ["a", "c"] {
        store.write(&[DocWrite { key: key(name), expect: None, body: Some(Bytes::new()), expires_at: None }]).await.unwrap();
    }
    let page = Page { after: Some(Cursor(Bytes::from_static(b"a"))), limit: 9 };
    let names: Vec<_> = store.documents(DocKind::Role, &page).await.unwrap().into_iter().map(|(key, _)| key.name).collect();
    assert_eq!(names, [SmallText::new("b"), SmallText::new("c")]);
    assert!(store.documents(DocKind::Queue, &Page { after: None, limit: 9 }).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_second_store_sees_what_the_first_one_wrote() {
    let backend = open();
    let (store, _) = backend.open_second().await.unwrap();
    put(&backend, id(1), job(JobState::Ready)).await;
    assert!(store.load(&[id(1)]).await[0].as_ref().unwrap().is_some());
}

#[tokio::test]
async fn a_refused_commit_changes_nothing_and_leaves_its_neighbours_alone() {
    let backend = open();
    put(&backend, id(1), job(JobState::Running)).await;
    let before = load(&backend, id(1)).await;
    let stale = Op::Beat { id: id(1), expect: Revision::default(), wake_at: at(9), progress: None };
    let commits = [Commit { run: id(1).run, nonce: 4, ops: vec![stale] }, insert(id(2), job(JobState::Ready))];
    let verdicts = backend.store().commit(&commits).await;
    assert!(matches!(verdicts[0], Ok(Verdict::Conflict { .. })) && matches!(verdicts[1], Ok(Verdict::Applied { .. })));
    assert_eq!(load(&backend, id(1)).await, before);
}

#[tokio::test]
async fn a_release_wakes_a_child_in_the_commit_that_ends_its_parent() {
    let backend = open();
    let (parent, child) = (id(1), JobId::new(RunId::from_u128(1), 1));
    let mut waiting = job(JobState::Waiting);
    waiting.head.remaining = 1;
    put(&backend, parent, job(JobState::Running)).await;
    put(&backend, child, waiting).await;
    let mut record = load(&backend, parent).await;
    record.head.state = JobState::Succeeded;
    let expect = Revision { count: 1, nonce: 1 };
    let (queue, priority) = (queue("mail"), Priority::Normal);
    let release = Op::Release { id: child, queue, priority, edges: 1, outcome: Some(Outcome::Succeeded), wake_at: None, claim: None };
    let update = Op::Update { id: parent, expect, lapsed: None, record, changed: Parts::ALL, place: Place::Back };
    commit(&backend, Commit { run: parent.run, nonce: 2, ops: vec![update, release] }).await;
    assert_eq!(backend.queue().pull(&pull(9, 0, 1)).await.unwrap().items[0].0.id, child);
    assert_eq!(load(&backend, child).await.head.state, JobState::Ready);
}
