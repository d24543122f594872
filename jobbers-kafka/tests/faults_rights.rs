//! Rights and secrets: what is refused, and how that is said. Everything goes over TLS.
//!
//! Needs the cluster of `scripts/services start kafka-secure`, and the feature `tls`. Those of `always` run with every change.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test says by its line what failed")]

mod kit;

use std::time::{Duration, Instant};

use jobbers_core::ErrorKind;
use kit::{fresh, line, turn};

const SOON: Duration = Duration::from_secs(15);

/// The URL of the secured cluster, for another user, and with other options.
fn url(user: &str, password: &str, options: &str) -> String {
    let variable = "JOBBERS_KAFKA_SECURE_URL";
    let given =
        std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; run eval \"$(scripts/services start kafka-secure)\""));
    let (_, rest) = given.split_once('@').expect("it names a user");
    format!("kafka://{user}:{password}@{rest}&{options}")
}

fn of(user: &str, options: &str) -> String {
    url(user, &format!("{user}-secret"), options)
}

mod always {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f21_a_right_that_is_missing_is_said_in_words_and_does_not_pass() {
        let _turn = turn().await;
        let (options, _) = fresh("");
        let refused = |user: &'static str, what: &'static str| {
            let url = of(user, &options);
            async move {
                let error = line::open(&url).await.unwrap_err();
                println!("{user}: {error}");
                assert!(!error.is_transient() && error.to_string().contains(what), "{user}: {error}");
                assert!(!format!("{error:?}").contains("secret"), "{error:?}");
            }
        };
        refused("no-create", "Create").await;
        refused("no-group", "group").await;
        refused("nobody", "right").await;
        // Before there is a topic, a broker says whether somebody may write to any at all.
        refused("no-write", "--operation Write").await;
        // Who has the rights makes the topic; then each may do what he may.
        let backend = line::open(&of("jobbers", &options)).await.unwrap();
        let all = line::deliveries(10);
        backend.queue().push(&all).await.unwrap();
        line::drain(backend.queue(), line::ids(&all), SOON).await;

        // Once there is one, it says it of that; and asking has left nothing in it.
        refused("no-write", "--allow-principal User:no-write --operation Describe --operation Write").await;
        refused("elsewhere", "--allow-principal User:elsewhere --operation Describe --operation Write").await;
        assert_eq!(backend.queue().depth(&[jobbers_conformance::kit::queue(line::QUEUE)]).await.unwrap(), [0]);
        let may_not_read = line::open(&of("no-read", &options)).await.unwrap();
        let end = Instant::now() + SOON;
        let error = loop {
            match may_not_read.queue().pull(&line::pull()).await {
                Err(error) => break error,
                Ok(pulled) => assert!(pulled.items.is_empty() && Instant::now() < end, "nobody says that it may not be read"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(!error.is_transient() && error.to_string().contains("Read"), "{error}");
    }

    /// Nobody knows then whether a queue would lose jobs: it works, and durability is not claimed.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn who_may_not_ask_for_settings_is_served_and_told() {
        let _turn = turn().await;
        let (options, _) = fresh("");
        let made = line::open(&of("jobbers", &options)).await.unwrap();
        made.queue().push(&line::deliveries(1)).await.unwrap();
        let start = Instant::now();
        let backend = line::open(&of("no-settings", &options)).await.unwrap();
        println!("opened after {:?}", start.elapsed());
        let all = line::deliveries(10);
        backend.queue().push(&all).await.unwrap();
        line::drain(backend.queue(), line::ids(&all), SOON).await;
        assert!(!backend.capabilities().has(jobbers_core::driver::Capability::Durable));
    }

    /// Before there is a topic of its own, who may write elsewhere looks like who may write: its first push says it, and so does its worker.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn who_may_write_elsewhere_is_told_by_the_first_push() {
        let _turn = turn().await;
        let (options, _) = fresh("");
        let backend = line::open(&of("elsewhere", &options)).await.unwrap();
        let error = backend.queue().push(&line::deliveries(1)).await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("Write"), "{error}");
    }
}

mod nightly {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f22_a_wrong_password_and_a_strange_certificate_are_errors_of_open() {
        let _turn = turn().await;
        let (options, _) = fresh("");
        let trusting = of("jobbers", &options);
        let certificate =
            trusting.split(['?', '&']).find(|option| option.starts_with("property.ssl.ca.location=")).expect("it is in the URL");
        // Without it the system's own certificates are trusted.
        let distrusting = trusting.replace(&format!("{certificate}&"), "");
        for (url, what) in [(url("jobbers", "hunter2", &options), "password"), (distrusting, "TLS")] {
            let start = Instant::now();
            let error = line::open(&url).await.unwrap_err();
            println!("after {:?}: {error}", start.elapsed());
            assert!(start.elapsed() <= Duration::from_secs(11), "it took {:?}", start.elapsed());
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains(what), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn scram_works_as_plain_does() {
        let _turn = turn().await;
        let (options, _) = fresh("property.sasl.mechanism=SCRAM-SHA-256");
        let backend = line::open(&of("jobbers", &options)).await.unwrap();
        let all = line::deliveries(10);
        backend.queue().push(&all).await.unwrap();
        line::drain(backend.queue(), line::ids(&all), SOON).await;
        let wrong = line::open(&url("jobbers", "hunter2", &options)).await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Invalid, "{wrong}");
    }
}
