//! Opening a backend: what the server has to be, and what the namespace on it has to say.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use jobbers_core::driver::{Backend, BackendParts, Capabilities, Capability, Open, RateLimiter, StateStore};
use jobbers_core::{Clock, Error, ErrorKind, Result};
use redis::Value;

use crate::answer;
use crate::call::Caller;
use crate::clock::{Measured, ServerClock};
use crate::config::{self, Config, Eviction, Target};
use crate::fault::At;
use crate::keys::Keys;
use crate::limiter::RedisLimiter;
use crate::link::{Link, Patience, Shas};
use crate::listen::{Ears, Emptied};
use crate::queue::RedisQueue;
use crate::store::Store;
use crate::take::RedisTake;

/// The layout that this build reads and writes; the README says what it is.
const LAYOUT: i64 = 1;
/// Shards of a namespace on one server.
const SHARDS: i64 = 1;

const OP: &str = "open a redis backend";

/// Opens a backend on the server of a URL: `redis://[user][:password@]host[:port][/db][?options]`, or `redis+unix:///path/of/socket`.
///
/// # Errors
/// `Unavailable` if the server can not be reached, is loading, or is busy; `Unsupported` if it is none that this driver runs on; `Invalid`
/// if the URL is wrong, or the server may evict jobs; `Damaged` if the namespace was written by a newer Jobbers.
///
/// Cancel safe.
pub async fn open(url: &str) -> Result<Backend> {
    open_with(url, Config::default()).await
}

/// Opens a backend with options of its own; those in the URL win.
///
/// # Errors
/// As [`open`].
///
/// Cancel safe.
pub async fn open_with(url: &str, config: Config) -> Result<Backend> {
    Backend::new(parts(url, config).await?)
}

/// The parts of a backend: to put one together with wrappers, or with parts of another driver. With another queue, ask for
/// [`Dispatch::Caller`](jobbers_core::driver::Dispatch::Caller) and leave out `take`.
///
/// # Errors
/// As [`open`].
///
/// Cancel safe.
pub async fn parts(url: &str, config: Config) -> Result<BackendParts> {
    let target = config::read(url, config)?;
    let shas = Arc::new(Shas::new());
    let link = Arc::new(Link::new(&target, Patience::Bounded, shas.clone())?);
    let durable = check_server(&link, &target).await?;
    link.load_scripts().await?;
    let keys = Arc::new(Keys::new(&target.config.namespace, 0));
    check_namespace(&link, &keys).await?;
    let server = Arc::new(ServerClock::default());
    server.measure(&link).await?;
    let measured = Measured::now(server.clone());
    let clock: Arc<dyn Clock> = target.config.clock.clone().unwrap_or(server);
    let draw = target.config.draws.clone().unwrap_or_else(|| BackendParts::system().1);
    let guarantees = if durable {
        Capabilities::of(&[Capability::MultiProcess, Capability::Durable])
    } else {
        Capabilities::of(&[Capability::MultiProcess])
    };
    let again = Again { target: target.clone(), keys: keys.clone(), guarantees, measured, shas: shas.clone() };
    let (store, limiter) = again.on(link.clone());
    let blocking = Link::new(&target, Patience::Blocking, shas)?;
    let ears = Arc::new(Ears::new(keys, link, blocking));
    let emptied = Arc::new(Emptied::default());
    let queue = RedisQueue { caller: store.caller.clone(), guarantees, ears, emptied: emptied.clone() };
    Ok(BackendParts {
        name: "redis",
        location: format!("redis://{}?namespace={}", target.location, target.config.namespace),
        queue: Arc::new(queue),
        store: store.clone(),
        dispatch: target.config.dispatch,
        paired: true,
        limiter,
        take: Some(Arc::new(RedisTake { store, emptied })),
        clock,
        draw,
        open: Arc::new(again),
    })
}

/// Opens a second store and limiter, with a connection of their own.
#[derive(Debug)]
struct Again {
    target: Target,
    keys: Arc<Keys>,
    guarantees: Capabilities,
    measured: Measured,
    shas: Arc<Shas>,
}

impl Again {
    fn on(&self, link: Arc<Link>) -> (Arc<Store>, Arc<RedisLimiter>) {
        let caller = Caller { link: link.clone(), keys: self.keys.clone(), dispatch: self.target.config.dispatch };
        let store = Store { caller, guarantees: self.guarantees, measured: self.measured.clone() };
        let limiter = RedisLimiter { link, keys: self.keys.limits(), guarantees: self.guarantees };
        (Arc::new(store), Arc::new(limiter))
    }
}

#[async_trait]
impl Open for Again {
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        // It connects when it is first called: a server that is down just now must not keep a worker from having its lease thread.
        let link = Arc::new(Link::new(&self.target, Patience::Bounded, self.shas.clone())?);
        let (store, limiter) = self.on(link);
        Ok((store, limiter))
    }
}

fn refused(at: At<'_>, kind: ErrorKind, why: impl std::fmt::Display) -> Error {
    Error::new(kind, at.op, format!("redis at {}: {why}", at.location))
}

/// What `INFO` says, by name.
fn facts(text: &str) -> HashMap<&str, &str> {
    text.lines().filter_map(|line| line.trim_end().split_once(':')).collect()
}

/// Whether a version like `7.0.15` is at least this one.
fn at_least(version: &str, least: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= least
}

/// Checks that the server is one that this driver runs on, and says whether what it acknowledges survives it.
async fn check_server(link: &Link, target: &Target) -> Result<bool> {
    let at = link.at(OP);
    let answer = link.send(OP, &redis::cmd("INFO")).await?;
    let text = answer::bytes(at, answer)?;
    let text = String::from_utf8_lossy(&text);
    let facts = facts(&text);
    let fact = |name: &str| facts.get(name).copied().unwrap_or_default();
    let no = |kind, why: String| Err(refused(at, kind, why));
    if let Some(version) = facts.get("dragonfly_version") {
        return no(ErrorKind::Unsupported, format!("it is Dragonfly {version}; Redis 7.0 or Valkey 7.2, or later, is needed"));
    }
    let (name, version, least) = match facts.get("valkey_version") {
        Some(version) => ("Valkey", *version, (7, 2)),
        None => ("Redis", fact("redis_version"), (7, 0)),
    };
    if !at_least(version, least) {
        return no(ErrorKind::Unsupported, format!("it is {name} {version:?}; Redis 7.0 or Valkey 7.2, or later, is needed"));
    }
    if fact("redis_mode") == "cluster" {
        return no(ErrorKind::Unsupported, "it is a cluster's node, which this driver can not use; name a server of its own".into());
    }
    if fact("loading") == "1" {
        return no(ErrorKind::Unavailable, "it is still loading its data".into());
    }
    if fact("role") != "master" {
        let primary = format!("{}:{}", fact("master_host"), fact("master_port"));
        return no(ErrorKind::Unavailable, format!("it is a read-only replica; name its primary ({primary})"));
    }
    let policy = fact("maxmemory_policy");
    if policy != "noeviction" && target.config.eviction == Eviction::Refused {
        let advice = "set it to noeviction, or say eviction=accepted in the URL if jobs may be lost";
        return no(ErrorKind::Invalid, format!("its maxmemory-policy is {policy}, so it forgets jobs when it is full; {advice}"));
    }
    warn_of_replicas(link, fact("connected_slaves")).await;
    Ok(fact("aof_enabled") == "1")
}

/// Says so if a failover may lose what was acknowledged. A server that does not tell its settings is left alone.
async fn warn_of_replicas(link: &Link, replicas: &str) {
    if replicas == "0" || replicas.is_empty() {
        return;
    }
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("min-replicas-to-write");
    let Ok(Value::Array(setting)) = link.send(OP, &command).await else { return };
    if setting.get(1).and_then(|value| answer::number(link.at(OP), value).ok()) == Some(0) {
        tracing::warn!(location = link.location(), replicas, "a failover may lose acknowledged jobs: set min-replicas-to-write to 1");
    }
}

/// Checks that the namespace is of this layout, and makes it if it is not there.
async fn check_namespace(link: &Link, keys: &Keys) -> Result<()> {
    let at = link.at(OP);
    let meta = keys.named("meta");
    let mut commands = redis::pipe();
    commands.cmd("HSETNX").arg(&meta).arg("layout").arg(LAYOUT).ignore();
    commands.cmd("HSETNX").arg(&meta).arg("shards").arg(SHARDS).ignore();
    commands.cmd("HMGET").arg(&meta).arg("layout").arg("shards");
    let mut read = redis::cmd("HMGET");
    read.arg(&meta).arg("layout").arg("shards");
    let mut found = answer::list(at, link.send(OP, &read).await?)?;
    // A namespace that exists is opened on a full server too.
    if found.contains(&Value::Nil) {
        let last = link.send_all(OP, &commands).await?.pop().unwrap_or_default();
        found = answer::list(at, last)?;
    }
    let number = |n: usize| found.get(n).and_then(|value| answer::number(at, value).ok());
    match (number(0), number(1)) {
        (Some(LAYOUT), Some(SHARDS)) => check_types(link, keys).await,
        (Some(layout), Some(_)) if layout > LAYOUT => {
            let why = format!("the namespace has layout {layout}, this build knows {LAYOUT}: a newer Jobbers uses it; update this one");
            Err(refused(at, ErrorKind::Damaged, why))
        }
        (Some(LAYOUT), Some(shards)) => {
            Err(refused(at, ErrorKind::Unsupported, format!("the namespace has {shards} shards, on one server this build knows 1")))
        }
        _ => Err(refused(at, ErrorKind::Damaged, format!("the key {meta} says nothing of a layout; it was not written by Jobbers"))),
    }
}

/// Checks that no fixed key holds what somebody else wrote: better now than in the middle of a commit.
async fn check_types(link: &Link, keys: &Keys) -> Result<()> {
    let mut commands = redis::pipe();
    for key in keys.fixed() {
        commands.cmd("TYPE").arg(key);
    }
    let types = link.send_all(OP, &commands).await?;
    for (key, value) in keys.fixed().iter().zip(types) {
        let sorted = ["timers", "hidden", "staged", "pulled"].iter().any(|name| key.ends_with(&format!("}}:{name}")));
        let kind = match &value {
            Value::SimpleString(kind) => kind.as_str(),
            _ => "none",
        };
        if kind != "none" && kind != if sorted { "zset" } else { "hash" } {
            let why = format!("the key {key} is a {kind} that Jobbers has not written; move it, or take another namespace");
            return Err(refused(link.at(OP), ErrorKind::Damaged, why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(at_least("7.0.15", (7, 0)) && at_least("10.1", (7, 2)) && at_least("8.0.1", (7, 2)));
        assert!(!at_least("6.2.9", (7, 0)) && !at_least("7.1.9", (7, 2)) && !at_least("", (7, 0)));
    }
}
