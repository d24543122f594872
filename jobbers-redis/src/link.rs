//! One connection that comes back by itself.
//!
//! Calls share it and are pipelined. It is made when it is first needed, and anew when a call finds it broken: after an I/O error, and after
//! an answer that did not come in time, since a half-open connection never says that it is. One caller connects, the others wait for it;
//! after a failure the next attempt is made no sooner than [`PAUSE`] later, so that a server that is down is not stormed.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jobbers_core::{Error, ErrorKind, Result};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::Target;
use crate::fault::{self, At};
use crate::script::Script;

/// The shortest time between two attempts to connect, spread by half of it.
const PAUSE: Duration = Duration::from_millis(100);
/// Calls that wait to be written: more than the slots of a large worker, less than would hide a server that hangs.
const CALLS_COUNT_MAX: usize = 4096;

/// A connection that comes back by itself.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    settings: AsyncConnectionConfig,
    location: String,
    current: RwLock<Current>,
    connecting: Mutex<Option<(Instant, String)>>,
    shas: Arc<Shas>,
}

/// What scripts are called by.
pub(crate) type Shas = std::sync::OnceLock<Vec<String>>;

#[derive(Default)]
struct Current {
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection {} {}", self.number, if self.connection.is_some() { "up" } else { "down" })
    }
}

/// What a server refuses comes as a value.
fn refusal(value: Value) -> Result<Value, RedisError> {
    match value {
        Value::ServerError(error) => Err(error.into()),
        value => Ok(value),
    }
}

/// How long a connection's calls may wait for their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as the configuration says.
    Bounded,
    /// For ever: the connection is used for calls that block at the server.
    Blocking,
}

impl Link {
    pub(crate) fn new(target: &Target, patience: Patience, shas: Arc<Shas>) -> Result<Link> {
        let at = At { op: "open a redis backend", location: &target.location };
        let client = Client::open(target.info.clone()).map_err(|error| fault::from_redis(at, &error))?;
        let response = (patience == Patience::Bounded).then_some(target.config.response_timeout);
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(target.config.connect_timeout))
            .set_response_timeout(response)
            .set_pipeline_buffer_size(CALLS_COUNT_MAX);
        let location = target.location.clone();
        Ok(Link { client, settings, location, current: RwLock::default(), connecting: Mutex::default(), shas })
    }

    /// The server, without credentials.
    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    pub(crate) fn at(&self, op: &'static str) -> At<'_> {
        At { op, location: &self.location }
    }

    fn standing(&self) -> (u64, Option<MultiplexedConnection>) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (current.number, current.connection.clone())
    }

    async fn connection(&self, op: &'static str) -> Result<(u64, MultiplexedConnection)> {
        if let (number, Some(connection)) = self.standing() {
            return Ok((number, connection));
        }
        let mut last = self.connecting.lock().await;
        if let (number, Some(connection)) = self.standing() {
            return Ok((number, connection));
        }
        let unavailable = |why: &str| {
            let context = format!("redis at {}: it can not be reached; is it running?", self.location);
            Error::new(ErrorKind::Unavailable, op, context).with_source(why.to_owned())
        };
        if let Some((_, why)) = last.as_ref().filter(|(until, _)| Instant::now() < *until) {
            return Err(unavailable(why));
        }
        match self.client.get_multiplexed_async_connection_with_config(&self.settings).await {
            Ok(connection) => {
                *last = None;
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                current.number += 1;
                if current.number > 1 {
                    tracing::info!(location = self.location, "connected to redis again");
                }
                current.connection = Some(connection.clone());
                Ok((current.number, connection))
            }
            Err(error) => {
                let pause = PAUSE.mul_f64(0.5 + fastrand::f64() / 2.0);
                *last = Some((Instant::now() + pause, error.to_string()));
                // Nothing was sent: whatever the server said, or did not say, the call was not applied.
                let known = fault::from_redis(self.at(op), &error);
                Err(if known.kind() == ErrorKind::Unavailable { unavailable(&error.to_string()) } else { known })
            }
        }
    }

    /// Connects if needed, and says which connection it is: another one has another number.
    pub(crate) async fn number(&self, op: &'static str) -> Result<u64> {
        self.connection(op).await.map(|(number, _)| number)
    }

    /// Gives the connection up.
    pub(crate) fn give_up(&self) {
        self.current.write().unwrap_or_else(PoisonError::into_inner).connection = None;
    }

    /// Gives the connection up, unless another one stands already.
    fn broken(&self, number: u64, error: &RedisError) {
        let lost = !fault::answered(error);
        // The server that was asked is no primary any more: the name may lead to another one by now.
        let demoted = error.kind() == redis::ErrorKind::Server(ServerErrorKind::ReadOnly);
        if !lost && !demoted {
            return;
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.number == number && current.connection.take().is_some() {
            tracing::warn!(location = self.location, %error, "the connection to redis is given up");
        }
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn send(&self, op: &'static str, command: &Cmd) -> Result<Value> {
        self.raw(op, command).await?.map_err(|error| fault::from_redis(self.at(op), &error))
    }

    async fn raw(&self, op: &'static str, command: &Cmd) -> Result<Result<Value, RedisError>> {
        let (number, mut connection) = self.connection(op).await?;
        let answer = connection.req_packed_command(command).await.and_then(refusal);
        Ok(answer.inspect_err(|error| self.broken(number, error)))
    }

    /// Sends commands in one go and waits for their answers. A command that fails fails all of them.
    pub(crate) async fn send_all(&self, op: &'static str, commands: &Pipeline) -> Result<Vec<Value>> {
        let (number, mut connection) = self.connection(op).await?;
        let answer = connection.req_packed_commands(commands, 0, commands.len()).await;
        let values = answer.inspect_err(|error| self.broken(number, error)).map_err(|error| fault::from_redis(self.at(op), &error))?;
        values.into_iter().map(|value| refusal(value).map_err(|error| fault::from_redis(self.at(op), &error))).collect()
    }

    /// Runs a script. A server that does not know it (any more) is sent its text.
    pub(crate) async fn script<'a>(
        &self,
        op: &'static str,
        script: Script,
        keys: impl Iterator<Item = &'a str> + Clone,
        args: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<Value> {
        let build = |verb: &str, what: &str| {
            let mut command = redis::cmd(verb);
            command.arg(what).arg(keys.clone().count());
            for key in keys.clone() {
                command.arg(key);
            }
            for arg in args.clone() {
                command.arg(arg);
            }
            command
        };
        if let Some(sha) = self.shas.get().map(|shas| &shas[script as usize]) {
            match self.raw(op, &build("EVALSHA", sha)).await? {
                Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) => {}
                answer => return answer.map_err(|error| fault::from_redis(self.at(op), &error)),
            }
        }
        self.send(op, &build("EVAL", script.text())).await
    }

    /// Loads every script, so that each call names one in 40 bytes.
    pub(crate) async fn load_scripts(&self) -> Result<()> {
        let op = "load the scripts";
        let mut commands = redis::pipe();
        for script in &Script::ALL {
            commands.cmd("SCRIPT").arg("LOAD").arg(script.text());
        }
        let shas = self.send_all(op, &commands).await?;
        let shas: Option<Vec<String>> = shas.into_iter().map(|sha| redis::from_redis_value(sha).ok()).collect();
        self.shas.get_or_init(|| shas.unwrap_or_default());
        Ok(())
    }
}
