//! Payloads of every codec: what an older Jobbers wrote is read for ever.
//!
//! `JOBBERS_GOLDEN=write cargo test -p jobbers-core --all-features --test payloads` writes golden files that are missing.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "payload_values/mod.rs"]
mod values;

use std::path::PathBuf;

use jobbers_core::task::{Codec, payload};
use jobbers_core::{ErrorKind, SmallText};
use serde::{Deserialize, Serialize};
use values::{CODECS, Line, Order, Tree, decoded, encoded, order};

/// One whose levels have no bytes in some codecs.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);

#[test]
fn payloads_of_every_version_are_read() {
    for (codec, end) in CODECS {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/payload.1.{end}"));
        if std::env::var("JOBBERS_GOLDEN").as_deref() == Ok("write") && !path.exists() {
            std::fs::write(&path, encoded(*codec, &order())).unwrap();
        }
        let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(decoded::<Order>(*codec, &stored).unwrap(), order(), "{end}");
        assert_eq!(encoded(*codec, &order()), stored, "{end} is written otherwise than before: it needs a content type of its own");
    }
}

#[test]
fn a_field_that_was_added_is_read_from_older_bytes_where_fields_have_names() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Newer {
        #[serde(default)]
        discount: u8,
        what: String,
    }
    let older = Line { what: "nails".into(), count: 1, price: 2 };
    for (codec, end) in CODECS {
        let read = decoded::<Newer>(*codec, &encoded(*codec, &older));
        match *end {
            "bincode" => assert_eq!(read.unwrap_err().kind(), ErrorKind::Invalid),
            _ => assert_eq!(read.unwrap(), Newer { discount: 0, what: "nails".into() }),
        }
    }
}

#[test]
fn an_error_names_the_place_and_bytes_left_over_are_one() {
    for (codec, end) in CODECS {
        let mut bytes = encoded(*codec, &vec![("a".to_owned(), 70_000_u32)]);
        let error = decoded::<Vec<(String, u16)>>(*codec, &bytes).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("order: at [0][1]: "), "{end}: {error}");
        bytes.extend(encoded(*codec, &1_u8));
        let error = decoded::<Vec<(String, u32)>>(*codec, &bytes).unwrap_err();
        assert!(error.to_string().contains("at its end"), "{end}: {error}");
    }
}

#[test]
fn parameters_of_the_largest_size_are_read_and_one_byte_more_is_refused() {
    let most = jobbers_core::record::PARAMETERS_BYTES_MAX;
    for (codec, end) in CODECS {
        // Small numbers have one byte each, and claim eight.
        let mut numbers = vec![1_u64; most / 2 - 16];
        assert_eq!(decoded::<Vec<u64>>(*codec, &encoded(*codec, &numbers)).unwrap(), numbers, "{end}");
        numbers.extend(vec![1; most]);
        let error = payload::encode_parameters(*codec, "order", &numbers).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("pass its path or URL"), "{end}: {error}");
    }
}

#[test]
fn values_nested_without_an_end_are_refused_before_the_stack_ends() {
    for (codec, end) in CODECS {
        for byte in 0..=255_u8 {
            for bytes in [vec![byte; 1 << 16], [byte, 0x01].repeat(1 << 15), [byte, 0x02].repeat(1 << 15)] {
                let refused = |result: jobbers_core::Result<()>| result.is_err();
                assert!(refused(decoded::<Tree>(*codec, &bytes).map(drop)), "{end} {byte}");
                // JSON has no bytes for such a level, and serde_json no bound on it.
                assert!(*codec == Codec::Json || refused(decoded::<Chain>(*codec, &bytes).map(drop)), "{end} {byte}");
            }
        }
        let deep = (0..40).fold(Tree::Leaf, |tree, _| Tree::Node(Box::new(tree)));
        assert_eq!(decoded::<Tree>(*codec, &encoded(*codec, &deep)).unwrap(), deep, "{end}");
    }
}

#[test]
fn a_payload_is_shown_as_json_or_as_what_it_is() {
    for (codec, end) in CODECS {
        let line = Line { what: "nails".into(), count: 1, price: 2 };
        let shown = payload::Payload::new(SmallText::new(codec.content_type()), encoded(*codec, &line).into());
        let json = serde_json::to_value(&shown).unwrap();
        match *end {
            "bincode" => {
                assert_eq!(json, serde_json::json!({"content_type": "application/x-bincode2", "bytes": 8}));
                assert_eq!((shown.to_string().as_str(), shown.text()), ("8 bytes of application/x-bincode2", None));
            }
            _ => {
                assert_eq!(json, serde_json::json!({"what": "nails", "count": 1, "price": 2}));
                assert_eq!(serde_json::from_str::<Line>(&shown.to_string()).unwrap(), line);
            }
        }
    }
    let unknown = payload::Payload::new(SmallText::new("text/x"), vec![1, 2].into());
    assert_eq!(unknown.to_string(), "2 bytes of text/x");
    assert_eq!(unknown.decode::<u8>().unwrap_err().kind(), ErrorKind::Unsupported);
    let damaged = payload::Payload::json(&b"{"[..]);
    assert_eq!(serde_json::to_value(&damaged).unwrap(), serde_json::json!({"content_type": "application/json", "bytes": 1}));
    assert_eq!(serde_json::to_value(payload::Payload::json(&b""[..])).unwrap(), serde_json::Value::Null);
}
