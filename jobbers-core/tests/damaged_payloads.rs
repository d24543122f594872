//! Bytes that somebody damaged do no harm, whatever codec they are read by. In a file of its own: what a decode takes is counted.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "payload_values/mod.rs"]
mod values;

use std::collections::BTreeMap;

use jobbers_core::SmallText;
use jobbers_core::task::{Codec, payload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use values::{CODECS, Delivery, Order, Tree, decoded, encoded, order};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// What a decode may take, at most, of bytes that are no payload: some room for every byte, and for messages.
const DAMAGED_BYTES_MAX: usize = 1 << 20;

/// A type without bytes of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Empty;

/// Bytes that look as random as it takes, from a seed.
struct Bytes(u64);

impl Bytes {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// Decodes as each of the types. Whatever comes is no panic, and costs little beyond what the bytes carry.
fn harmless(codec: Codec, bytes: &[u8]) {
    fn as_type<T: DeserializeOwned + Serialize>(codec: Codec, bytes: &[u8]) {
        let before = dhat::HeapStats::get().total_bytes;
        let read = decoded::<T>(codec, bytes);
        let taken = (dhat::HeapStats::get().total_bytes - before) as usize;
        // A list of empty values may be as long as the bounds allow; they take no room. Trees have a node for a byte.
        let most = DAMAGED_BYTES_MAX + 256 * bytes.len();
        assert!(taken <= most, "{codec:?}: {taken} bytes taken of {} given, as {}", bytes.len(), std::any::type_name::<T>());
        if let Ok(value) = read {
            encoded(codec, &value);
        }
    }
    as_type::<Order>(codec, bytes);
    as_type::<Vec<Order>>(codec, bytes);
    as_type::<String>(codec, bytes);
    as_type::<Vec<u64>>(codec, bytes);
    as_type::<Vec<String>>(codec, bytes);
    as_type::<Vec<()>>(codec, bytes);
    as_type::<Vec<Empty>>(codec, bytes);
    as_type::<BTreeMap<String, Vec<u8>>>(codec, bytes);
    as_type::<Option<Delivery>>(codec, bytes);
    as_type::<Tree>(codec, bytes);
    as_type::<Vec<Vec<Vec<u128>>>>(codec, bytes);
    let shown = payload::Payload::new(SmallText::new(codec.content_type()), bytes.to_vec().into());
    assert!(bytes.is_empty() || !shown.to_string().is_empty());
    serde_json::to_string(&shown).unwrap();
}

#[test]
fn bytes_that_are_no_payload_never_panic_and_take_no_more_than_they_carry() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let seed = std::env::var("JOBBERS_SEED").map_or(42, |seed| seed.parse().unwrap());
    eprintln!("JOBBERS_SEED={seed}");
    let mut random = Bytes(seed);
    for (codec, _) in CODECS {
        for _ in 0..100 {
            let length = random.number() as usize % 64;
            harmless(*codec, &(0..length).map(|_| random.number() as u8).collect::<Vec<u8>>());
        }
        let whole = encoded(*codec, &order());
        for cut in (0..whole.len()).step_by(2) {
            harmless(*codec, &whole[..cut]);
            let mut damaged = whole.clone();
            damaged[cut] = random.number() as u8;
            harmless(*codec, &damaged);
        }
        // Lengths of up to 2^64 - 1: of lists, maps, texts and bytes in MessagePack, and numbers of 2, 4, 8 and 16 bytes in bincode.
        for marker in 0x80..=0xff_u8 {
            // 8 MB, which a limit of 8 MiB lets pass.
            harmless(*codec, &[marker, 0, 0, 0x7f, 0, 1, 2]);
            for fill in [0xff, 0x01] {
                harmless(*codec, &[&[marker][..], &[fill; 24]].concat());
                harmless(*codec, &[&[marker][..], &[fill; 4], &[marker; 4], &[fill; 4]].concat());
            }
        }
    }
}
