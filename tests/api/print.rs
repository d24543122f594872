//! Items as lines of text: what a caller has to know, and no more.

use quote::ToTokens;
use syn::{Attribute, Fields, FnArg, ImplItem, Item, ItemImpl, Pat, Signature, TraitItem, Type, Visibility};

use super::reach::{Target, Walk};
use super::sources::{Place, Sources, is_public};

pub(crate) fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

pub(crate) fn visibility(item: &Item) -> Option<&Visibility> {
    Some(match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        _ => return None,
    })
}

/// Attributes that change what can be done with an item.
pub(crate) fn conditions(attributes: &[Attribute]) -> String {
    let kept = ["cfg", "non_exhaustive", "deprecated", "proc_macro", "proc_macro_attribute", "proc_macro_derive"];
    let kept = attributes.iter().filter(|attribute| {
        let hidden = attribute.path().is_ident("doc") && attribute.to_token_stream().to_string().contains("hidden");
        hidden || kept.iter().any(|name| attribute.path().is_ident(name))
    });
    kept.map(|attribute| format!("{} ", text(attribute))).collect()
}

/// A call of a macro that may make public items, and is not seen through.
pub(crate) fn unknown_macro(item: &Item) -> Option<String> {
    match item {
        Item::Macro(call) if call.ident.is_none() => {
            let tokens = call.mac.tokens.to_string();
            tokens.contains("pub ").then(|| format!("{}! {{ {} }}", text(&call.mac.path), tidied(&tokens)))
        }
        _ => None,
    }
}

/// The patterns of a macro.
pub(crate) fn patterns(item: &Item) -> impl Iterator<Item = String> {
    let Item::Macro(item) = item else { panic!("only macros are exported as such") };
    let tokens: Vec<_> = item.mac.tokens.clone().into_iter().collect();
    let rules = tokens.split(|token| token.to_string() == ";").filter(|rule| !rule.is_empty());
    rules.map(|rule| tidied(&rule[0].to_string())).collect::<Vec<_>>().into_iter()
}

/// The lines of every item that can be named, and of what is implemented for it.
pub(crate) fn items(sources: &Sources, walk: &mut Walk<'_>) {
    for (id, path) in walk.shown.clone() {
        if let Some(item) = walk.item(&id) {
            walk.lines.extend(declared(item).into_iter().map(|(inner, line)| format!("{path}{inner}: {line}")));
        }
    }
    for (place, module) in &sources.modules {
        for item in &module.items {
            if let Item::Impl(item) = item {
                implemented(sources, walk, place, item);
            }
        }
    }
}

/// Lines of a declaration: what stands behind the item's path, and the text.
fn declared(item: &Item) -> Vec<(String, String)> {
    match item {
        Item::Const(item) => vec![line(&item.attrs, format!("pub const {}: {}", item.ident, text(&item.ty)))],
        Item::Static(item) => vec![line(&item.attrs, format!("pub static {}: {}", item.ident, text(&item.ty)))],
        Item::Fn(item) => vec![line(&item.attrs, format!("pub {}", signature(&item.sig)))],
        Item::Type(item) => vec![line(&item.attrs, format!("pub type {}{} = {}", item.ident, generics(&item.generics), text(&item.ty)))],
        Item::Struct(item) => {
            let mut lines = vec![line(&item.attrs, format!("pub struct {}{}", item.ident, generics(&item.generics)))];
            lines.extend(fields(&item.fields, |field| is_public(&field.vis)));
            lines.extend(derived(&item.attrs));
            lines
        }
        Item::Enum(item) => {
            let mut lines = vec![line(&item.attrs, format!("pub enum {}{}", item.ident, generics(&item.generics)))];
            for variant in &item.variants {
                let number = variant.discriminant.as_ref().map_or(String::new(), |(_, number)| format!(" = {}", text(number)));
                lines.push((format!("::{}", variant.ident), format!("{}variant{number}", conditions(&variant.attrs))));
                let inner = fields(&variant.fields, |_| true);
                lines.extend(inner.into_iter().map(|(field, line)| (format!("::{}{field}", variant.ident), line)));
            }
            lines.extend(derived(&item.attrs));
            lines
        }
        Item::Trait(item) => {
            let above = if item.supertraits.is_empty() { String::new() } else { format!(": {}", text(&item.supertraits)) };
            let mut lines =
                vec![line(&item.attrs, format!("pub trait {}{}{above}{}", item.ident, parameters(&item.generics), bounds(&item.generics)))];
            lines.extend(item.items.iter().filter_map(|item| match item {
                TraitItem::Fn(item) => {
                    let provided = if item.default.is_some() { " { .. }" } else { "" };
                    Some((format!("::{}", item.sig.ident), format!("{}{}{provided}", conditions(&item.attrs), signature(&item.sig))))
                }
                TraitItem::Const(item) => {
                    let provided = if item.default.is_some() { " = .." } else { "" };
                    Some((format!("::{}", item.ident), format!("const {}: {}{provided}", item.ident, text(&item.ty))))
                }
                TraitItem::Type(item) => Some((format!("::{}", item.ident), text(item))),
                _ => None,
            }));
            lines
        }
        _ => vec![],
    }
}

fn line(attributes: &[Attribute], text: String) -> (String, String) {
    (String::new(), format!("{}{text}", conditions(attributes)))
}

/// Fields that can be seen; whether there are others shows as well.
fn fields(fields: &Fields, is_seen: impl Fn(&syn::Field) -> bool) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (at, field) in fields.iter().enumerate().filter(|(_, field)| is_seen(field)) {
        let name = field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string);
        lines.push((format!(".{name}"), format!("{}{}", conditions(&field.attrs), text(&field.ty))));
    }
    if lines.len() < fields.len() {
        lines.push((".".into(), "private fields".into()));
    }
    lines
}

fn derived(attributes: &[Attribute]) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for derive in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let each = derive.parse_nested_meta(|meta| {
            lines.push((String::new(), format!("impl {}", text(&meta.path))));
            Ok(())
        });
        each.unwrap();
    }
    lines
}

/// Lines of an `impl`, where its type and its trait can be named from outside.
fn implemented(sources: &Sources, walk: &mut Walk<'_>, place: &Place, item: &ItemImpl) {
    let named = |walk: &Walk<'_>, path: &syn::Path| {
        let path: Place = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        match walk.resolve(place, &path, 0) {
            // A name of this crate: `None` within, if it can not be named from outside.
            Target::Item(id) => Some(walk.shown.get(&id).cloned()),
            _ => None,
        }
    };
    let of_type = match &*item.self_ty {
        Type::Path(path) => named(walk, &path.path),
        _ => None,
    };
    let of_trait = item.trait_.as_ref().and_then(|(path, ..)| named(walk, path));
    let (Some(path), false) = (of_type.unwrap_or_else(|| Some(sources.name.clone())), of_trait == Some(None)) else { return };
    if let Some((of, ..)) = &item.trait_ {
        let (of, for_type) = (text(of), text(&item.self_ty));
        let line = format!("impl{} {of} for {for_type}{}", parameters(&item.generics), bounds(&item.generics));
        walk.lines.insert(format!("{path}: {}{line}", conditions(&item.attrs)));
        return;
    }
    for inner in &item.items {
        match inner {
            ImplItem::Fn(inner) if is_public(&inner.vis) => {
                let line = format!("{}pub {}", conditions(&inner.attrs), signature(&inner.sig));
                walk.lines.insert(format!("{path}::{}: {line}{}", inner.sig.ident, within(item)));
            }
            ImplItem::Const(inner) if is_public(&inner.vis) => {
                walk.lines.insert(format!("{path}::{}: pub const {}: {}", inner.ident, inner.ident, text(&inner.ty)));
            }
            _ => {}
        }
    }
}

/// The bounds of an inherent `impl` and the features that it needs.
fn within(item: &ItemImpl) -> String {
    let (conditions, generics) = (conditions(&item.attrs), generics(&item.generics));
    if conditions.is_empty() && generics.is_empty() { String::new() } else { format!("  [{conditions}impl{generics}]") }
}

fn generics(generics: &syn::Generics) -> String {
    parameters(generics) + &bounds(generics)
}

fn parameters(generics: &syn::Generics) -> String {
    text(&evened(generics))
}

fn bounds(generics: &syn::Generics) -> String {
    evened(generics).where_clause.map_or(String::new(), |bounds| format!(" {}", text(&bounds)))
}

/// Without the commas that rustfmt leaves where it breaks lines.
fn evened(generics: &syn::Generics) -> syn::Generics {
    let mut generics = generics.clone();
    generics.params.pop_punct();
    if let Some(bounds) = &mut generics.where_clause {
        bounds.predicates.pop_punct();
    }
    generics
}

fn signature(signature: &Signature) -> String {
    let mut signature = signature.clone();
    signature.inputs.pop_punct();
    // Whether a function changes what it was given is its own matter.
    for input in &mut signature.inputs {
        match input {
            FnArg::Receiver(receiver) => receiver.mutability = None,
            FnArg::Typed(input) => {
                if let Pat::Ident(name) = &mut *input.pat {
                    name.mutability = None;
                }
            }
        }
    }
    signature.generics = evened(&signature.generics);
    text(&signature)
}

fn text(tokens: &impl ToTokens) -> String {
    tidied(&tokens.to_token_stream().to_string())
}

/// Tokens with the blanks that people leave.
fn tidied(tokens: &str) -> String {
    let mut text = tokens.split_whitespace().collect::<Vec<_>>().join(" ");
    let closer = [
        (" ::", "::"),
        (":: ", "::"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        ("( ", "("),
        (" )", ")"),
        (" (", "("),
        (" ;", ";"),
        (" :", ":"),
        ("# [", "#["),
        ("[ ", "["),
        (" ]", "]"),
        (" !", "!"),
        ("? Sized", "?Sized"),
        ("->(", "-> ("),
        (",(", ", ("),
        (":(", ": ("),
        ("=(", "= ("),
        ("$ ", "$"),
        ("for(", "for ("),
    ];
    for (from, to) in closer {
        text = text.replace(from, to);
    }
    text
}
