//! How a backend is opened: a URL, and what it may say besides.

use std::sync::Arc;
use std::time::Duration;

use jobbers_core::driver::Dispatch;
use jobbers_core::{Clock, DrawSource, Error, ErrorKind, Namespace, Result};
use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, IntoConnectionInfo};

/// Every option, with its default. Options in the URL win over these.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Prefix that isolates installations on one server; `jobbers` by default. URL: `namespace`.
    pub namespace: Namespace,
    /// Who dispatches; the store itself by default.
    pub dispatch: Dispatch,
    /// How long the server may take to answer; 3 s by default, so that a half-open connection is given up well before a lease of 15 s is
    /// over, and no pause of an ordinary server is taken for one. At least 100 ms. URL: `response_timeout_ms`.
    pub response_timeout: Duration,
    /// How long connecting may take; 2 s by default. At least 10 ms. URL: `connect_timeout_ms`.
    pub connect_timeout: Duration,
    /// What to do about a server that may evict keys; refused by default. URL: `eviction=accepted`.
    pub eviction: Eviction,
    /// The backend's clock; by default the system's, corrected by the server's.
    pub clock: Option<Arc<dyn Clock>>,
    /// Where ULIDs, nonces and jitter come from; the system's by default.
    pub draws: Option<Arc<dyn DrawSource>>,
}

/// What to do about a server whose `maxmemory-policy` is not `noeviction`: it would forget jobs when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// Such a server is refused.
    Refused,
    /// It is used all the same: jobs may be lost.
    Accepted,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            namespace: Namespace::new("jobbers").expect("it is one word of letters"),
            dispatch: Dispatch::Own,
            response_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(2),
            eviction: Eviction::Refused,
            clock: None,
            draws: None,
        }
    }
}

/// A URL that was read: where the server is, and every option.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) info: ConnectionInfo,
    /// The server, without credentials.
    pub(crate) location: String,
    pub(crate) config: Config,
}

fn refused(why: impl std::fmt::Display) -> Error {
    let form = "redis://[user][:password@]host[:port][/db][?namespace=..&response_timeout_ms=..], or redis+unix:///path/of/socket";
    Error::new(ErrorKind::Invalid, "open a redis backend", format!("{why}; write {form}"))
}

/// Reads a URL. No message repeats it: it may hold a password.
pub(crate) fn read(url: &str, mut config: Config) -> Result<Target> {
    let (server, options) = url.split_once('?').unwrap_or((url, ""));
    let mut of_client = Vec::new();
    // What stands there may be the rest of a password that holds a `?`: no message repeats it then.
    if options.contains('@') {
        return Err(refused("there is an @ behind the ?; in a name or a password write them as %40 and %3F"));
    }
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').ok_or_else(|| refused("an option of the URL has no value"))?;
        match name {
            "namespace" => config.namespace = Namespace::new(value)?,
            "response_timeout_ms" => config.response_timeout = duration(name, value)?,
            "connect_timeout_ms" => config.connect_timeout = duration(name, value)?,
            "eviction" if value == "accepted" => config.eviction = Eviction::Accepted,
            "eviction" if value == "refused" => config.eviction = Eviction::Refused,
            "eviction" => return Err(refused("the option eviction is accepted or refused")),
            "protocol" | "db" | "user" | "pass" => of_client.push(option),
            other => {
                let known = "namespace, response_timeout_ms, connect_timeout_ms, eviction, protocol, db, user, pass";
                return Err(refused(format_args!("{other:?} is no option; known are {known}")));
            }
        }
    }
    if config.response_timeout < Duration::from_millis(100) || config.connect_timeout < Duration::from_millis(10) {
        return Err(refused("response_timeout_ms is at least 100, connect_timeout_ms at least 10"));
    }
    if server.starts_with("rediss:") || server.starts_with("valkeys:") {
        return Err(Error::new(ErrorKind::Unsupported, "open a redis backend", "TLS is not compiled in; use redis:// behind a tunnel"));
    }
    let plain = if of_client.is_empty() { server.to_owned() } else { format!("{server}?{}", of_client.join("&")) };
    let info = plain.as_str().into_connection_info().map_err(|error| refused(error.category()))?;
    let location = info.addr().to_string();
    // Off by default in this client; on a network it costs a delayed ACK (40 ms) now and then.
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Ok(Target { info, location, config })
}

fn duration(name: &str, value: &str) -> Result<Duration> {
    let millis = value.parse::<u64>().map_err(|_| refused(format_args!("the option {name} is no whole number of milliseconds")))?;
    Ok(Duration::from_millis(millis))
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({}, namespace {})", self.location, self.config.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_sets_server_and_options() {
        let url = "redis://ops:secret@10.0.0.5:7000/3?namespace=acme&response_timeout_ms=900&eviction=accepted";
        let target = read(url, Config::default()).unwrap();
        assert_eq!(target.location, "10.0.0.5:7000");
        assert_eq!((target.info.redis_settings().db(), target.info.redis_settings().password()), (3, Some("secret")));
        let config = target.config;
        assert_eq!((config.namespace.as_str(), config.response_timeout.as_millis()), ("acme", 900));
        assert_eq!(config.eviction, Eviction::Accepted);
        let socket = read("redis+unix:///run/redis.sock?db=2&namespace=acme", Config::default()).unwrap();
        assert_eq!((socket.location.as_str(), socket.info.redis_settings().db()), ("/run/redis.sock", 2));
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        for url in [
            "redis://u:hunter2@",
            "redis://u:hunter2@h:x",
            "redis://u:hunter2@h/db",
            "redis://u:hunter2@h?lease=3",
            "redis://u:a?hunter2=b@h",
            "redis://u:a?namespace=hunter2@h",
            "redis://u:a?hunter2@h?namespace=acme",
            "redis://u:hunter2@h?namespace",
            "redis://u:hunter2@h?namespace=A",
            "redis://u:hunter2@h?response_timeout_ms=5s",
            "redis://u:hunter2@h?response_timeout_ms=1",
            "rediss://u:hunter2@h",
            "hunter2",
        ] {
            let error = read(url, Config::default()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let target = read("redis://u:hunter2@h", Config::default()).unwrap();
        assert!(!format!("{target:?}").contains("hunter2"));
    }
}
