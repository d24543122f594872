//! What the core reads, on bytes that nobody made on purpose.

use std::panic::catch_unwind;

use jobbers_conformance::fuzz;

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn parts_of_records_are_refused_or_read_back_as_themselves() {
    fuzz::play("record_parts", &fuzz::record_parts_corpus(), fuzz::record_parts);
}

#[test]
fn rows_of_a_limiter_are_refused_or_make_one_that_works() {
    fuzz::play("limiter_rows", &fuzz::limiter_rows_corpus(), fuzz::limiter_rows);
}

#[test]
fn names_fit_their_rule_and_stay_what_they_are() {
    let names =
        ["mail", "mail.bulk-2", "mail_send.v2", "a.b.c", "queue:img", "..", "a..b", "{acme:0}:x", "mail\u{202e}liam", "\u{e9}", "A"];
    fuzz::play("names", &texts(&names), fuzz::names);
}

#[test]
fn ids_read_back_as_themselves() {
    let ids = ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAV-17", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ-0"];
    fuzz::play("ids", &texts(&ids), fuzz::ids);
}

#[test]
fn times_lie_between_1970_and_9999() {
    let times = [0, -1, i64::MAX, 253_402_300_799_999, 253_402_300_800_000_i64];
    fuzz::play("times", &times.map(|time| time.to_be_bytes().to_vec()), fuzz::times);
}

#[test]
fn questions_are_answered_or_their_cursor_is_refused() {
    fuzz::play("cursors", &fuzz::cursors_corpus(), fuzz::cursors);
}

#[test]
fn states_are_refused_or_read_back_as_themselves() {
    fuzz::play("states", &texts(&["waiting", "succeeded", "ready,dead", "READY", "*"]), fuzz::states);
}

#[test]
fn a_rule_that_is_broken_is_found() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = [
        // A length that is believed, a loop over it, and a byte that is read as another one.
        catch_unwind(|| fuzz::play("planted", &fuzz::record_parts_corpus(), |bytes| assert!(bytes.len() < 9 || bytes[3..9] != [0xff; 6]))),
        catch_unwind(|| fuzz::play("planted", &texts(&["mail"]), |bytes| assert_ne!(bytes, b"mai"))),
        catch_unwind(|| fuzz::play("planted", &texts(&["mail"]), |bytes| assert!(std::str::from_utf8(bytes).is_ok()))),
    ];
    std::panic::set_hook(quiet);
    assert!(found.iter().all(Result::is_err), "{found:?}");
}
