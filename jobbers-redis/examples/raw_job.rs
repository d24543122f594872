//! Prints one job from its raw keys: for a look at a server when nothing else can be trusted. It reads, and changes nothing.
//!
//! `cargo run -p jobbers-redis --example raw_job -- redis://127.0.0.1:6379 acme 01ARZ3NDEKTSV4RRFFQ69G5FAV`
//!
//! It decodes by itself what the README's section on the layout says, and shares no code with the driver.

use std::error::Error;

use jobbers_core::{JobId, RunId, WorkerId};
use redis::aio::MultiplexedConnection;

const STATES: [&str; 9] = ["waiting", "scheduled", "ready", "parked", "running", "succeeded", "dead", "cancelled", "skipped"];
const NONE: u64 = (1 << 48) - 1;

struct From<'a>(&'a [u8]);

impl<'a> From<'a> {
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        head
    }

    fn number(&mut self, length: usize) -> u64 {
        self.bytes(length).iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    fn text(&mut self) -> String {
        let length = self.number(1) as usize;
        String::from_utf8_lossy(self.bytes(length)).into_owned()
    }

    fn time(&mut self) -> String {
        match self.number(6) {
            NONE => "never".into(),
            millis => jobbers_core::Timestamp::from_millis(millis as i64).map_or_else(|error| error.to_string(), |at| at.to_string()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, namespace, id] = &args[..] else { return Err("usage: raw_job URL NAMESPACE JOB".into()) };
    let id: JobId = id.parse()?;
    let bytes = id.to_bytes();
    let field = if id.step == 0 { &bytes[..16] } else { &bytes[..] };
    let mut connection = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    let key = |name: &str| format!("{{{namespace}:0}}:{name}");

    let bucket = key(&format!("record:{:x}", field[15] & 15));
    let Some(record) = get(&mut connection, &bucket, field).await? else {
        return Err(format!("{bucket} has no job {id}").into());
    };
    println!("{id} in {bucket}: {} bytes", record.len());
    show_record(&record);
    if let Some(live) = get(&mut connection, &key("live"), field).await? {
        show_live(&live);
    }
    if let Some(joins) = get(&mut connection, &key("joins"), field).await? {
        let mut from = From(&joins);
        let [remaining, succeeded, failed, skipped] = [(); 4].map(|()| from.number(4));
        println!("parents: {remaining} remain, {succeeded} succeeded, {failed} failed, {skipped} were skipped");
    }
    for name in ["asked", "progress"] {
        if let Some(bytes) = get(&mut connection, &key(name), field).await? {
            println!("{name}: {} bytes", bytes.len());
        }
    }
    for (name, what) in [("timers", "timer of its own"), ("hidden", "hidden timer")] {
        let score: Option<f64> = redis::cmd("ZSCORE").arg(key(name)).arg(field).query_async(&mut connection).await?;
        if let Some(score) = score {
            println!("{what}: {score}");
        }
    }
    if id.step == 0 {
        let steps = get(&mut connection, &key("steps"), field).await?;
        println!("unended steps of {}: {}", RunId::from_u128(id.run.as_u128()), steps.map_or(0, |steps| From(&steps).number(4)));
    }
    Ok(())
}

async fn get(connection: &mut MultiplexedConnection, key: &str, field: &[u8]) -> redis::RedisResult<Option<Vec<u8>>> {
    redis::cmd("HGET").arg(key).arg(field).query_async(connection).await
}

fn show_record(record: &[u8]) {
    let mut from = From(record);
    let (version, state, flags) = (from.number(1), from.number(1), from.number(1));
    let state = STATES.get(state as usize).unwrap_or(&"unknown");
    let nonce = from.number(8);
    println!("version {version}, {state}, flags {flags:#010b}, submitted {}", from.time());
    let count = if flags & 1 != 0 { from.number(4) } else { 1 };
    let born = if flags & 2 != 0 { from.number(8) } else { nonce };
    let attempt = if flags & 4 != 0 { from.number(4) } else { 0 };
    let wake = if flags & 8 != 0 { from.time() } else { "never".into() };
    println!("revision {count} of {nonce:016x}, born of {born:016x}, attempt {attempt}, wakes {wake}");
    let priority = from.number(1);
    let queue = from.text();
    let task_length = from.number(1) as usize;
    let mut task = From(from.bytes(task_length));
    let version_length = task.number(1) as usize;
    let version = task.number(version_length);
    println!("task {} version {version} in queue {queue}, level {priority}", String::from_utf8_lossy(task.0));
    if flags & 64 != 0 {
        let length = from.number(2) as usize;
        println!("more of its head: {} bytes", from.bytes(length).len());
    }
    let parts = from.number(1);
    for (number, name) in ["spec", "trail", "output"].iter().enumerate() {
        if parts & (16 << number) != 0 {
            println!("{name}: {} bytes apart, named ..{:016x}", from.number(4), from.number(8));
        } else if parts & (1 << number) != 0 {
            let length = from.number(2) as usize;
            println!("{name}: {} bytes", from.bytes(length).len());
        }
    }
}

fn show_live(live: &[u8]) {
    let mut from = From(live);
    let (wake, flags, state) = (from.time(), from.number(1), from.number(1));
    let (count, nonce) = (from.number(4), from.number(8));
    from.bytes(14);
    let (attempt, started) = (from.number(4), from.time());
    let owner = from.bytes(16).iter().fold(0, |number: u128, byte| (number << 8) | u128::from(*byte));
    let state = STATES.get(state as usize).unwrap_or(&"unknown");
    println!("overlaid: {state}, revision {count} of {nonce:016x}, wakes {wake}, flags {flags:#010b}");
    if flags & 16 == 0 {
        println!("attempt {attempt} since {started} on worker {}", WorkerId::from_u128(owner));
    }
}
