//! What a target is under cargo-fuzz, and without it.

#![forbid(unsafe_code)]

#[cfg(fuzzing)]
pub use libfuzzer_sys;

/// Makes a target of a function of bytes.
#[macro_export]
macro_rules! target {
    ($body:path) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $body(bytes));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::replay($body)
        }
    };
}

/// Runs a target on the files that are named as arguments.
pub fn replay(body: fn(&[u8])) {
    for path in std::env::args_os().skip(1) {
        body(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    }
}
