//! Names of keys: all of a namespace's shard share one hash tag.

use jobbers_core::{Namespace, QueueName};

/// The hashes that records are spread over.
pub(crate) const BUCKETS_COUNT: usize = 16;

/// Keys of one namespace's shard, as every script over records names them.
#[derive(Debug)]
pub(crate) struct Keys {
    prefix: String,
    fixed: Vec<String>,
}

/// The fixed keys, in the order of the scripts; the README says what lies in each.
const FIXED: [&str; 14] = [
    "live",
    "joins",
    "asked",
    "progress",
    "parts",
    "staged",
    "timers",
    "hidden",
    "batches",
    "batch-sizes",
    "counts",
    "steps",
    "pulled",
    "places",
];

/// Keys of the limiter, in the order of its scripts.
const LIMITS: [&str; 10] = ["definitions", "lines", "line-names", "waiters", "waits", "holds", "ends", "looks", "idle", "handed"];

impl Keys {
    pub(crate) fn new(namespace: &Namespace, shard: u32) -> Keys {
        let prefix = format!("{{{namespace}:{shard}}}:");
        let buckets = (0..BUCKETS_COUNT).map(|bucket| format!("record:{bucket:x}"));
        let fixed = FIXED.iter().map(|name| (*name).to_owned()).chain(buckets).map(|name| format!("{prefix}{name}")).collect();
        Keys { prefix, fixed }
    }

    /// Fixed keys and buckets.
    pub(crate) fn fixed(&self) -> &[String] {
        &self.fixed
    }

    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn limits(&self) -> Vec<String> {
        LIMITS.iter().map(|name| format!("{}limit:{name}", self.prefix)).collect()
    }

    /// The eight keys of a queue.
    pub(crate) fn queue(&self, queue: &QueueName) -> [String; 8] {
        ["ready:0", "ready:1", "ready:2", "ready:3", "front", "state", "ended", "token"]
            .map(|name| format!("{}{name}:{queue}", self.prefix))
    }

    /// The key whose element wakes one listener of a queue.
    pub(crate) fn token(&self, queue: &QueueName) -> String {
        format!("{}token:{queue}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_hash_tag_and_starts_with_it() {
        let keys = Keys::new(&Namespace::new("acme.mail-2").unwrap(), 0);
        let queue = keys.queue(&QueueName::new("mail.bulk").unwrap());
        let all = keys.fixed().iter().chain(&queue).cloned().chain(keys.limits()).chain([keys.named("meta")]);
        let mut seen = std::collections::BTreeSet::new();
        for key in all {
            assert!(key.starts_with("{acme.mail-2:0}:"), "{key}");
            assert_eq!((key.matches('{').count(), key.matches('}').count()), (1, 1), "{key}");
            assert!(seen.insert(key));
        }
    }
}
