//! The imports between the modules of a crate, and the circles among them.
//!
//! A re-export (`pub use`, `pub(crate) use`) is no import: a name that is taken through a module's re-export counts as taken from where it
//! is defined. Everything else counts, relative paths (`child::Name`) too. Paths inside macros are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

type ModulePath = Vec<String>;

/// One module, which is one file: modules inside a file count as part of it.
#[derive(Default)]
struct Module {
    children: BTreeSet<String>,
    /// What `use` binds here: the name and the path behind it, as written.
    bound: BTreeMap<String, ModulePath>,
    /// Paths that the code names, as written.
    named: Vec<ModulePath>,
}

/// The circles of a crate: each the modules that import each other, directly or not.
pub(crate) fn circles(source: &Path) -> Vec<Vec<String>> {
    let mut modules = BTreeMap::new();
    read(source, &source.join("lib.rs"), Vec::new(), &mut modules);
    let edges: BTreeMap<&ModulePath, BTreeSet<ModulePath>> = modules
        .iter()
        .map(|(path, module)| {
            let imports = module.named.iter().filter_map(|named| resolve(&modules, path, named, 0));
            (path, imports.filter(|target| target != path).collect())
        })
        .collect();
    let reach: BTreeMap<&ModulePath, BTreeSet<ModulePath>> =
        edges.keys().map(|path| (*path, reachable(&edges, path))).collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut seen = BTreeSet::new();
    for path in edges.keys().filter(|path| reach[**path].contains(**path)) {
        if seen.contains(*path) {
            continue;
        }
        let circle: Vec<&ModulePath> =
            reach[*path].iter().filter(|other| reach.get(other).is_some_and(|back| back.contains(*path))).collect();
        seen.extend(circle.iter().map(|path| (*path).clone()));
        found.push(circle.iter().map(|path| name(path)).collect());
    }
    found
}

/// Every import inside a circle, for the message of a failing test.
pub(crate) fn imports_within(source: &Path, circle: &[String]) -> Vec<String> {
    let mut modules = BTreeMap::new();
    read(source, &source.join("lib.rs"), Vec::new(), &mut modules);
    let mut lines = BTreeSet::new();
    for (path, module) in modules.iter().filter(|(path, _)| circle.contains(&name(path))) {
        for named in &module.named {
            let target = resolve(&modules, path, named, 0).map(|target| name(&target));
            if let Some(target) = target.filter(|target| *target != name(path) && circle.contains(target)) {
                lines.insert(format!("{} -> {target} ({})", name(path), named.join("::")));
            }
        }
    }
    lines.into_iter().collect()
}

fn name(path: &[String]) -> String {
    if path.is_empty() { "crate".to_owned() } else { path.join("::") }
}

fn reachable(edges: &BTreeMap<&ModulePath, BTreeSet<ModulePath>>, from: &ModulePath) -> BTreeSet<ModulePath> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from.clone()];
    while let Some(path) = open.pop() {
        for next in edges.get(&path).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    reached
}

/// The module in which a path's item is defined; `None` for other crates and for local names.
fn resolve(
    modules: &BTreeMap<ModulePath, Module>,
    from: &[String],
    named: &[String],
    depth: u32,
) -> Option<ModulePath> {
    let here = modules.get(from)?;
    let (first, mut rest) = named.split_first()?;
    let mut at: ModulePath = match first.as_str() {
        "crate" => Vec::new(),
        "self" => from.to_vec(),
        "super" => from.split_last()?.1.to_vec(),
        child if here.children.contains(child) => [from, &[child.to_owned()]].concat(),
        bound if depth < 8 && here.bound.contains_key(bound) => {
            let behind = [here.bound[bound].as_slice(), rest].concat();
            return resolve_bound(modules, from, &behind, bound, depth);
        }
        _ => return None,
    };
    while let Some((next, after)) = rest.split_first() {
        let module = modules.get(&at)?;
        if next == "super" {
            at.pop();
        } else if module.children.contains(next) {
            at.push(next.clone());
        } else if depth < 8 && module.bound.contains_key(next) {
            let behind = [module.bound[next].as_slice(), after].concat();
            return resolve_bound(modules, &at.clone(), &behind, next, depth);
        } else {
            break;
        }
        rest = after;
    }
    Some(at)
}

/// Follows a binding. One that names itself (`use name::name`) is another crate's.
fn resolve_bound(
    modules: &BTreeMap<ModulePath, Module>,
    from: &[String],
    behind: &[String],
    bound: &str,
    depth: u32,
) -> Option<ModulePath> {
    if behind.first().is_some_and(|first| first == bound) && !modules.get(from)?.children.contains(bound) {
        return None;
    }
    resolve(modules, from, behind, depth + 1)
}

/// Reads a file and those of its submodules.
fn read(source: &Path, file: &Path, path: ModulePath, modules: &mut BTreeMap<ModulePath, Module>) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut reader = Reader::default();
    reader.visit_file(&parsed);
    let children: Vec<String> = reader.module.children.iter().cloned().collect();
    for child in children {
        let child_path = [path.as_slice(), &[child]].concat();
        let below: PathBuf = child_path.iter().collect();
        let flat = source.join(&below).with_extension("rs");
        let nested = source.join(&below).join("mod.rs");
        let file = if flat.exists() { flat } else { nested };
        if file.exists() {
            read(source, &file, child_path, modules);
        }
    }
    modules.insert(path, reader.module);
}

#[derive(Default)]
struct Reader {
    module: Module,
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| {
                let condition = list.tokens.to_string();
                condition.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
            })
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_none() {
            self.module.children.insert(item.ident.to_string());
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        self.take(&item.tree, Vec::new(), is_reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            self.module.named.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

impl Reader {
    fn take(&mut self, tree: &UseTree, before: ModulePath, is_reexport: bool) {
        let with = |ident: &syn::Ident| [before.as_slice(), &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.take(&path.tree, with(&path.ident), is_reexport),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.take(tree, before.clone(), is_reexport)),
            UseTree::Glob(_) => self.bind("*".to_owned(), before, is_reexport),
            UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned().unwrap_or_default();
                self.bind(last, before, is_reexport);
            }
            UseTree::Name(name) => self.bind(name.ident.to_string(), with(&name.ident), is_reexport),
            UseTree::Rename(rename) if rename.ident == "self" => {
                self.bind(rename.rename.to_string(), before, is_reexport)
            }
            UseTree::Rename(rename) => self.bind(rename.rename.to_string(), with(&rename.ident), is_reexport),
        }
    }

    fn bind(&mut self, name: String, behind: ModulePath, is_reexport: bool) {
        if !is_reexport {
            self.module.named.push(behind.clone());
        }
        self.module.bound.insert(name, behind);
    }
}
