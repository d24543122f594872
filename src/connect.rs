//! Opens a backend by its URL: a match on the scheme, one arm a feature.

use jobbers_core::driver::Backend;
use jobbers_core::{Error, ErrorKind, Result, memory};

const OP: &str = "open a backend";

/// Every scheme, with what follows it.
const SCHEMES: &[(&str, &str)] =
    &[("memory", "memory:"), ("redb", "redb:PATH"), ("redis", "redis://HOST"), ("kafka", "kafka://HOST?store=URL")];

/// Opens a backend by its URL.
///
/// | URL | backend | feature |
/// |---|---|---|
/// | `memory:` | in this process, gone with it | always there |
/// | `redb:jobs.redb`, `redb:///var/lib/jobs.redb` | one file, durable, no server; made if it is not there | `redb` |
/// | `redis://:secret@10.0.0.5/?namespace=acme`, `redis+unix:///run/redis.sock`; `valkey` for `redis` | a Redis 7.0 or Valkey 7.2 server, or later | `redis` |
/// | `kafka://HOST:9092?store=redis://10.0.0.5/`, `kafka://A,B,C?store=redb:jobs.redb&namespace=acme` | ids on a Kafka cluster, jobs in the store that the URL in `store` names | `kafka`, with TLS and all of SASL `kafka-tls` |
///
/// A path is taken as it stands: nothing in it is decoded. Options of a server's URL are those of its driver. What the option `store` holds is
/// decoded once: a `&` in it is written `%26`, a `%` `%25`.
///
/// Not cancel safe: a dropped call may have made or locked the file; it lets go of it soon after.
///
/// # Errors
/// - [`ErrorKind::Invalid`]: the URL has no scheme, or lacks its path.
/// - [`ErrorKind::Unsupported`]: nobody knows the scheme, or its feature is not compiled in.
/// - What the driver says: the file is held by another process, damaged, or can not be written.
///
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let backend = jobbers::connect("memory:").await?;
/// assert_eq!(backend.name(), "memory");
///
/// let error = jobbers::connect("rabbit://localhost").await.unwrap_err();
/// assert_eq!(error.to_string(), "open a backend: no driver is called \"rabbit\"; the URLs are memory:, redb:PATH, redis://HOST, kafka://HOST?store=URL");
/// # Ok::<(), jobbers::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn connect(url: &str) -> Result<Backend> {
    let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        let shown: String = url.chars().take(100).collect();
        // Whoever forgot the scheme may have written a password: what looks like one is not shown.
        let shown = if shown.contains('@') { "the URL".to_owned() } else { format!("{shown:?}") };
        return Err(Error::new(ErrorKind::Invalid, OP, format!("{shown} has no scheme; write {}", forms())));
    };
    match scheme {
        "memory" => memory_backend(rest),
        "redb" => redb_backend(path_of(rest)?).await,
        "redis" | "rediss" | "redis+unix" | "valkey" | "valkeys" | "valkey+unix" => redis_backend(url).await,
        "kafka" => kafka_backend(url).await,
        unknown => Err(Error::new(ErrorKind::Unsupported, OP, format!("no driver is called {unknown:?}; the URLs are {}", forms()))),
    }
}

fn memory_backend(rest: &str) -> Result<Backend> {
    if !matches!(rest, "" | "//") {
        return Err(Error::new(
            ErrorKind::Invalid,
            OP,
            "memory: takes nothing behind it: it is new at each call, and gone with the process",
        ));
    }
    Ok(memory::open())
}

#[cfg(feature = "redb")]
async fn redb_backend(path: &str) -> Result<Backend> {
    jobbers_redb::Config::at(path).open_async().await
}

#[cfg(not(feature = "redb"))]
async fn redb_backend(path: &str) -> Result<Backend> {
    Err(not_compiled_in("redb", path))
}

#[cfg(feature = "redis")]
async fn redis_backend(url: &str) -> Result<Backend> {
    jobbers_redis::open(url).await
}

#[cfg(not(feature = "redis"))]
async fn redis_backend(_url: &str) -> Result<Backend> {
    // The URL may hold a password.
    Err(not_compiled_in("redis", "//HOST"))
}

#[cfg(feature = "kafka")]
async fn kafka_backend(url: &str) -> Result<Backend> {
    let store = partner(&jobbers_kafka::store_of(url)?).await?;
    jobbers_kafka::open(url, store).await
}

#[cfg(not(feature = "kafka"))]
async fn kafka_backend(_url: &str) -> Result<Backend> {
    // The URL may hold a password.
    Err(not_compiled_in("kafka", "//HOST"))
}

/// Opens store and limiter for a queue that is another driver's.
#[cfg(feature = "kafka")]
async fn partner(url: &str) -> Result<jobbers_core::driver::BackendParts> {
    use jobbers_core::driver::Dispatch;

    match url.split_once(':') {
        Some(("memory", "" | "//")) => Ok(memory::Memory::new().dispatch(Dispatch::Caller).parts()),
        #[cfg(feature = "redb")]
        Some(("redb", rest)) => jobbers_redb::Config::at(path_of(rest)?).dispatch(Dispatch::Caller).parts_async().await,
        #[cfg(feature = "redis")]
        Some(("redis" | "rediss" | "redis+unix" | "valkey" | "valkeys" | "valkey+unix", _)) => {
            let mut config = jobbers_redis::Config::default();
            config.dispatch = Dispatch::Caller;
            jobbers_redis::parts(url, config).await
        }
        #[cfg(not(feature = "redb"))]
        Some(("redb", path)) => Err(not_compiled_in("redb", path)),
        #[cfg(not(feature = "redis"))]
        Some(("redis" | "rediss" | "redis+unix" | "valkey" | "valkeys" | "valkey+unix", _)) => Err(not_compiled_in("redis", "//HOST")),
        _ => Err(Error::new(
            ErrorKind::Invalid,
            OP,
            "the option store names no store; write store=redis://HOST, store=redb:PATH or store=memory:",
        )),
    }
}

#[cfg(not(all(feature = "redb", feature = "redis", feature = "kafka")))]
fn not_compiled_in(feature: &str, place: &str) -> Error {
    let context = format!(
        "{feature}:{place} needs the feature {feature:?}, which is not compiled in; in Cargo.toml: jobbers = {{ features = [{feature:?}] }}"
    );
    Error::new(ErrorKind::Unsupported, OP, context)
}

/// What follows `redb:`: a path, or `//` and an absolute path.
fn path_of(rest: &str) -> Result<&str> {
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::Invalid, OP, format!("redb:{rest}: {why}; write redb:jobs.redb or redb:///var/lib/jobs.redb")))
    };
    let path = match rest.strip_prefix("//") {
        Some(path) if !path.is_empty() && !path.starts_with('/') => return refuse("behind // stands a host, and a file has none"),
        Some(path) => path,
        None => rest,
    };
    match path {
        "" => refuse("the path is missing"),
        path if path.ends_with('/') => refuse("the path names a folder"),
        path if path.contains('\0') => refuse("a path holds no NUL"),
        path => Ok(path),
    }
}

/// Of one letter only are the drives of Windows.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn forms() -> String {
    SCHEMES.iter().map(|(_, form)| *form).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_as_it_stands() {
        assert_eq!(path_of("jobs.redb").unwrap(), "jobs.redb");
        assert_eq!(path_of("a b%20/c?d").unwrap(), "a b%20/c?d");
        assert_eq!(path_of("///var/jobs.redb").unwrap(), "/var/jobs.redb");
        assert_eq!(path_of("/var/jobs.redb").unwrap(), "/var/jobs.redb");
        for rest in ["", "//", "///", "//host/jobs.redb", "folder/", "a\0b"] {
            assert_eq!(path_of(rest).unwrap_err().kind(), ErrorKind::Invalid, "{rest:?}");
        }
    }

    #[test]
    fn every_scheme_that_is_named_is_one() {
        assert!(SCHEMES.iter().all(|(scheme, form)| is_scheme(scheme) && form.starts_with(scheme)));
        for text in ["", "C", "1a", "a b", "é", "Redb"] {
            assert!(!is_scheme(text), "{text}");
        }
    }

    #[cfg(not(feature = "redis"))]
    #[tokio::test]
    async fn a_server_without_its_feature_is_not_shown_with_its_password() {
        let error = connect("redis://ops:hunter2@localhost").await.unwrap_err();
        assert!(error.to_string().contains("feature \"redis\"") && !error.to_string().contains("hunter2"), "{error}");
    }

    #[cfg(feature = "kafka")]
    #[tokio::test]
    async fn a_queue_on_kafka_needs_a_store_and_says_which_there_are() {
        for (url, says) in [
            ("kafka://u:hunter2@h?security=sasl_plaintext", "store=redis://HOST"),
            ("kafka://u:hunter2@h?security=sasl_plaintext&store=kafka://u:hunter2@h", "names no store"),
            ("kafka://u:hunter2@h?security=sasl_plaintext&store=hunter2", "names no store"),
            ("kafka://u:hunter2@h?security=sasl_plaintext&store=redb:", "the path is missing"),
            ("kafka://u:hunter2@h?security=sasl_plaintext&shop=hunter2", "is no option"),
        ] {
            let error = connect(url).await.unwrap_err();
            assert!(error.to_string().contains(says) && !error.to_string().contains("hunter2"), "{url}: {error}");
        }
    }

    #[cfg(not(feature = "redb"))]
    #[tokio::test]
    async fn a_known_scheme_without_its_feature_names_the_feature() {
        let error = connect("redb:jobs.redb").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("redb:jobs.redb needs the feature \"redb\", which is not compiled in"), "{error}");
    }
}
