//! A driver of one's own: a queue over a plain directory, paired with the memory driver's store and limiter.
//!
//! A delivery is an empty file whose name says everything. It is created in `<queue>/waiting`, pulled by a rename to `<queue>/held`, and
//! acked by its removal. Each step is one atomic call, so a crash at any point leaves a delivery in one of both places, and no lock behind:
//! what it held comes back when its time is over.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use jobbers_core::client::Client;
//! use jobbers_core::memory::Memory;
//! use jobbers_core::task::Task;
//! use jobbers_core::worker::Worker;
//!
//! const DOUBLE: Task<u32, u32> = Task::new("double");
//!
//! async fn double(n: u32) -> Result<u32, std::num::TryFromIntError> {
//!     Ok(n * 2)
//! }
//!
//! let directory = std::env::temp_dir().join(format!("custom-driver-{}", std::process::id()));
//! let backend = custom_driver::open(&directory, Memory::new())?;
//! let worker = Worker::queues(["default"]).task(DOUBLE, double).start(&backend).await?;
//! let job = Client::new(&backend).submit(DOUBLE, &21).await?;
//! assert_eq!(job.output().await?, 42);
//! worker.stop().await?;
//! # std::fs::remove_dir_all(directory)?;
//! # Ok(())
//! # }
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use jobbers_core::driver::{Backend, BackendParts, Capabilities, Capability, Delivery, Dispatch, Place, Pull, Pulled, Queue, Receipt};
use jobbers_core::memory::Memory;
use jobbers_core::record::Priority;
use jobbers_core::{Error, ErrorKind, JobId, QueueName, Result, Timestamp};
use tokio::sync::Notify;

/// How often a listener looks for what other processes have pushed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Opens a backend: the queue in `directory`, which is made where it is missing; store and limiter in memory, as configured.
///
/// # Errors
/// If the directory can not be made.
pub fn open(directory: impl Into<PathBuf>, memory: Memory) -> Result<Backend> {
    let queue = DirectoryQueue::open(directory)?;
    let location = format!("directory:{}", queue.root.display());
    let parts = memory.dispatch(Dispatch::Caller).parts();
    Backend::new(BackendParts { name: "directory", location, queue: Arc::new(queue), paired: false, take: None, ..parts })
}

/// Deliveries as files of one directory.
#[derive(Debug)]
pub struct DirectoryQueue {
    root: PathBuf,
    /// Orders what is pushed, and makes names unique. It starts at the time, so that a later process counts on.
    next: AtomicU64,
    pushed: Notify,
}

impl DirectoryQueue {
    /// Opens the queue in `directory`, which is made where it is missing. Several processes may open it at once.
    ///
    /// # Errors
    /// If the directory can not be made.
    pub fn open(directory: impl Into<PathBuf>) -> Result<DirectoryQueue> {
        let root = directory.into();
        fs::create_dir_all(&root).map_err(|error| trouble("open a queue", &root, error))?;
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let next = AtomicU64::new(u64::try_from(nanos).unwrap_or(0));
        Ok(DirectoryQueue { root, next, pushed: Notify::new() })
    }

    fn waiting(&self, queue: &QueueName) -> PathBuf {
        self.root.join(queue.as_str()).join("waiting")
    }

    fn held(&self, queue: &QueueName) -> PathBuf {
        self.root.join(queue.as_str()).join("held")
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts back what was not acked in time.
    fn bring_back(&self, queue: &QueueName, now: Timestamp) -> Result<()> {
        for name in names(&self.held(queue))? {
            if let Some((_, waiting)) = read_held(&name).filter(|(back_at, _)| *back_at <= now.as_millis()) {
                rename("pull", &self.held(queue).join(&name), &self.waiting(queue).join(waiting))?;
            }
        }
        Ok(())
    }

    /// Takes one delivery; `None` if somebody else was faster.
    fn hold(&self, queue: &QueueName, name: &str, back_at: Timestamp) -> Result<Option<(Delivery, Receipt)>> {
        let Some((priority, place, id)) = read_waiting(name) else { return Ok(None) };
        // The number makes each receipt a new one: that of an earlier pull settles nothing.
        let held = format!("{:015}_{:020}_{name}", back_at.as_millis(), self.number());
        let taken = rename("pull", &self.waiting(queue).join(name), &self.held(queue).join(&held))?;
        let delivery = Delivery { id, queue: queue.clone(), priority, place };
        Ok(taken.then(|| (delivery, Receipt(format!("{queue}/{held}").into()))))
    }
}

// The calls of a local file system are short, and they are made at once: a dropped future has done all of a call or nothing.
#[async_trait]
impl Queue for DirectoryQueue {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[Capability::Durable, Capability::MultiProcess, Capability::Priority])
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        for delivery in deliveries {
            let waiting = self.waiting(&delivery.queue);
            for folder in [&waiting, &self.held(&delivery.queue)] {
                fs::create_dir_all(folder).map_err(|error| trouble("push", folder, error))?;
            }
            let path = waiting.join(write_waiting(delivery, self.number()));
            match File::create_new(&path) {
                // Another process pushes the same job under the same number: one delivery is enough.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                created => drop(created.map_err(|error| trouble("push", &path, error))?),
            }
        }
        self.pushed.notify_waiters();
        Ok(())
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        let mut pulled = Pulled::default();
        for (queue, most) in &pull.queues {
            self.bring_back(queue, pull.now)?;
            let room = (*most as usize).min(pull.max as usize - pulled.items.len());
            let waiting = names(&self.waiting(queue))?;
            pulled.more |= waiting.len() > room;
            for name in waiting.iter().take(room) {
                pulled.items.extend(self.hold(queue, name, pull.back_at)?);
            }
        }
        Ok(pulled)
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        let mut left = most;
        loop {
            // Made before the look, so that no push falls between both.
            let pushed = self.pushed.notified();
            for queue in queues {
                if !names(&self.waiting(queue))?.is_empty() {
                    return Ok(());
                }
            }
            if left.is_zero() {
                return Ok(());
            }
            // Woken or not: the next look tells.
            let _ = tokio::time::timeout(left.min(LOOK_EVERY), pushed).await;
            left = left.saturating_sub(LOOK_EVERY);
        }
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        for receipt in receipts {
            let Some((queue, name)) = read_receipt(receipt) else { continue };
            let path = self.held(&queue).join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(trouble("ack", &path, error)),
                _ => (),
            }
        }
        Ok(())
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        queues.iter().map(|queue| Ok(names(&self.waiting(queue))?.len() as u64)).collect()
    }
}

/// The name of a waiting delivery: files are pulled in the order of their names.
fn write_waiting(delivery: &Delivery, number: u64) -> String {
    let level = Priority::ALL.iter().position(|one| *one == delivery.priority).unwrap_or(0);
    match delivery.place {
        // The latest in front comes first.
        Place::Front => format!("{level}a{:020}_{}", u64::MAX - number, delivery.id),
        Place::Back => format!("{level}b{number:020}_{}", delivery.id),
    }
}

fn read_waiting(name: &str) -> Option<(Priority, Place, JobId)> {
    let (order, id) = name.split_once('_')?;
    let priority = *Priority::ALL.get(order.get(..1)?.parse::<usize>().ok()?)?;
    let place = if order.get(1..2)? == "a" { Place::Front } else { Place::Back };
    Some((priority, place, id.parse().ok()?))
}

/// When a held delivery comes back, and as what.
fn read_held(name: &str) -> Option<(u64, &str)> {
    let (back_at, rest) = name.split_once('_')?;
    let (_, waiting) = rest.split_once('_')?;
    read_waiting(waiting)?;
    Some((back_at.parse().ok()?, waiting))
}

/// The file that a receipt of this queue names; any other names none.
fn read_receipt(receipt: &Receipt) -> Option<(QueueName, &str)> {
    let (queue, name) = std::str::from_utf8(&receipt.0).ok()?.split_once('/')?;
    read_held(name).filter(|_| !name.contains('/'))?;
    Some((QueueName::new(queue).ok()?, name))
}

/// The deliveries in a folder, in the order of their names; none where there is no folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| trouble("list", folder, error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(|error| trouble("list", folder, error))?.file_name().into_string());
    }
    // What somebody else has put there is left alone.
    names.retain(|name| read_waiting(name).is_some() || read_held(name).is_some());
    names.sort_unstable();
    Ok(names)
}

/// Renames a file; `false` if it has gone: somebody else was faster.
fn rename(call: &'static str, from: &Path, to: &Path) -> Result<bool> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        renamed => renamed.map(|()| true).map_err(|error| trouble(call, from, error)),
    }
}

fn trouble(call: &'static str, path: &Path, error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::StorageFull { ErrorKind::Full } else { ErrorKind::Unavailable };
    Error::new(kind, call, format!("{}: is the directory there, and may it be written?", path.display())).with_source(error)
}
