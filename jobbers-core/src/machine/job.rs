//! A job as the machine sees it.

use crate::driver::{Applied, Commit, apply};
use crate::error::Result;
use crate::id::JobId;
use crate::record::{Record, Spec, Trail, decode_versioned};

/// A record with the parts that the machine reads, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// As loaded, or as claimed.
    pub record: Record,
    /// What was submitted.
    pub spec: Spec,
    /// What happened to it.
    pub trail: Trail,
}

impl Job {
    /// Decodes a record.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) if spec or trail do not decode.
    pub fn read(id: JobId, record: Record) -> Result<Job> {
        Ok(Job { id, spec: decode_versioned(&record.spec)?, trail: decode_versioned(&record.trail)?, record })
    }

    /// The job as it stands once `commit`, which was made from it, was applied. A commit that does not name it leaves it as it is.
    ///
    /// # Panics
    /// If the commit was made from another state of the job.
    #[must_use]
    pub fn after(&self, commit: &Commit) -> Job {
        let Some(op) = commit.ops.iter().find(|op| op.id() == self.id) else { return self.clone() };
        let own = Commit { run: commit.run, nonce: commit.nonce, ops: vec![op.clone()] };
        let applied = apply(&own, |_| Ok(Some(self.record.clone()))).expect("nothing is loaded that could fail");
        let Applied::Writes { mut writes, .. } = applied else {
            panic!("job {} stands at {:?}, the commit was made from another state of it", self.id, self.record.head.revision)
        };
        let Some(write) = writes.pop() else { return self.clone() };
        let spec = if write.record.spec == self.record.spec { Ok(self.spec.clone()) } else { decode_versioned(&write.record.spec) };
        let trail = if write.record.trail == self.record.trail { Ok(self.trail.clone()) } else { decode_versioned(&write.record.trail) };
        let why = "the machine encoded it";
        Job { id: self.id, record: write.record, spec: spec.expect(why), trail: trail.expect(why) }
    }
}
