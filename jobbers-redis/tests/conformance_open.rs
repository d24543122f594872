//! What a server has to be, and what a namespace on it has to say: anything else is refused when a backend is opened, and says why.

mod fixture;

use jobbers_conformance::kit::{queue, record};
use jobbers_core::driver::{Capability, Commit, Op};
use jobbers_core::record::JobState;
use jobbers_core::{Error, ErrorKind, JobId, RunId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use fixture::process::Process;

async fn refused(url: &str) -> Error {
    match jobbers_redis::open(url).await {
        Ok(backend) => panic!("{} was opened", backend.location()),
        Err(error) => error,
    }
}

async fn tell(server: &Process, words: &[&str]) {
    let client = redis::Client::open(server.url()).expect("the server takes it");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server takes it");
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.query_async::<redis::Value>(&mut connection).await.expect("the server takes it");
}

/// A server that answers every `INFO` with these facts, or everything with one error.
async fn pretender(info: &'static str, error: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the server takes it");
    let url = format!("redis://{}", listener.local_addr().expect("the server takes it"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(bytes @ 1..) = client.read(&mut buffer).await {
                    // One command is one array: `*` starts it, and no word of what a client says when it connects has one.
                    for command in String::from_utf8_lossy(&buffer[..bytes]).split('*').skip(1) {
                        let answer = match error {
                            _ if command.contains("CLIENT") => "+OK\r\n".to_owned(),
                            Some(error) => format!("-{error}\r\n"),
                            None => format!("${}\r\n{info}\r\n", info.len()),
                        };
                        client.write_all(answer.as_bytes()).await.expect("the server takes it");
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_named() {
    let error = refused("redis://ops:hunter2@127.0.0.1:1").await;
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false));
    let text = format!("{error} {error:?}");
    assert!(text.contains("127.0.0.1:1") && text.contains("is it running?") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let server = Process::start("open-password");
    tell(&server, &["CONFIG", "SET", "requirepass", "right"]).await;
    for url in [server.url(), server.url().replace("://", "://:hunter2@"), server.url().replace("://", "://ops:hunter2@")] {
        let error = refused(&url).await;
        let text = format!("{error} {error:?}");
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Invalid, false), "{text}");
        assert!(text.contains(&server.address()) && text.contains("check name, password") && !text.contains("hunter2"), "{text}");
    }
    jobbers_redis::open(&server.url().replace("://", "://:right@")).await.unwrap();
}

#[tokio::test]
async fn another_kind_of_server_is_refused_by_name_and_version() {
    for (info, words) in [
        ("redis_version:6.2.14\r\nrole:master\r\n", ["Redis", "6.2.14"]),
        ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.1.0\r\nrole:master\r\n", ["Valkey", "7.1.0"]),
        ("redis_version:7.4.0\r\ndragonfly_version:df-v1.21\r\nrole:master\r\n", ["Dragonfly", "df-v1.21"]),
        ("redis_version:7.4.0\r\nredis_mode:cluster\r\nrole:master\r\n", ["cluster", "a server of its own"]),
        ("nothing that we know:1\r\n", ["Redis", "\"\""]),
    ] {
        let error = refused(&pretender(info, None).await).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_loads_or_is_busy_is_unavailable() {
    let loading = "redis_version:7.0.15\r\nredis_mode:standalone\r\nloading:1\r\nrole:master\r\n";
    assert_eq!(refused(&pretender(loading, None).await).await.kind(), ErrorKind::Unavailable);
    for text in ["LOADING Redis is loading the dataset in memory", "BUSY Redis is busy running a script"] {
        let error = refused(&pretender("", Some(text)).await).await;
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false), "{error}");
    }
    assert_eq!(refused(&pretender("", Some("NOAUTH Authentication required.")).await).await.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_replica_is_refused_and_its_primary_named() {
    let (server, primary) = (Process::start("open-replica"), Process::start("open-primary"));
    tell(&server, &["REPLICAOF", "127.0.0.1", &primary.port.to_string()]).await;
    let error = refused(&server.url()).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&primary.address()), "{error}");
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_unless_that_is_accepted() {
    let server = Process::start("open-evict");
    tell(&server, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let error = refused(&server.url()).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("allkeys-lru") && error.to_string().contains("noeviction"), "{error}");
    jobbers_redis::open(&format!("{}?eviction=accepted", server.url())).await.unwrap();
}

#[tokio::test]
async fn a_namespace_of_a_newer_layout_is_refused_and_left_alone() {
    let server = Process::start("open-layout");
    let url = format!("{}?namespace=acme", server.url());
    jobbers_redis::open(&url).await.unwrap();
    tell(&server, &["HSET", "{acme:0}:meta", "layout", "2"]).await;
    let error = refused(&url).await;
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("layout 2") && error.to_string().contains("newer"), "{error}");
    jobbers_redis::open(&format!("{}?namespace=other", server.url())).await.unwrap();
}

#[tokio::test]
async fn a_foreign_key_of_ours_is_refused_and_left_alone() {
    let server = Process::start("open-foreign");
    tell(&server, &["SET", "{acme:0}:counts", "somebody's"]).await;
    let error = refused(&format!("{}?namespace=acme", server.url())).await;
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("{acme:0}:counts"), "{error}");
    tell(&server, &["DEL", "{acme:0}:counts"]).await;
    jobbers_redis::open(&format!("{}?namespace=acme", server.url())).await.unwrap();
}

#[tokio::test]
async fn a_foreign_key_of_one_queue_harms_no_other_queue() {
    let server = Process::start("open-wrongtype");
    let backend = jobbers_redis::open(&format!("{}?namespace=acme", server.url())).await.unwrap();
    tell(&server, &["SET", "{acme:0}:state:mail", "somebody's"]).await;
    let insert = |run: u128, name: &str| {
        let mut new = record(JobState::Scheduled);
        new.head.queue = queue(name);
        let run = RunId::from_u128(run);
        Commit { run, nonce: 7, ops: vec![Op::Insert { id: JobId::from(run), record: new, over: None }] }
    };
    let results = backend.store().commit(&[insert(1, "mail"), insert(2, "image")]).await;
    let error = results[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(results[1].is_ok(), "{results:?}");
}

#[tokio::test]
async fn garbage_in_a_line_is_dropped_and_harms_nothing() {
    let server = Process::start("open-garbage");
    let backend = jobbers_redis::open(&format!("{}?namespace=acme", server.url())).await.unwrap();
    tell(&server, &["RPUSH", "{acme:0}:ready:2:mail", "no id", "", "0123456789abcdef"]).await;
    let pull = jobbers_conformance::kit::pull(&["mail"], jobbers_conformance::kit::at(0));
    // What looks like an id is one, of a job that is not there.
    let pulled = backend.queue().pull(&pull).await.unwrap();
    assert_eq!(pulled.items.len(), 1);
    assert_eq!(backend.store().load(&[pulled.items[0].0.id]).await.remove(0).unwrap(), None);
    assert_eq!(backend.queue().depth(&[queue("mail")]).await.unwrap(), [0]);
}

#[tokio::test]
async fn a_record_of_a_newer_version_is_damaged_and_its_neighbours_are_not() {
    let server = Process::start("open-record");
    let backend = jobbers_redis::open(&format!("{}?namespace=acme", server.url())).await.unwrap();
    let (good, bad) = (JobId::from(RunId::from_u128(16)), JobId::from(RunId::from_u128(32)));
    for id in [good, bad] {
        let ops = vec![Op::Insert { id, record: record(JobState::Ready), over: None }];
        backend.store().commit(&[Commit { run: id.run, nonce: 7, ops }]).await.remove(0).unwrap();
    }
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let field = &bad.to_bytes()[..16];
    redis::cmd("HSET").arg("{acme:0}:record:0").arg(field).arg(b"\xff a newer record").query_async::<()>(&mut connection).await.unwrap();
    let loaded = backend.store().load(&[bad, good]).await;
    assert_eq!(loaded[0].as_ref().unwrap_err().kind(), ErrorKind::Damaged);
    assert!(loaded[1].as_ref().unwrap().is_some());
    let end = |id| {
        let mut ended = record(JobState::Dead);
        ended.head.revision = jobbers_core::record::Revision { count: 1, nonce: 7 };
        ended.head.born = 7;
        let expect = ended.head.revision;
        let (changed, place) = (jobbers_core::record::Parts::NONE, jobbers_core::driver::Place::Back);
        Commit { run: id, nonce: 8, ops: vec![Op::Update { id: JobId::from(id), expect, lapsed: None, record: ended, changed, place }] }
    };
    let results = backend.store().commit(&[end(bad.run), end(good.run)]).await;
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::Damaged, "{results:?}");
    assert!(results[1].is_ok(), "{results:?}");
}

#[tokio::test]
async fn a_unix_socket_and_a_server_without_a_file_will_do() {
    let server = Process::start("open-socket");
    tell(&server, &["CONFIG", "SET", "appendonly", "no"]).await;
    let backend = jobbers_redis::open(&server.socket()).await.unwrap();
    assert!(!backend.capabilities().has(Capability::Durable) && backend.capabilities().has(Capability::MultiProcess));
}
