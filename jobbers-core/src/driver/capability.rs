//! Guarantees that differ between drivers.

use std::fmt;

/// A guarantee beyond the contract. A speed that differs is no capability, and neither is what every driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// What was acknowledged survives the process.
    Durable,
    /// Several processes may open it at once.
    MultiProcess,
    /// A commit that makes a job Ready also enqueues it.
    AtomicDispatch,
    /// A delivery of a more urgent priority is pulled before one of a less urgent one that was there first.
    Priority,
    /// Deliveries of one priority are pulled in the order of their pushes.
    Fifo,
    /// [`StateStore::list`](super::StateStore::list) works.
    List,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Capability; 6] = [
        Capability::Durable,
        Capability::MultiProcess,
        Capability::AtomicDispatch,
        Capability::Priority,
        Capability::Fifo,
        Capability::List,
    ];

    /// The capability's name, as reports show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Capability::Durable => "durable",
            Capability::MultiProcess => "multi-process",
            Capability::AtomicDispatch => "atomic-dispatch",
            Capability::Priority => "priority",
            Capability::Fifo => "fifo",
            Capability::List => "list",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of capabilities.
///
/// ```
/// use jobbers_core::driver::{Capabilities, Capability};
/// const HERE: Capabilities = Capabilities::of(&[Capability::Fifo, Capability::List]);
/// assert!(HERE.has(Capability::List) && !HERE.has(Capability::Durable));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u8);

impl Capabilities {
    /// The set of these.
    pub const fn of(list: &[Capability]) -> Capabilities {
        let (mut bits, mut at) = (0, 0);
        while at < list.len() {
            bits |= list[at].bit();
            at += 1;
        }
        Capabilities(bits)
    }

    /// Whether the set has `capability`.
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// What both sets have.
    #[must_use]
    pub const fn both(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & other.0)
    }

    /// What either set has.
    #[must_use]
    pub const fn either(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }

    /// The set's members, in the order of [`Capability::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.has(*capability))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Who makes a Ready job's delivery appear in its queue; chosen when a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dispatch {
    /// The store itself, in the commit: it is paired with its own driver's queue, and claims [`Capability::AtomicDispatch`].
    Own,
    /// Its caller, who pushes what verdicts name: the store never enqueues, and always fills [`Verdict::Applied::ready`](super::Verdict).
    Caller,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Capabilities = Capabilities::of(&[Capability::List, Capability::Durable, Capability::Fifo]);
    const OTHERS: Capabilities = Capabilities::of(&[Capability::Priority, Capability::Fifo]);

    fn names(set: Capabilities) -> Vec<String> {
        set.iter().map(|capability| capability.to_string()).collect()
    }

    #[test]
    fn sets_are_joined_and_intersected() {
        assert_eq!(names(SOME), ["durable", "fifo", "list"]);
        assert_eq!(names(SOME.both(OTHERS)), ["fifo"]);
        assert_eq!(names(SOME.either(OTHERS)), ["durable", "priority", "fifo", "list"]);
        assert_eq!(names(Capabilities::default()), Vec::<String>::new());
    }

    #[test]
    fn reports_know_them_by_these_names() {
        let all = Capabilities::of(&Capability::ALL);
        assert_eq!(names(all), ["durable", "multi-process", "atomic-dispatch", "priority", "fifo", "list"]);
        assert_eq!(format!("{SOME:?}"), "{Durable, Fifo, List}");
    }
}
