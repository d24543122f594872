//! Receipts: what settles one delivery.

use bytes::Bytes;
use jobbers_core::driver::Receipt;

/// One delivery of one assignment of a partition. Receipts of an assignment that is over settle nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mark {
    /// The assignment, numbered by this process; 0 for what was read from a partition of somebody else.
    pub(crate) epoch: u64,
    /// The record's place in its partition, or, if it is somebody else's, a number.
    pub(crate) offset: i64,
}

impl Mark {
    pub(crate) fn receipt(self) -> Receipt {
        let mut bytes = [0; 17];
        bytes[0] = 1;
        bytes[1..9].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[9..].copy_from_slice(&self.offset.to_be_bytes());
        Receipt(Bytes::copy_from_slice(&bytes))
    }

    /// `None` if it is no receipt of this queue.
    pub(crate) fn read(receipt: &Receipt) -> Option<Mark> {
        let (first, rest) = receipt.0.split_first()?;
        let (epoch, offset) = rest.split_first_chunk::<8>()?;
        let mark = Mark { epoch: u64::from_be_bytes(*epoch), offset: i64::from_be_bytes(offset.try_into().ok()?) };
        (*first == 1).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_as_it_was_written_and_nonsense_is_none() {
        let mark = Mark { epoch: 7 << 40, offset: 3 };
        assert_eq!(Mark::read(&mark.receipt()), Some(mark));
        for nonsense in [&b""[..], b"?", b"no receipt of this queue", &[1; 16], &[1; 18], &[2; 17]] {
            assert_eq!(Mark::read(&Receipt(Bytes::from_static(nonsense))), None, "{nonsense:?}");
        }
    }
}
