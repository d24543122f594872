//! What tests of faults share: clusters, an operator's hands, deliveries without jobs, and whole jobs with a history.
#![allow(dead_code, reason = "each test program uses some of it")]

pub(crate) mod cluster;
pub(crate) mod crew;
pub(crate) mod line;
pub(crate) mod raw;
pub(crate) mod rig;

use jobbers_core::Namespace;

/// Options of a URL, with a namespace that nobody has used; and that namespace.
pub(crate) fn fresh(options: &str) -> (String, Namespace) {
    let name = format!("faults-{:016x}", fastrand::u64(..));
    let namespace = Namespace::new(&name).expect("hexadecimal digits are allowed");
    (format!("namespace={name}&{options}"), namespace)
}

/// The cluster of `scripts/services start kafka`.
pub(crate) fn shared() -> String {
    let variable = "JOBBERS_KAFKA_URL";
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; run eval \"$(scripts/services start kafka)\""))
}

/// Faults are told apart by time, and two cores are few: one test after the other.
pub(crate) async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    TURN.lock().await
}
