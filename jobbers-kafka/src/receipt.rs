//! Receipts: what settles one delivery.

use bytes::Bytes;
use jobbers_core::driver::Receipt;

/// The first byte of a receipt.
const VERSION: u8 = 1;
/// Version, epoch and offset.
const RECEIPT_BYTES: usize = 17;

/// One delivery of one assignment of a partition. Receipts of an assignment that is over settle nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mark {
    /// The assignment, numbered by this process; 0 for what was read from a partition of somebody else.
    pub(crate) epoch: u64,
    /// The record's place in its partition, or, if it is somebody else's, a number.
    pub(crate) offset: i64,
}

impl Mark {
    /// `None` if it is no receipt of this queue.
    pub(crate) fn read(receipt: &Receipt) -> Option<Mark> {
        let (first, rest) = receipt.0.split_first()?;
        let (epoch, offset) = rest.split_first_chunk::<8>()?;
        let mark = Mark { epoch: u64::from_be_bytes(*epoch), offset: i64::from_be_bytes(offset.try_into().ok()?) };
        (*first == VERSION).then_some(mark)
    }
}

/// The receipts of some deliveries. They share their bytes.
pub(crate) fn receipts(marks: impl ExactSizeIterator<Item = Mark>) -> impl Iterator<Item = Receipt> {
    let mut bytes = Vec::with_capacity(marks.len() * RECEIPT_BYTES);
    for Mark { epoch, offset } in marks {
        bytes.push(VERSION);
        bytes.extend(epoch.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
    }
    let bytes = Bytes::from(bytes);
    (0..bytes.len()).step_by(RECEIPT_BYTES).map(move |at| Receipt(bytes.slice(at..at + RECEIPT_BYTES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_as_it_was_written_and_nonsense_is_none() {
        let mark = Mark { epoch: 7 << 40, offset: 3 };
        let others = [Mark { epoch: 1, offset: 0 }, mark, Mark { epoch: 2, offset: 9 }];
        assert!(receipts(others.into_iter()).map(|receipt| Mark::read(&receipt)).eq(others.map(Some)));
        for nonsense in [&b""[..], b"?", b"no receipt of this queue", &[1; 16], &[1; 18], &[2; 17]] {
            assert_eq!(Mark::read(&Receipt(Bytes::from_static(nonsense))), None, "{nonsense:?}");
        }
    }
}
