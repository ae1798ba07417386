//! Which way imports point: every `use crate::` line of the product against the table in its crate documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Module → the modules that it may import.
type Table = BTreeMap<String, BTreeSet<String>>;

#[test]
fn every_import_points_down_the_layer_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let table = read_table(&fs::read_to_string(source.join("lib.rs")).unwrap());
    let mut wrong = Vec::new();
    for file in rust_files(&source).unwrap() {
        let Some(importer) = module_of(file.strip_prefix(&source).unwrap()) else { continue };
        let allowed = table.get(&importer).unwrap_or_else(|| panic!("{importer} is missing in the layer table"));
        for imported in imports(&fs::read_to_string(&file).unwrap()) {
            if imported != importer && !allowed.contains(&imported) {
                wrong.push(format!("{}: {importer} imports {imported}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the layer table in src/lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn imports_of_every_shape_are_seen() {
    let source =
        "use crate::a::B;\nuse crate::{b, c::{self, D}};\n  use crate::e;\nlet x = crate::f::g();\n//! [`crate::h`]";
    assert_eq!(imports(source), ["a", "b", "c", "e", "f"].map(String::from).into());
}

fn read_table(documentation: &str) -> Table {
    let mut table = Table::new();
    for row in documentation.lines().filter(|line| line.starts_with("//! | L")) {
        let cells: Vec<&str> = row.split('|').collect();
        let allowed: BTreeSet<String> = quoted(cells[3]).collect();
        table.extend(quoted(cells[2]).map(|module| (module, allowed.clone())));
    }
    let all: BTreeSet<String> = table.keys().cloned().collect();
    for row in documentation.lines().filter(|line| line.starts_with("//! | L") && line.contains("everything")) {
        table.extend(quoted(row).map(|module| (module, all.clone())));
    }
    assert!(table.len() > 8, "no layer table in src/lib.rs");
    table
}

fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn rust_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The top module that a file belongs to; none for the program itself, which is above all of them.
fn module_of(file: &Path) -> Option<String> {
    let first = Path::new(file.components().next()?.as_os_str());
    let module = first.file_stem()?.to_str()?;
    (!["lib", "main", "arguments"].contains(&module)).then(|| module.to_owned())
}

/// The top modules that are named behind `crate::`, in imports and in paths; comments don't count.
fn imports(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(top_of_group(group)),
            None => found.extend(first_word(rest)),
        }
    }
    found
}

/// The first words of a braced group's items, whatever is nested in them.
fn top_of_group(group: &str) -> BTreeSet<String> {
    let mut depth = 1;
    let mut found = BTreeSet::new();
    let mut item = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            found.extend(first_word(item.trim()));
            item.clear();
        } else {
            item.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}
