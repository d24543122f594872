use bytes::Bytes;

use super::*;
use crate::error::ErrorKind;

fn state() -> Limits {
    let mut limits = Limits::restore::<&[u8], &[u8]>([]).unwrap();
    let rate = Some(Rate { count: 3, period: Duration::from_millis(100), burst: 2 });
    define(&mut limits, "c", 7, Some(Bounds { concurrency: Some(1), rate }), 1_000);
    define(&mut limits, "ended", 2, None, 1_000);
    granted(&mut limits, who(1, 5), &["c"], 1_000);
    denied(&mut limits, who(2, 6), &["c"], "c", 1_000);
    close(&mut limits, "closed", at(9_000), 1_000);
    limits
}

/// Rows that an older build wrote: to be read for ever.
const GOLDEN: [(&str, &str); 6] = [
    ("6463", "01a6010702f503010403051a05f5e1000602"),
    ("64656e646564", "01a10102"),
    ("6c63203432", "01a1025000000000000000000000040955555556"),
    ("6c636c6f736564203432", "01a101192328"),
    ("6800000000000000000000000000000001000000000000000000000005", "01a2018183826163623432010102195208"),
    ("770000000000000000000000000000000200000000", "01a401060281838261636234320100038261636234320401"),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn rows_are_written_as_ever() {
    let rows: Vec<_> = state().changed().into_iter().map(|(key, value)| (hex(&key), hex(&value.unwrap()))).collect();
    assert_eq!(rows, GOLDEN.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[test]
fn rows_of_an_older_build_are_read() {
    let mut limits = Limits::restore(GOLDEN.map(|(key, value)| (unhex(key), unhex(value)))).unwrap();
    assert!(limits.changed().is_empty());
    assert_eq!(limits.definitions, state().definitions);
    assert_eq!(claim(&mut limits, who(3, 1), &["closed"], 1_000), no("closed", Some(9_000)));
    assert_eq!(limits.give_back(&[who(1, 5)], at(1_000)), [who(2, 6)]);
}

#[test]
fn a_row_that_is_gone_is_named_without_a_value() {
    let mut limits = state();
    limits.changed();
    limits.give_back(&[who(1, 5), who(2, 6)], at(1_000));
    let rows = limits.changed();
    let gone: Vec<u8> = rows.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key[0]).collect();
    assert_eq!(gone, *b"hhw", "two holds, the second of them handed over, and a wait: {rows:?}");
    assert!(limits.changed().is_empty());
}

#[test]
fn a_state_that_nobody_keeps_names_no_rows() {
    let mut limits = with(&[("c", at_once(1))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    assert!(limits.changed().is_empty());
}

#[test]
fn damaged_rows_are_refused() {
    let hold = unhex(GOLDEN[4].1);
    let bad: [(&[u8], &[u8]); 8] = [
        (b"", b""),
        (b"x1", &hold),
        (b"hshort", &hold),
        (b"lno-blank", &hold),
        (b"d\0", b""),
        (b"la\0 42", b""),
        (b"w12345678901234567890", b""),
        (b"dlimit", &hold[..hold.len() - 1]),
    ];
    for (key, value) in bad {
        let error = Limits::restore([(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
}
