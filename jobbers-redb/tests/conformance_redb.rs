//! The suite, on the redb driver.

mod fixture;

use std::ffi::OsString;
use std::io::Read;

use jobbers_core::driver::{DocVerdict, DocWrite};
use jobbers_redb::Config;

fn main() {
    if let Some(file) = std::env::var_os(fixture::HELD) {
        return hold(file);
    }
    jobbers_conformance::run(fixture::File::default())
}

/// Opens the file, writes into it, says so, and holds it until it is killed.
fn hold(file: OsString) {
    let backend = Config::at(file).open().expect("what a crash leaves opens");
    let write = DocWrite { key: fixture::mark(), expect: None, body: Some("here".into()), expires_at: None };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let verdicts = runtime.block_on(backend.store().write(&[write])).expect("a file that opened can be written");
    assert!(matches!(verdicts[..], [DocVerdict::Applied(_)]), "it answered {verdicts:?}");
    println!("acknowledged");
    // Whoever was to kill it has gone if this ends.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
