//! What an older Jobbers wrote is read for ever.
//!
//! Each file under `golden/` was written once, and stands for records in stores that nobody rewrites. A change of the format adds a file and
//! the value that it stands for; none is ever changed. `JOBBERS_GOLDEN=write cargo test -p jobbers-core --test golden` writes those that are
//! missing.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "golden_values/mod.rs"]
mod values;

use std::fmt::Debug;
use std::path::PathBuf;

use bytes::Bytes;
use jobbers_core::ErrorKind;
use jobbers_core::policy::Retry;
use jobbers_core::record::{Head, Progress, Spec, Trail, Versioned, decode_versioned, encode_versioned};
use minicbor::Encoder;
use minicbor::data::Type;

fn file(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    Bytes::from(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Checks the files of one part, oldest first; what this build writes is the newest.
fn check<T: Versioned + Default + PartialEq + Debug>(files: &[(&str, T)]) {
    if std::env::var("JOBBERS_GOLDEN").as_deref() == Ok("write") {
        for (name, value) in files {
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
            if !path.exists() {
                std::fs::write(&path, encode_versioned(value)).unwrap();
            }
        }
    }
    for (name, value) in files {
        let read: T = decode_versioned(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&read, value, "{name}");
    }
    let (name, newest) = files.last().unwrap();
    assert_eq!(encode_versioned(newest), file(name), "the format has changed: add a file behind {name}, with a value for it");
}

#[test]
fn heads_of_every_version_are_read() {
    check(&[("head.1.bin", values::head_1())]);
}

#[test]
fn specs_of_every_version_are_read() {
    check(&[("spec.1.bin", values::spec_1()), ("spec.2.bin", values::spec_2())]);
}

#[test]
fn trails_of_every_version_are_read() {
    check(&[("trail.1.bin", values::trail_1())]);
}

#[test]
fn progress_of_every_version_is_read() {
    check(&[("progress.1.bin", values::progress_1())]);
}

/// A field at its default is not written, so a default that changed would change jobs that were submitted long ago.
#[test]
fn what_a_record_leaves_out_means_the_same_for_ever() {
    let spec: Spec = decode_versioned(&[1, 0xa0]).unwrap();
    let retry: Retry = spec.retry;
    assert_eq!((retry.failures_max, retry.losses_max), (5, 3));
    assert_eq!((retry.base.as_secs(), retry.cap.as_secs()), (1, 600));
    assert_eq!(
        format!("{:?} {:?} {:?} {:?}", retry.backoff, retry.jitter, spec.on_stop, spec.rule),
        "Exponential Full HandBack AllSucceeded"
    );
    let head: Head = decode_versioned(&[1, 0xa0]).unwrap();
    assert_eq!(format!("{} {:?} {:?}", head.state, head.priority, head.ready_when), "ready Normal AllEnded");
    assert_eq!((head.queue.as_str(), head.task.as_str(), head.version), ("default", "unnamed", 0));
}

/// The bytes of a newer version: those of `value`, and fields that this one does not know.
fn newer<T: Versioned>(value: &T) -> Bytes {
    let bytes = encode_versioned(value);
    let fields = minicbor::Decoder::new(&bytes[1..]).map().unwrap().unwrap();
    let mut head = Encoder::new(vec![bytes[0]]);
    head.map(fields + 4).unwrap();
    let mut known = Encoder::new(Vec::new());
    known.map(fields).unwrap();
    head.writer_mut().extend_from_slice(&bytes[1 + known.writer().len()..]);
    head.u32(900).unwrap().map(1).unwrap().u32(1).unwrap().array(2).unwrap().str("deep").unwrap().null().unwrap();
    head.u32(901).unwrap().bytes(&[7; 300]).unwrap();
    head.u32(902).unwrap().f64(0.5).unwrap();
    head.u32(70_000).unwrap().bool(true).unwrap();
    Bytes::from(head.into_writer())
}

#[test]
fn fields_of_a_newer_version_survive_an_older_writer() {
    fn survives<T: Versioned + Default + PartialEq + Debug>(value: &T) {
        let bytes = newer(value);
        let read: T = decode_versioned(&bytes).unwrap();
        assert_ne!(&read, value, "they are part of what was read");
        assert_eq!(encode_versioned(&read), bytes);
    }
    survives(&values::head_1());
    survives(&values::spec_1());
    survives(&values::trail_1());
    survives(&values::progress_1());
    let mut head: Head = decode_versioned(&newer(&values::head_1())).unwrap();
    head.attempt = 99;
    let again: Head = decode_versioned(&encode_versioned(&head)).unwrap();
    assert_eq!((again.attempt, &again.unknown), (99, &head.unknown));
}

fn damaged<T: Versioned + Default + Debug>(bytes: &[u8], word: &str) {
    let error = decode_versioned::<T>(bytes).expect_err("it must not be read");
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(word), "{error}");
}

#[test]
fn a_version_that_this_build_does_not_know_is_a_clear_error() {
    let mut bytes = encode_versioned(&values::head_1()).to_vec();
    for version in [0, 2, 255] {
        bytes[0] = version;
        damaged::<Head>(&bytes, "newer Jobbers");
    }
}

#[test]
fn a_code_that_this_build_does_not_know_is_a_clear_error() {
    fn of(key: u32, wrap: fn(&mut Encoder<Vec<u8>>)) -> Vec<u8> {
        let mut to = Encoder::new(vec![1]);
        to.map(1).unwrap().u32(key).unwrap();
        wrap(&mut to);
        to.into_writer()
    }
    let code = |to: &mut Encoder<Vec<u8>>| {
        to.u8(99).unwrap();
    };
    for key in [2, 6] {
        damaged::<Head>(&of(key, code), "newer Jobbers");
    }
    damaged::<Head>(&of(18, |to| _ = to.array(2).unwrap().u8(99).unwrap().u8(1).unwrap()), "newer Jobbers");
    for key in [4, 7, 12, 18] {
        damaged::<Spec>(&of(key, code), "newer Jobbers");
    }
    damaged::<Trail>(&of(4, code), "newer Jobbers");
    damaged::<Trail>(&of(6, |to| _ = to.array(1).unwrap().map(1).unwrap().u8(5).unwrap().u8(99).unwrap()), "newer Jobbers");
}

#[test]
fn a_record_that_ends_early_is_never_another_record() {
    fn cut<T: Versioned + Default + Debug>(name: &str) {
        let bytes = file(name);
        for length in 1..bytes.len() {
            damaged::<T>(&bytes[..length], "bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        damaged::<T>(&longer, "left over");
    }
    cut::<Head>("head.1.bin");
    cut::<Spec>("spec.1.bin");
    cut::<Trail>("trail.1.bin");
    cut::<Progress>("progress.1.bin");
}

#[test]
fn no_bytes_are_an_empty_part_but_no_head() {
    assert_eq!(decode_versioned::<Trail>(&[]).unwrap(), Trail::default());
    assert_eq!(decode_versioned::<Progress>(&[]).unwrap(), Progress::default());
    assert_eq!(decode_versioned::<Spec>(&[]).unwrap(), Spec::default());
    damaged::<Head>(&[], "empty");
}

#[test]
fn a_length_that_the_bytes_do_not_carry_costs_nothing() {
    // A map, a list, bytes and a text that claim 2^64 - 1 items, alone and as the value of each key.
    for major in [0xbb, 0x9b, 0x5b, 0x7b] {
        let huge = [&[major][..], &[0xff; 8]].concat();
        damaged::<Spec>(&[&[1][..], &huge].concat(), "bytes");
        for key in 0..=30 {
            damaged::<Head>(&[&[1, 0xa1, 0x18, key][..], &huge].concat(), "bytes");
            damaged::<Spec>(&[&[1, 0xa1, 0x18, key][..], &huge].concat(), "bytes");
            damaged::<Trail>(&[&[1, 0xa1, 0x18, key][..], &huge].concat(), "bytes");
        }
    }
    // Nesting without an end, in a field that is skipped.
    let deep = [&[1, 0xa1, 0x19, 0x03, 0x84][..], &[0x81; 1 << 20]].concat();
    damaged::<Head>(&deep, "bytes");
}

/// Whatever one damaged byte makes of a record: it is refused, or it is a record that reads back as itself.
#[test]
fn one_damaged_byte_does_no_worse_than_another_value() {
    fn damage<T: Versioned + Default + PartialEq + Debug>(name: &str) {
        let bytes = file(name).to_vec();
        for at in 0..bytes.len() {
            for byte in (0..=255).step_by(3) {
                let mut other = bytes.clone();
                other[at] = byte;
                if let Ok(read) = decode_versioned::<T>(&other) {
                    assert_eq!(decode_versioned::<T>(&encode_versioned(&read)).unwrap(), read, "byte {at} of {name} is {byte}");
                }
            }
        }
    }
    damage::<Head>("head.1.bin");
    damage::<Spec>("spec.1.bin");
    damage::<Trail>("trail.1.bin");
    damage::<Progress>("progress.1.bin");
}

/// A full value names each field, so that a field which the format forgets is found.
#[test]
fn a_full_record_writes_each_of_its_fields() {
    for (bytes, fields) in [
        (encode_versioned(&values::head_1()), 21),
        (encode_versioned(&values::spec_1()), 21),
        (encode_versioned(&values::trail_1()), 7),
        (encode_versioned(&values::progress_1()), 5),
    ] {
        let mut from = minicbor::Decoder::new(&bytes[1..]);
        assert_eq!((from.datatype().unwrap(), from.map().unwrap()), (Type::Map, Some(fields)));
    }
}
