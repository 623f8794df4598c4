//! The layers of `host/ARCHITECTURE.md`, held against the code: arrows point down, and what a layer must not know it
//! does not name.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Folders of `host/src` by layer; those of one layer do not know each other either.
const LAYERS: &[(&str, u8)] = &[
    ("model", 0),
    ("plan", 1),
    ("state", 1),
    ("dataplane", 2),
    ("store", 2),
    ("sandbox", 3),
    ("connectors", 3),
    ("storage", 3),
    ("toolchain", 3),
    ("worker", 4),
    ("control", 5),
    ("cli", 6),
];

/// What only some folders may name, and those folders, or parts of them: crates, and what may stand anywhere in a path.
const CONFINED: &[(&str, &[&str])] = &[
    ("wasmtime::", &["sandbox"]),
    ("tokio::", &["store", "control", "cli"]),
    ("object_store::", &["store"]),
    ("rocksdb::", &["storage/rocksdb"]),
    ("rdkafka::", &["connectors/kafka"]),
    ("clap::", &["cli"]),
    ("std::fs", &["sandbox", "connectors", "storage/rocksdb", "store", "toolchain", "control/socket", "cli"]),
    ("std::net", &["connectors", "control"]),
    ("std::thread", &["sandbox", "connectors", "worker", "control", "cli"]),
    ("std::sync::Mutex", &["sandbox", "connectors", "control"]),
    ("Instant", &["sandbox", "connectors", "worker", "control", "cli"]),
    ("SystemTime", &["connectors", "worker", "control", "cli"]),
    ("thread_rng", &[]),
    ("HashMap::new", &["sandbox", "connectors", "toolchain", "cli", "control"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn host_source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src")
}

/// A path that code names, e.g. `std::fs::File`; of `use std::{fs, thread}` there are two.
struct Named {
    segments: Vec<String>,
    line: usize,
}

impl Named {
    /// Whether it begins in this crate (`tokio::`), or has these segments one after the other.
    fn holds(&self, name: &str) -> bool {
        match name.strip_suffix("::") {
            Some(first) => self.segments.len() > 1 && self.segments[0] == first,
            None => {
                let name: Vec<&str> = name.split("::").collect();
                self.segments.windows(name.len()).any(|part| part == name)
            }
        }
    }
}

/// All paths in code, those in macros too, but for items that only tests have.
fn collect(code: TokenStream, found: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = code.into_iter().collect();
    let mut rest = &tokens[..];
    while let Some((first, others)) = rest.split_first() {
        rest = match first {
            TokenTree::Punct(_) if is_test_only(rest) => behind_item(&rest[2..]),
            TokenTree::Ident(_) => collect_path(&[], rest, found),
            TokenTree::Group(group) => {
                collect(group.stream(), found);
                others
            }
            _ => others,
        };
    }
}

/// The path that begins here, and what it branches into; returns what stands behind it.
fn collect_path<'a>(before: &[String], tokens: &'a [TokenTree], found: &mut Vec<Named>) -> &'a [TokenTree] {
    let mut segments = before.to_vec();
    segments.push(tokens[0].to_string());
    let mut rest = &tokens[1..];
    while let [TokenTree::Punct(one), TokenTree::Punct(two), next, others @ ..] = rest
        && (one.as_char(), two.as_char()) == (':', ':')
    {
        match next {
            TokenTree::Ident(name) => segments.push(name.to_string()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let branches: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in branches.split(|token| is_punct(token, ',')).filter(|branch| !branch.is_empty()) {
                    collect_path(&segments, branch, found);
                }
                return others;
            }
            next if is_punct(next, '*') => segments.push("*".to_owned()),
            _ => break,
        }
        rest = others;
    }
    found.push(Named { segments, line: tokens[0].span().start().line });
    rest
}

fn is_punct(token: &TokenTree, expected: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == expected)
}

fn is_brace(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Whether `#[cfg(test)]` stands here.
fn is_test_only(tokens: &[TokenTree]) -> bool {
    let [hash, TokenTree::Group(attribute), ..] = tokens else { return false };
    is_punct(hash, '#') && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// What follows the item, field or statement that begins here.
fn behind_item(mut tokens: &[TokenTree]) -> &[TokenTree] {
    while let [hash, TokenTree::Group(_), rest @ ..] = tokens
        && is_punct(hash, '#')
    {
        tokens = rest;
    }
    // Generics of an item have commas; a field ends with one.
    let mut words = tokens.iter().filter(|token| !matches!(token, TokenTree::Group(_))).map(ToString::to_string);
    let is_item = words.find(|word| word != "pub").is_some_and(|word| ITEMS.contains(&word.as_str()));
    let is_end = |token: &TokenTree| is_punct(token, ';') || is_brace(token) || !is_item && is_punct(token, ',');
    tokens.iter().position(is_end).map_or(&[], |end| &tokens[end + 1..])
}

/// What an item begins with, perhaps behind `pub` or `pub(crate)`.
const ITEMS: [&str; 12] =
    ["async", "const", "enum", "fn", "impl", "let", "mod", "static", "struct", "trait", "type", "use"];

fn each_path(mut check: impl FnMut(&str, &str, &Named)) {
    let root = host_source();
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let inner = file.strip_prefix(&root).unwrap();
        let folder = inner.components().next().unwrap().as_os_str().to_str().unwrap();
        if !LAYERS.iter().any(|(name, _)| *name == folder) {
            assert!(["lib.rs", "main.rs"].contains(&folder), "{} is in no layer", inner.display());
            continue;
        }
        if inner.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests")) {
            continue;
        }
        let code: TokenStream = fs::read_to_string(&file).unwrap().parse().unwrap();
        let mut found = Vec::new();
        collect(code, &mut found);
        assert!(!found.is_empty(), "{} names nothing", inner.display());
        found.iter().for_each(|named| check(folder, &format!("{}:{}", inner.display(), named.line), named));
    }
}

#[test]
fn arrows_point_down() {
    let layer = |folder: &str| LAYERS.iter().find(|(name, _)| *name == folder).map(|(_, layer)| *layer);
    let mut wrong = Vec::new();
    each_path(|folder, place, named| {
        let [first, used, ..] = &named.segments[..] else { return };
        let (Some(to), "crate") = (layer(used), first.as_str()) else { return };
        let from = layer(folder).unwrap();
        if used != folder && to >= from {
            wrong.push(format!("{place}: `{folder}` (layer {from}) uses `{used}` (layer {to})"));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_confined_stays_where_it_belongs() {
    let mut wrong = Vec::new();
    each_path(|_, place, named| {
        for (name, allowed) in CONFINED {
            let is_allowed = allowed.iter().any(|folder| place.starts_with(&format!("{folder}/")));
            if named.holds(name) && !is_allowed {
                wrong.push(format!("{place}: `{name}` belongs in {allowed:?}"));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let code = r#"
        use std::{fs::{self, File as F}, thread};
        #[cfg(test)]
        use std::net::{IpAddr, TcpStream};
        #[cfg(test)]
        #[allow(dead_code)]
        pub(crate) fn only<A, B>(a: A) -> Vec<B> { tokio::spawn(a) }
        struct S { #[cfg(test)] seen: clap::Args, time: std::time::Instant }
        #[cfg(test)]
        mod tests;
        fn f() { assert!(matches!(crate::model::id::Slot(1), _), "wasmtime::{}", rdkafka::VERSION); }
    "#;
    let mut found = Vec::new();
    collect(code.parse().unwrap(), &mut found);
    let of = |name: &str| found.iter().filter(|named| named.holds(name)).map(|named| named.line).collect::<Vec<_>>();
    assert_eq!(
        [of("std::fs"), of("std::thread"), of("Instant"), of("rdkafka::")],
        [vec![2, 2], vec![2], vec![8], vec![11]]
    );
    let paths: Vec<String> = found.iter().map(|named| named.segments.join("::")).collect();
    for path in ["std::fs::self", "std::fs::File", "crate::model::id::Slot"] {
        assert!(paths.iter().any(|found| found == path), "{path}: {paths:?}");
    }
    assert!(["std::net", "tokio::", "clap::", "wasmtime::", "dead_code"].iter().all(|name| of(name).is_empty()));
}
