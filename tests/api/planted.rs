//! The walk is shown what it should see, and what it should not be fooled by.

use std::collections::BTreeSet;

use super::difference;
use super::reach::Walk;
use super::sources::Sources;

fn surface(files: &[(&str, &str)]) -> BTreeSet<String> {
    Walk::of(&Sources::of("it", &|file| files.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned())))
}

fn lines(files: &[(&str, &str)]) -> Vec<String> {
    surface(files).into_iter().collect()
}

#[test]
fn only_what_can_be_named_from_outside_is_seen() {
    let hidden = "
        mod inner { pub fn unreachable() {} pub struct Unreachable; impl Unreachable { pub fn new() {} } }
        pub(crate) fn within() {}
        pub struct Seen { within: u8 }
        impl Seen { fn private(&self) {} pub(crate) fn within(&self) {} }
        trait Private {} impl Private for Seen {}
        impl From<u8> for inner::Unreachable {}
        #[cfg(test)] pub mod tests { pub fn of_tests() {} }
        use inner::unreachable as private;
    ";
    assert_eq!(lines(&[("lib.rs", hidden)]), ["it::Seen.: private fields", "it::Seen: pub struct Seen"]);
}

#[test]
fn what_is_re_exported_is_seen_under_each_of_its_names() {
    let files = [
        (
            "lib.rs",
            "mod a; pub mod b; pub use a::One as Renamed; pub use a::deep::*; pub use other::Thing; #[cfg(x)] pub use a::Dear; pub use self::b::Two;",
        ),
        ("a/mod.rs", "pub struct One(pub u8); pub struct Dear; pub mod deep;"),
        ("a/deep.rs", "pub fn globbed() {} fn private() {}"),
        (
            "b.rs",
            "pub struct Two; impl Two { pub fn of(one: &super::Renamed) -> Two { Two } } impl<T> From<T> for crate::a::One where T: Copy {}",
        ),
    ];
    let expected = [
        "it::Dear: #[cfg(x)] pub use",
        "it::Dear: pub struct Dear",
        "it::Renamed.0: u8",
        "it::Renamed: impl<T> From<T> for crate::a::One where T: Copy",
        "it::Renamed: pub struct One",
        "it::Thing: pub use other::Thing",
        "it::Two: pub use it::b::Two",
        "it::b: pub mod",
        "it::b::Two: pub struct Two",
        "it::b::Two::of: pub fn of(one: &super::Renamed) -> Two",
        "it::globbed: pub fn globbed()",
    ];
    assert_eq!(lines(&files), expected);
}

#[test]
fn kinds_of_items_are_told_with_all_that_a_caller_needs() {
    let text = "
        #[derive(Debug, Clone)] #[non_exhaustive] pub enum E { /** Doc. */ A = 1, #[cfg(feature = \"f\")] B(u8), C { d: Vec<u8> } }
        pub trait T<X>: Send where X: Copy { const N: u8; type O; fn a(&self,); fn b(&self) -> u8 { 1 } }
        pub const C: &'static [u8] = &[1];
        pub async fn f<T: ?Sized>(mut x: &mut T,) -> (u8, impl Fn(u8) -> u8) { (1, |x| x) }
        #[macro_export] macro_rules! m { ($a:expr) => { 1 }; () => { 2 } }
        macro_rules! name { ($name:ident, $rest:expr) => { pub struct $name(u8); impl $name { pub fn new() -> $name { $name($rest) } } } }
        name!(Made, 1);
    ";
    let expected = [
        "it::C: pub const C: &'static [u8]",
        "it::E: #[non_exhaustive] pub enum E",
        "it::E: impl Clone",
        "it::E: impl Debug",
        "it::E::A: variant = 1",
        "it::E::B.0: u8",
        "it::E::B: #[cfg(feature = \"f\")] variant",
        "it::E::C.d: Vec<u8>",
        "it::E::C: variant",
        "it::Made.: private fields",
        "it::Made: pub struct Made",
        "it::Made::new: pub fn new() -> Made",
        "it::T: pub trait T<X>: Send where X: Copy",
        "it::T::N: const N: u8",
        "it::T::O: type O;",
        "it::T::a: fn a(&self)",
        "it::T::b: fn b(&self) -> u8 { .. }",
        "it::f: pub async fn f<T: ?Sized>(x: &mut T) -> (u8, impl Fn(u8) -> u8)",
        "it::m!: ($a: expr)",
        "it::m!: ()",
    ];
    assert_eq!(
        lines(&[("lib.rs", text)]),
        expected.into_iter().map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
}

#[test]
fn a_change_is_shown_line_by_line() {
    let before = "it::f: pub fn f()\nit::g: pub fn g()\n";
    let after = surface(&[("lib.rs", "pub fn f(x: u8) {} pub fn g() {}")]);
    assert_eq!(difference(before, &after), "- it::f: pub fn f()\n+ it::f: pub fn f(x: u8)\n");
}
