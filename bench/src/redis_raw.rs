//! Raw commands on the same server, and what the server says of itself.

use std::time::Instant;

use redis::aio::MultiplexedConnection;

use crate::Trouble;

/// Raw commands of one round trip.
const BATCH: usize = 500;
const KEY: &str = "{jobbers-bench:0}:raw";

async fn connection(url: &str) -> Result<MultiplexedConnection, Trouble> {
    let settings = redis::AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(4096);
    Ok(redis::Client::open(bare(url))?.get_multiplexed_async_connection_with_config(&settings).await?)
}

/// The URL without the options of ours.
fn bare(url: &str) -> &str {
    url.split_once('?').map_or(url, |(bare, _)| bare)
}

/// Elements a second that pipelines of 500 `RPUSH` push.
pub(crate) async fn raw_pushes(url: &str, elements: usize, bytes: &[u8]) -> Result<f64, Trouble> {
    let mut connection = connection(url).await?;
    let start = Instant::now();
    for first in (0..elements).step_by(BATCH) {
        let mut pipe = redis::pipe();
        for _ in 0..BATCH.min(elements - first) {
            pipe.cmd("RPUSH").arg(KEY).arg(bytes).ignore();
        }
        pipe.query_async::<()>(&mut connection).await?;
    }
    Ok(elements as f64 / start.elapsed().as_secs_f64())
}

/// Elements a second that `LPOP` of 500 takes, one after the other.
pub(crate) async fn raw_pops(url: &str, elements: usize) -> Result<f64, Trouble> {
    let mut connection = connection(url).await?;
    let start = Instant::now();
    let mut left = elements;
    while left > 0 {
        let some: Vec<Vec<u8>> = redis::cmd("LPOP").arg(KEY).arg(BATCH).query_async(&mut connection).await?;
        if some.is_empty() {
            return Err(format!("{left} raw elements are missing").into());
        }
        left -= some.len();
    }
    Ok(elements as f64 / start.elapsed().as_secs_f64())
}

/// Elements a second that so many callers of one connection push, one at a time each.
pub(crate) async fn raw_callers(url: &str, elements: usize, callers: usize, bytes: &[u8]) -> Result<f64, Trouble> {
    let connection = connection(url).await?;
    let each = elements / callers;
    let start = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (mut connection, bytes) = (connection.clone(), bytes.to_vec());
        all.spawn(async move {
            for _ in 0..each {
                redis::cmd("RPUSH").arg(KEY).arg(&bytes).query_async::<()>(&mut connection).await?;
            }
            Ok::<(), redis::RedisError>(())
        });
    }
    while let Some(caller) = all.join_next().await {
        caller??;
    }
    Ok((each * callers) as f64 / start.elapsed().as_secs_f64())
}

/// The server, asked about itself.
pub(crate) struct Server(MultiplexedConnection);

impl Server {
    pub(crate) async fn connect(url: &str) -> Result<Server, Trouble> {
        Ok(Server(connection(url).await?))
    }

    async fn info(&mut self, section: &str) -> Result<String, Trouble> {
        Ok(redis::cmd("INFO").arg(section).query_async(&mut self.0).await?)
    }

    async fn fact(&mut self, section: &str, name: &str) -> Result<f64, Trouble> {
        let text = self.info(section).await?;
        let line = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name);
        let (_, value) = line.ok_or_else(|| format!("the server does not say its {name}"))?;
        Ok(value.trim().parse()?)
    }

    /// Microseconds of the server's main thread so far: also those of reading commands and writing answers.
    pub(crate) async fn micros(&mut self) -> Result<f64, Trouble> {
        let (user, system) = (self.fact("cpu", "used_cpu_user_main_thread").await?, self.fact("cpu", "used_cpu_sys_main_thread").await?);
        Ok((user + system) * 1e6)
    }

    pub(crate) async fn memory(&mut self) -> Result<f64, Trouble> {
        self.fact("memory", "used_memory").await
    }

    /// Commands that it was sent: of those, scripts never run one.
    pub(crate) async fn commands(&mut self) -> Result<f64, Trouble> {
        let text = self.info("commandstats").await?;
        let calls = |line: &str| line.split_once("calls=").and_then(|(_, rest)| rest.split(',').next()?.parse::<f64>().ok());
        let sent =
            |line: &&str| ["eval", "evalsha", "blpop", "client", "script"].iter().any(|name| line.starts_with(&format!("cmdstat_{name}")));
        Ok(text.lines().filter(sent).filter_map(calls).sum())
    }

    pub(crate) async fn setting(&mut self, name: &str) -> Result<String, Trouble> {
        let pair: Vec<String> = redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut self.0).await?;
        Ok(pair.into_iter().nth(1).unwrap_or_default())
    }

    pub(crate) async fn set(&mut self, name: &str, value: &str) -> Result<(), Trouble> {
        Ok(redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query_async(&mut self.0).await?)
    }

    /// Waits until its append-only file is whole.
    pub(crate) async fn rewritten(&mut self) -> Result<(), Trouble> {
        while self.fact("persistence", "aof_rewrite_in_progress").await? + self.fact("persistence", "aof_rewrite_scheduled").await? > 0.0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Deletes every key of a namespace, at once: what is freed behind one's back spoils the figures of memory.
    pub(crate) async fn forget(&mut self, namespace: &str) -> Result<(), Trouble> {
        let mut cursor = 0u64;
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{{{namespace}:*"))
                .arg("COUNT")
                .arg(1_000)
                .query_async(&mut self.0)
                .await?;
            if !keys.is_empty() {
                redis::cmd("DEL").arg(&keys).query_async::<()>(&mut self.0).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}
