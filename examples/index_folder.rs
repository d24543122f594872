//! Indexes a folder: a job a file, and one join that makes the report. Kill it half-way and start it again: it goes on where it stopped.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use jobbers::{Client, Ctx, JobError, MapEnd, MapPage, Retry, RunId, Task, Worker};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "Indexes a folder: SHA-256, size and lines of each file, duplicates, and what can not be read.

usage: index_folder [OPTIONS] FOLDER

  --backend URL       where jobs are kept    [redb:.jobbers/index_folder.redb]
  --report FILE       where the report goes  [index_report.json]
  --fresh             cancel an unfinished run and start anew
  --help              show this

Stop it with Ctrl-C, or kill it: the same command goes on where it stopped. Left out: .git, folders named target, and its own files.
Links, sockets and pipes are counted as skipped; links are not followed.";

const BACKEND: &str = "redb:.jobbers/index_folder.redb";
const QUEUE: &str = "index";
/// What vanished or can not be read will hardly come back: three tries. A job may be lost with its process as often as people kill it.
const SHORT: Retry = Retry::exponential(Duration::from_millis(200)).cap(Duration::from_secs(1)).failures_max(3).losses_max(1_000);
const LIST: Task<(), ()> = Task::new("index.list").queue(QUEUE).retry(SHORT);
const FILE: Task<Item, Facts> = Task::new("index.file").queue(QUEUE).retry(SHORT);
const REPORT: Task<OsString, Summary> = Task::new("index.report").queue(QUEUE).retry(SHORT);

/// A file: its place in the list, and its path for people to read.
#[derive(Serialize, Deserialize)]
struct Item {
    at: usize,
    path: String,
}

#[derive(Serialize, Deserialize, Default)]
struct Facts {
    sha256: String,
    mime: String,
    bytes: u64,
    lines: u64,
    words: u64,
}

#[derive(Serialize, Deserialize)]
struct Summary {
    report: OsString,
    table: Vec<(String, u64)>,
    dead: Vec<String>,
}

/// One page of the list, from where the map has come to: so a folder that changes meanwhile does no harm.
async fn list_page(ctx: Ctx, _: (), cursor: u64, most: usize) -> Result<MapPage<Item>, JobError> {
    let list = List::of(ctx.run())?;
    let range = cursor as usize..list.paths.len().min(cursor as usize + most);
    let last = if range.end == list.paths.len() { MapEnd::Last } else { MapEnd::More };
    Ok(MapPage { items: range.map(|at| Item { at, path: list.path(at).to_string_lossy().into_owned() }).collect(), last })
}

/// A file of at least so many bytes says how far it is, each time it has come so far again.
const STEP_BYTES: u64 = 8 << 20;

fn index_file(ctx: Ctx, item: Item) -> Result<Facts, JobError> {
    log_attempt(&ctx)?;
    let list = List::of(ctx.run())?;
    let path = list.root.join(list.path(item.at));
    let failed = |what: &'static str| move |error: io::Error| JobError::retry(format!("{what}: {error}"));
    let found = fs::symlink_metadata(&path).map_err(failed("look at it"))?;
    // A folder that could not be read is in the list as well, to say why.
    if !found.is_file() && !found.is_dir() {
        return Err(JobError::retry("it is no regular file any more"));
    }
    let mut file = File::open(&path).map_err(failed("open it"))?;
    let (mut sha, mut facts, mut in_word) = (Sha256::new(), Facts::default(), false);
    let mut buffer = vec![0; (1 << 20).min(found.len() as usize + 1)];
    loop {
        if ctx.is_cancelled() {
            return Err(JobError::retry(format!("stopped after {} bytes", facts.bytes)));
        }
        let read = file.read(&mut buffer).map_err(failed("read it"))?;
        if facts.bytes == 0 {
            facts.mime = mime(&buffer[..read]).to_owned();
        }
        if read == 0 {
            facts.sha256 = hex(&sha.finalize());
            return Ok(facts);
        }
        sha.update(&buffer[..read]);
        for byte in &buffer[..read] {
            let blank = byte.is_ascii_whitespace();
            facts.lines += u64::from(*byte == b'\n');
            facts.words += u64::from(!blank && !in_word);
            in_word = !blank;
        }
        facts.bytes += read as u64;
        if found.len() >= STEP_BYTES && facts.bytes % STEP_BYTES < read as u64 {
            ctx.step(format!("{} of {} MiB", facts.bytes >> 20, found.len() >> 20));
            ctx.progress(facts.bytes as f64 / found.len() as f64);
        }
    }
}

/// The type by content: by its magic bytes, else text where it is UTF-8; the head may end within a character.
fn mime(head: &[u8]) -> &'static str {
    let is_text = |head| std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none() && error.valid_up_to() > 0, |_| true);
    match infer::get(head) {
        Some(kind) => kind.mime_type(),
        None if head.is_empty() => "application/x-empty",
        None if !head.contains(&0) && is_text(head) => "text/plain",
        None => "application/octet-stream",
    }
}

async fn make_report(ctx: Ctx, report: OsString) -> Result<Summary, JobError> {
    log_attempt(&ctx)?;
    let list = List::of(ctx.run())?;
    let (mut entries, mut dead, mut types, mut same) = (vec![], vec![], BTreeMap::new(), HashMap::<String, Vec<_>>::new());
    let (mut sum, mut at, mut parents) = (Facts::default(), 0, ctx.parents());
    while let Some(page) = parents.next_page().await? {
        for parent in page {
            let path = list.path(at);
            match parent.output::<Facts>()? {
                Some(facts) => {
                    (sum.bytes, sum.lines, sum.words) = (sum.bytes + facts.bytes, sum.lines + facts.lines, sum.words + facts.words);
                    entries.push(entry(path, json!({"sha256": facts.sha256, "bytes": facts.bytes, "lines": facts.lines})));
                    same.entry(facts.sha256).or_default().push(path.to_string_lossy());
                    *types.entry(facts.mime).or_insert(0) += 1;
                }
                None => dead.push(entry(path, json!({"error": parent.why.as_str()}))),
            }
            at += 1;
        }
        ctx.progress(at as f64 / list.paths.len() as f64);
    }
    dead.extend((at..list.paths.len()).map(|at| entry(list.path(at), json!({"error": "the run ended before its turn"}))));
    // A group stands where its first path does among the entries.
    let groups = entries.iter().filter_map(|entry| same.remove(entry["sha256"].as_str()?));
    let duplicates: Vec<_> = groups.filter(|group| group.len() > 1).collect();
    let counts = [("files", entries.len() as u64), ("bytes", sum.bytes), ("lines", sum.lines), ("words", sum.words)];
    let rest = [("skipped", list.skipped), ("duplicates", duplicates.len() as u64), ("dead", dead.len() as u64)];
    let table = counts.into_iter().chain(rest).map(|(name, count)| (name.to_owned(), count)).chain(types).collect();
    let dead_lines = dead.iter().take(20).map(|dead| format!("{} {}", dead["path"], dead["error"])).collect();
    let summary = Summary { report: report.clone(), table, dead: dead_lines };
    let whole = json!({"files": entries.len(), "bytes": sum.bytes, "lines": sum.lines, "skipped": list.skipped, "entries": entries,
        "duplicates": duplicates, "dead": dead});
    write_whole(Path::new(&report), |file| Ok(serde_json::to_writer_pretty(file, &whole)?))?;
    Ok(summary)
}

fn entry(path: &Path, mut fields: Value) -> Value {
    fields["path"] = path.to_string_lossy().into();
    if path.to_str().is_none() {
        fields["path_hex"] = hex(path.as_os_str().as_bytes()).into();
    }
    fields
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Notes that an attempt starts in the file that `INDEX_FOLDER_ATTEMPTS` names, if any: for tests that kill the program.
fn log_attempt(ctx: &Ctx) -> io::Result<()> {
    let Some(path) = std::env::var_os("INDEX_FOLDER_ATTEMPTS") else { return Ok(()) };
    OpenOptions::new().append(true).create(true).open(path)?.write_all(format!("{} {}\n", ctx.id(), ctx.attempt()).as_bytes())
}

/// What the walk found, in the order of the paths' bytes. On disk its parts, each closed by NUL, which no path holds, are a mark, the root,
/// how many were skipped, and the paths.
struct List {
    root: PathBuf,
    skipped: u64,
    paths: Vec<Vec<u8>>,
}

const LIST_MARK: &[u8] = b"index_folder list 1";
/// What the names of all lists start with: the store's, since they lie beside it.
static LISTS: OnceLock<PathBuf> = OnceLock::new();

impl List {
    fn file(run: RunId) -> PathBuf {
        let mut name = LISTS.get().expect("set before the worker starts").as_os_str().to_owned();
        name.push(format!(".{run}.list"));
        name.into()
    }

    fn read(path: &Path) -> io::Result<List> {
        let bytes = fs::read(path)?;
        let mut parts = bytes.strip_suffix(b"\0").unwrap_or_default().split(|byte| *byte == 0).map(<[u8]>::to_vec);
        let mark = parts.next().filter(|mark| mark == LIST_MARK);
        let skipped = |part: Vec<u8>| String::from_utf8(part).ok()?.parse().ok();
        let head = mark.and_then(|_| Some((PathBuf::from(OsString::from_vec(parts.next()?)), parts.next().and_then(skipped)?)));
        let (root, skipped) = head.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no list of index_folder"))?;
        Ok(List { root, skipped, paths: parts.collect() })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let skipped = self.skipped.to_string();
        let head = [LIST_MARK, self.root.as_os_str().as_bytes(), skipped.as_bytes()];
        let parts = head.into_iter().chain(self.paths.iter().map(Vec::as_slice));
        write_whole(path, |file| parts.into_iter().try_for_each(|part| file.write_all(part).and_then(|()| file.write_all(b"\0"))))
    }

    /// The list of a run, kept once it was read: it does not change once its map has started.
    fn of(run: RunId) -> Result<Arc<List>, JobError> {
        static LAST: Mutex<Option<(RunId, Arc<List>)>> = Mutex::new(None);
        let mut last = LAST.lock().expect("nothing panics while it holds the list");
        if let Some((_, list)) = last.as_ref().filter(|(of, _)| *of == run) {
            return Ok(list.clone());
        }
        let gone = |error| JobError::fail(format!("read the list {}: {error}; start anew with --fresh", List::file(run).display()));
        let list = Arc::new(List::read(&List::file(run)).map_err(gone)?);
        *last = Some((run, list.clone()));
        Ok(list)
    }

    fn path(&self, at: usize) -> &Path {
        Path::new(OsStr::from_bytes(&self.paths[at]))
    }

    /// Every file below `root`, and the folders that can not be read: those become jobs that fail and say why.
    fn walk(root: &Path, is_own: impl Fn(&Path) -> bool) -> List {
        let (mut paths, mut skipped, mut folders) = (Vec::new(), 0, vec![PathBuf::new()]);
        while let Some(folder) = folders.pop() {
            let named = |entry: io::Result<fs::DirEntry>| entry.and_then(|entry| Ok((entry.file_type()?, entry.file_name())));
            let entries = fs::read_dir(root.join(&folder)).and_then(|entries| entries.map(named).collect::<io::Result<Vec<_>>>());
            if entries.is_err() {
                paths.push(folder.clone().into_os_string().into_vec());
            }
            let kept = entries.into_iter().flatten().filter(|(kind, name)| name != ".git" && !(kind.is_dir() && name == "target"));
            for (kind, name) in kept {
                let path = folder.join(&name);
                if kind.is_dir() {
                    folders.push(path);
                } else if !kind.is_file() {
                    skipped += 1;
                } else if !is_own(&root.join(&path)) {
                    paths.push(path.into_os_string().into_vec());
                }
            }
        }
        paths.sort_unstable();
        List { root: root.to_owned(), skipped, paths }
    }
}

/// Writes a file beside its place, syncs it, and moves it there: whoever finds it finds all of it, also after a power cut.
fn write_whole(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let mut file = BufWriter::new(File::create(&beside)?);
    write(&mut file)?;
    file.into_inner()?.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().expect("an absolute path of a file"))?.sync_all()
}

struct Args {
    root: PathBuf,
    backend: String,
    report: PathBuf,
    fresh: bool,
}

fn arguments() -> Result<Args, String> {
    let (mut root, mut backend, mut report, mut fresh) = (None, BACKEND.to_owned(), PathBuf::from("index_report.json"), false);
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{} needs a value", arg.display()));
        match arg.to_str() {
            Some("--help" | "-h") => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            Some("--fresh") => fresh = true,
            Some("--backend") => backend = value()?.into_string().map_err(|url| format!("--backend {} is not UTF-8", url.display()))?,
            Some("--report") => report = value()?.into(),
            Some(flag) if flag.starts_with('-') => return Err(format!("there is no option {flag}")),
            _ if root.is_some() => return Err(format!("one folder at a time: {} is too much", arg.display())),
            _ => root = Some(PathBuf::from(arg)),
        }
    }
    let root = root.ok_or("which folder?")?;
    let found = root.canonicalize().and_then(|found| fs::read_dir(&found).map(|_| found));
    let root = found.map_err(|error| format!("read the folder {}: {error}", root.display()))?;
    Ok(Args { root, backend, report: absolute(&report)?, fresh })
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    let name = path.file_name().ok_or(format!("{} names no file", path.display()))?;
    let folder = Path::new(".").join(path.parent().unwrap_or(path));
    Ok(folder.canonicalize().map_err(|error| format!("look for the folder of {}: {error}", path.display()))?.join(name))
}

#[tokio::main]
async fn main() -> ExitCode {
    let (code, error) = match arguments() {
        Err(error) => (2, format!("{error}\ntry --help")),
        Ok(args) => match run(args).await {
            Ok(code) => return code,
            Err(error) => (1, error.to_string()),
        },
    };
    eprintln!("index_folder: {error}");
    ExitCode::from(code)
}

async fn run(args: Args) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let started = Instant::now();
    let made = if args.backend == BACKEND { fs::create_dir_all(".jobbers") } else { Ok(()) };
    made.map_err(|error| format!("make the folder .jobbers: {error}"))?;
    let store = args.backend.strip_prefix("redb:").map(|path| absolute(Path::new(path.strip_prefix("//").unwrap_or(path)))).transpose()?;
    LISTS.get_or_init(|| store.unwrap_or(std::env::temp_dir().join("index_folder")));
    let backend = jobbers::connect(&args.backend).await?;
    let client = Client::new(&backend);
    let (mut number, mut goes_on) = first_unended(&client, &args.root).await?;
    if goes_on && args.fresh {
        client.cancel_run(run_of(&args.root, number), "started afresh").await?;
        (number, goes_on) = (number + 1, false);
    }
    let run = run_of(&args.root, number);
    if !goes_on {
        start(&client, &args, run).await?;
    }
    let worker = Worker::queues([QUEUE]).name("index-folder").map_source(LIST, list_page);
    let worker = worker.blocking(FILE, index_file).task(REPORT, make_report).start(&backend).await?;
    let total = List::of(run).map_err(|error| error.to_string())?.paths.len() as u64;
    let mut interrupts = signal(SignalKind::interrupt())?;
    println!("run {number} of {} {}: {total} files ({run})", args.root.display(), if goes_on { "goes on" } else { "starts" });
    let handle = client.run_handle::<Summary>(run);
    let summary = tokio::select! {
        summary = handle.output() => summary?,
        shown = show_progress(&client, run, total) => return Ok(shown.map(|()| ExitCode::FAILURE)?),
        _ = interrupts.recv() => {
            eprintln!("stopping; once more to stop at once");
            tokio::select! { stopped = worker.stop() => drop(stopped?), _ = interrupts.recv() => std::process::exit(130) }
            eprintln!("stopped: the same command goes on from here");
            return Ok(ExitCode::from(130));
        }
    };
    worker.stop().await?;
    if summary.report != args.report {
        fs::copy(&summary.report, &args.report).map_err(|error| format!("copy the report from {}: {error}", summary.report.display()))?;
    }
    summary.table.iter().for_each(|(name, count)| println!("{name:<40} {count:>16}"));
    println!("{:<40} {:>16.1}\n{:<40} {}", "seconds", started.elapsed().as_secs_f64(), "report", args.report.display());
    summary.dead.iter().for_each(|dead| println!("dead: {dead}"));
    Ok(fs::remove_file(List::file(run)).map(|()| ExitCode::SUCCESS)?)
}

/// A run's id comes from its folder and its number: whoever starts it again finds it.
fn run_of(root: &Path, number: u64) -> RunId {
    RunId::derived(&[&b"index_folder"[..], root.as_os_str().as_bytes(), &number.to_be_bytes()])
}

/// The first run of `root` that has not ended, and whether it has started.
async fn first_unended(client: &Client, root: &Path) -> jobbers::Result<(u64, bool)> {
    let mut number = 1;
    while let Some(run) = client.run(run_of(root, number)).await? {
        if run.map.is_some_and(|map| !map.join.is_end()) {
            return Ok((number, true));
        }
        number += 1;
    }
    Ok((number, false))
}

/// Makes the list, and only then the map over it.
async fn start(client: &Client, args: &Args, run: RunId) -> Result<(), Box<dyn std::error::Error>> {
    let own = [LISTS.get().expect("set before").as_os_str(), args.report.as_os_str()].map(OsStr::as_bytes);
    let rest = |path: &[u8]| own.iter().find_map(|own| Some(path.strip_prefix(*own)?.to_vec()));
    let is_own = |path: &Path| rest(path.as_os_str().as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
    let file = List::file(run);
    List::walk(&args.root, is_own).write(&file).map_err(|error| format!("write the list {}: {error}", file.display()))?;
    client.map_join_from(LIST, &(), FILE, REPORT, &args.report.clone().into_os_string()).id(run).await?;
    Ok(())
}

/// Shows how far the run is, until it is dropped; returns only with an error.
async fn show_progress(client: &Client, run: RunId, total: u64) -> jobbers::Result<()> {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} files, {elapsed}, {eta} left").expect("a valid template");
    let bar = ProgressBar::new(total).with_style(style);
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let map = client.run(run).await?.and_then(|run| run.map);
        bar.set_position(map.map_or(0, |map| map.items_ended()));
    }
}
