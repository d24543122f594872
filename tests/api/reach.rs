//! What can be named from outside of a crate, and by which paths.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use syn::Item;

use super::print;
use super::sources::{Place, Sources, Use, attributes, is_public};

/// An item: the module that declares it, and its name.
pub(crate) type Id = (Place, String);

/// What a path leads to.
pub(crate) enum Target {
    Item(Id),
    Module(Place),
    /// Another crate, or a name that a macro makes.
    Elsewhere,
}

/// Walks what is public; the lines of the surface gather here.
pub(crate) struct Walk<'s> {
    sources: &'s Sources,
    /// Every item that can be named, with the path that it is shown at.
    pub(crate) shown: BTreeMap<Id, String>,
    /// Modules that were walked, each with the path that it is shown at, and those of them whose re-exports were not looked at yet.
    walked: BTreeSet<(Place, String)>,
    left: VecDeque<(Place, String)>,
    pub(crate) lines: BTreeSet<String>,
}

impl<'s> Walk<'s> {
    /// The surface of a crate: one line for each thing that can be named or called.
    pub(crate) fn of(sources: &'s Sources) -> BTreeSet<String> {
        let (shown, walked, left, lines) = Default::default();
        let mut walk = Walk { sources, shown, walked, left, lines };
        // First what is declared in public, then what is only re-exported.
        walk.module(&Vec::new(), &sources.name);
        while let Some((place, path)) = walk.left.pop_front() {
            for found in sources.modules[&place].uses.iter().filter(|found| found.public) {
                walk.re_export(&place, &path, found);
            }
        }
        walk.macros();
        print::items(sources, &mut walk);
        walk.lines
    }

    pub(crate) fn item(&self, (place, name): &Id) -> Option<&'s Item> {
        self.sources.modules.get(place)?.items.iter().find(|item| print::name(item).as_deref() == Some(name))
    }

    fn module(&mut self, place: &Place, path: &str) {
        if !self.walked.insert((place.clone(), path.to_owned())) {
            return;
        }
        self.left.push_back((place.clone(), path.to_owned()));
        let sources = self.sources;
        let module = &sources.modules[place];
        for item in &module.items {
            let Some(name) = print::name(item).filter(|_| print::visibility(item).is_some_and(is_public)) else { continue };
            let inner = format!("{path}::{name}");
            if let Item::Mod(found) = item {
                self.lines.insert(format!("{inner}: {}pub mod", print::conditions(&found.attrs)));
                self.module(&[&place[..], &[name]].concat(), &inner);
            } else {
                self.show((place.clone(), name), inner, "");
            }
        }
        for call in module.items.iter().filter_map(print::unknown_macro) {
            self.lines.insert(format!("{path}: {call}"));
        }
    }

    fn show(&mut self, id: Id, path: String, conditions: &str) {
        match self.shown.get(&id) {
            Some(first) if *first != path => {
                self.lines.insert(format!("{path}: {conditions}pub use {first}"));
            }
            Some(_) => {}
            None => {
                if !conditions.is_empty() {
                    self.lines.insert(format!("{path}: {conditions}pub use"));
                }
                self.shown.insert(id, path);
            }
        }
    }

    fn re_export(&mut self, place: &Place, path: &str, found: &Use) {
        let (target, conditions) = (self.resolve(place, &found.path, 0), print::conditions(&found.attributes));
        let Some(name) = &found.name else {
            match target {
                Target::Module(inner) => self.module(&inner, path),
                _ => drop(self.lines.insert(format!("{path}: {conditions}pub use {}::*", found.path.join("::")))),
            }
            return;
        };
        let path = format!("{path}::{name}");
        match target {
            Target::Item(id) => self.show(id, path, &conditions),
            Target::Module(inner) => {
                self.lines.insert(format!("{path}: {conditions}pub mod"));
                self.module(&inner, &path);
            }
            Target::Elsewhere => drop(self.lines.insert(format!("{path}: {conditions}pub use {}", found.path.join("::")))),
        }
    }

    fn macros(&mut self) {
        let items = self.sources.modules.values().flat_map(|module| &module.items);
        for item in items.filter(|item| attributes(item).iter().any(|attribute| attribute.path().is_ident("macro_export"))) {
            let name = print::name(item).expect("a macro that is exported has a name");
            self.lines.extend(print::patterns(item).map(|pattern| format!("{}::{name}!: {pattern}", self.sources.name)));
        }
    }

    /// What `path` means in the module at `place`; `depth` ends what goes round in circles.
    pub(crate) fn resolve(&self, place: &Place, path: &[String], depth: usize) -> Target {
        let Some((first, rest)) = path.split_first().filter(|_| depth < 16) else { return Target::Module(place.clone()) };
        let from = match first.as_str() {
            "crate" => Target::Module(Vec::new()),
            "self" => Target::Module(place.clone()),
            "super" => Target::Module(place[..place.len().saturating_sub(1)].to_vec()),
            name => self.named(place, name, depth),
        };
        match from {
            Target::Module(inner) if !rest.is_empty() => self.resolve(&inner, rest, depth + 1),
            found if rest.is_empty() => found,
            _ => Target::Elsewhere,
        }
    }

    fn named(&self, place: &Place, name: &str, depth: usize) -> Target {
        let Some(module) = self.sources.modules.get(place) else { return Target::Elsewhere };
        let inner: Place = [&place[..], &[name.to_owned()]].concat();
        if self.sources.modules.contains_key(&inner) {
            return Target::Module(inner);
        }
        let id = (place.clone(), name.to_owned());
        if self.item(&id).is_some() {
            return Target::Item(id);
        }
        let named = module.uses.iter().find(|found| found.name.as_deref() == Some(name) && found.path != [name]);
        if let Some(found) = named {
            return self.resolve(place, &found.path, depth + 1);
        }
        let globs = module.uses.iter().filter(|found| found.name.is_none());
        let mut through = globs.map(|found| self.resolve(place, &[&found.path[..], &[name.to_owned()]].concat(), depth + 1));
        through.find(|target| !matches!(target, Target::Elsewhere)).unwrap_or(Target::Elsewhere)
    }
}
