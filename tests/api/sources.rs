//! The modules of a crate, as their sources say: no compiler is asked.

use std::collections::BTreeMap;

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, UseTree, Visibility};

/// The path of a module from the root of its crate.
pub(crate) type Place = Vec<String>;

/// A module: what is declared in it, apart from tests.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) items: Vec<Item>,
    pub(crate) uses: Vec<Use>,
}

/// One name that a `use` brings; a glob has none.
pub(crate) struct Use {
    pub(crate) name: Option<String>,
    pub(crate) path: Place,
    pub(crate) public: bool,
    pub(crate) attributes: Vec<Attribute>,
}

/// A crate: its modules by their paths, the root's is empty.
pub(crate) struct Sources {
    pub(crate) name: String,
    pub(crate) modules: BTreeMap<Place, Module>,
}

impl Sources {
    /// Reads a crate from its `src`; `read` gives a file by its path from there.
    pub(crate) fn of(name: &str, read: &dyn Fn(&str) -> Option<String>) -> Sources {
        let mut sources = Sources { name: name.to_owned(), modules: BTreeMap::new() };
        let text = read("lib.rs").unwrap_or_else(|| panic!("{name} has no lib.rs"));
        sources.add(Vec::new(), parsed("lib.rs", &text), read);
        sources
    }

    fn add(&mut self, place: Place, items: Vec<Item>, read: &dyn Fn(&str) -> Option<String>) {
        let mut module = Module::default();
        let items: Vec<Item> = items.into_iter().filter(|item| !is_for_tests(attributes(item))).collect();
        let macros = macros_of(&items);
        for item in items {
            let item = match item {
                Item::Use(found) => {
                    let path = if found.leading_colon.is_some() { vec![String::new()] } else { vec![] };
                    spread(&found.tree, path, &mut |name, path| {
                        module.uses.push(Use { name, path, public: is_public(&found.vis), attributes: found.attrs.clone() });
                    });
                    continue;
                }
                Item::Macro(call) if call.ident.is_none() => match made_by(&call, &macros) {
                    Some(made) => {
                        module.items.extend(made);
                        continue;
                    }
                    None => Item::Macro(call),
                },
                other => other,
            };
            if let Item::Mod(found) = &item {
                let inner: Place = place.iter().cloned().chain([found.ident.to_string()]).collect();
                let file = inner.join("/");
                let items = match &found.content {
                    Some((_, items)) => items.clone(),
                    None => [format!("{file}.rs"), format!("{file}/mod.rs")]
                        .iter()
                        .find_map(|file| read(file).map(|text| parsed(file, &text)))
                        .unwrap_or_else(|| panic!("{}: module {file} has no file", self.name)),
                };
                self.add(inner, items, read);
            }
            module.items.push(item);
        }
        self.modules.insert(place, module);
    }
}

fn parsed(file: &str, text: &str) -> Vec<Item> {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}")).items
}

pub(crate) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let cfg = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    cfg.map(|cfg| cfg.meta.to_token_stream().to_string()).any(|cfg| cfg.starts_with("cfg (test") || cfg.starts_with("cfg (all (test"))
}

fn spread(tree: &UseTree, mut path: Place, found: &mut dyn FnMut(Option<String>, Place)) {
    let mut named = |name: String, end: &syn::Ident, mut path: Place| {
        // `use a::b::{self}` is `use a::b`.
        if end == "self" && !path.is_empty() {
            let name = if name == "self" { path[path.len() - 1].clone() } else { name };
            return found(Some(name), path);
        }
        path.push(end.to_string());
        found(Some(name), path);
    };
    match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            spread(&inner.tree, path, found);
        }
        UseTree::Name(end) => named(end.ident.to_string(), &end.ident, path),
        UseTree::Rename(end) => named(end.rename.to_string(), &end.ident, path),
        UseTree::Glob(_) => found(None, path),
        UseTree::Group(group) => group.items.iter().for_each(|tree| spread(tree, path.clone(), found)),
    }
}

/// The macros that are defined in a module, by name: the name of their one `ident`, and what they write.
fn macros_of(items: &[Item]) -> BTreeMap<String, (String, TokenStream)> {
    let mut macros = BTreeMap::new();
    for item in items {
        let Item::Macro(item) = item else { continue };
        let Some(name) = &item.ident else { continue };
        let parts: Vec<TokenTree> = item.mac.tokens.clone().into_iter().collect();
        // One rule: its pattern, `=>`, and what it writes.
        let [TokenTree::Group(pattern), _, _, TokenTree::Group(written), ..] = &parts[..] else { continue };
        let pattern: Vec<TokenTree> = pattern.stream().into_iter().collect();
        let idents: Vec<String> = pattern
            .windows(4)
            .filter(|four| is_dollar(&four[0]) && four[3].to_string() == "ident")
            .map(|four| four[1].to_string())
            .collect();
        if let ([ident], true) = (&idents[..], written.to_string().contains("pub struct")) {
            macros.insert(name.to_string(), (ident.clone(), written.stream()));
        }
    }
    macros
}

fn is_dollar(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == '$')
}

/// The items that a macro with one `ident` makes, where they are plain enough.
fn made_by(call: &syn::ItemMacro, macros: &BTreeMap<String, (String, TokenStream)>) -> Option<Vec<Item>> {
    let (ident, written) = macros.get(&call.mac.path.to_token_stream().to_string())?;
    let name = call.mac.tokens.clone().into_iter().find_map(|token| match token {
        TokenTree::Ident(name) => Some(name),
        _ => None,
    })?;
    let items = syn::parse2::<syn::File>(filled(written.clone(), ident, &name)).ok()?.items;
    Some(items)
}

/// What a macro writes, with its `ident` filled in, its repetitions left out, and every other variable by its bare name.
fn filled(written: TokenStream, ident: &str, name: &proc_macro2::Ident) -> TokenStream {
    let mut to = Vec::new();
    let mut from = written.into_iter().peekable();
    while let Some(token) = from.next() {
        match token {
            token if is_dollar(&token) => match from.next() {
                Some(TokenTree::Ident(variable)) if variable == ident => to.push(name.clone().into()),
                Some(TokenTree::Group(_)) => drop(from.next()),
                other => to.extend(other),
            },
            TokenTree::Group(group) => to.push(Group::new(group.delimiter(), filled(group.stream(), ident, name)).into()),
            other => to.push(other),
        }
    }
    to.into_iter().collect()
}
