//! Scripts made ready for browsers: a script and all that it imports in one file, without comments. It's fetched at once
//! instead of a level of imports at a time, and compresses to half of what its parts do.
//!
//! ```text
//! import { a, b as c } from "./x.js";       const $1 = (() => {
//! export const d = a;                   ─▶  const { a, b: c } = $0;
//!                                           const d = a;
//!                                           return { d };
//!                                           })();
//! ```
//!
//! It reads lines and no grammar, since the scripts are ours and plain. Invariant: an import or export stands on a line of its
//! own from its first column on; what is exported is `const`, `class` or `function`, or listed in braces; no imports in a
//! circle; no line of a template literal begins with a comment's first sign, and none depends on its indentation.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The script at `entry` with all that it imports, as one module with the same exports; `read` gives scripts by their paths.
/// `None` where one is missing.
pub(super) fn bundle(entry: &str, read: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut bundle =
        Bundle { read, entry_depth: entry.matches('/').count(), numbers: BTreeMap::new(), script: String::new() };
    let exports = bundle.add(entry)?;
    let number = bundle.numbers.get(entry)?;
    let mut script = bundle.script;
    if !exports.is_empty() {
        // A string takes all that is written to it.
        let _ = writeln!(script, "export const {{ {} }} = ${number};", exports.join(", "));
    }
    Some(script)
}

/// Where an import leads.
pub(super) fn resolve(importer: &str, import: &str) -> String {
    let mut parts: Vec<&str> = importer.split('/').collect();
    parts.pop();
    for part in import.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

struct Bundle<'a, Read> {
    read: &'a Read,
    /// In how many folders the entry is.
    entry_depth: usize,
    /// Modules that are in it, by path.
    numbers: BTreeMap<String, usize>,
    script: String,
}

impl<Read: Fn(&str) -> Option<String>> Bundle<'_, Read> {
    /// Adds a module behind those that it imports. Gives the names that it exports.
    fn add(&mut self, path: &str) -> Option<Vec<String>> {
        let source = (self.read)(path)?;
        let url = format!("new URL(\"{}{path}\", import.meta.url)", "../".repeat(self.entry_depth));
        let mut body = String::with_capacity(source.len());
        let mut exports = Vec::new();
        for line in without_comments(&source) {
            if let Some(import) = line.strip_prefix("import ") {
                let (names, from) = import.split_once("from ").unwrap_or(("", import));
                let imported = resolve(path, from.trim().trim_end_matches(';').trim_matches('"'));
                if !self.numbers.contains_key(&imported) {
                    self.add(&imported)?;
                }
                if !names.is_empty() {
                    let number = self.numbers.get(&imported)?;
                    let _ = writeln!(body, "const {} = ${number};", names.trim().replace(" as ", ": "));
                }
            } else if let Some(names) = line.strip_prefix("export {") {
                exports.extend(names.trim_end_matches([';', '}']).split(',').map(|name| name.trim().to_owned()));
            } else if let Some(declaration) = line.strip_prefix("export ") {
                exports.extend(declared(declaration));
                body.push_str(declaration);
                body.push('\n');
            } else {
                body.push_str(&line.replace("import.meta.url", &url));
                body.push('\n');
            }
        }
        let number = self.numbers.len();
        self.numbers.insert(path.to_owned(), number);
        let _ =
            writeln!(self.script, "const ${number} = (() => {{\n{body}return {{ {} }};\n}})();", exports.join(", "));
        Some(exports)
    }
}

/// What a declaration declares.
fn declared(declaration: &str) -> Option<String> {
    let is_keyword = |word: &&str| ["async", "class", "const", "function", "function*"].contains(word);
    let name = declaration.split([' ', '(', '{', ';']).find(|word| !is_keyword(word))?;
    Some(name.to_owned())
}

/// The lines of a script that are more than a comment, without indentation.
fn without_comments(script: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    script.lines().map(str::trim_start).filter(move |line| {
        let begins = !is_inside && line.starts_with("/*") && (line.ends_with("*/") || !line.contains("*/"));
        let is_comment = is_inside || begins;
        if is_comment {
            is_inside = !line.ends_with("*/");
        }
        !is_comment && !line.is_empty() && !line.starts_with("//")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<String> {
        let source = match path {
            "page.js" => {
                "// @ts-check\nimport \"./side.js\";\nimport { a, B as C } from \"./lib/a.js\";\n\texport class Page extends C {\n}\nexport async function go() {\n\treturn a;\n}\n"
            }
            "side.js" => "/** Works\n * alone. */\nimport { a } from \"./lib/a.js\";\na();\n",
            "lib/a.js" => {
                "import { Z } from \"../z.js\";\nexport const a = 1; // why\nexport function* B() {}\nexport { Z };\nlet url = new URL(\"./w.js\", import.meta.url);\n"
            }
            "z.js" => "/* one */\nexport const Z = Object.freeze({});\n",
            "lost.js" => "import \"./gone.js\";\n",
            _ => return None,
        };
        Some(source.replace("\texport", "export"))
    }

    #[test]
    fn a_script_comes_behind_what_it_imports_and_each_once() {
        let expected = r#"const $0 = (() => {
const Z = Object.freeze({});
return { Z };
})();
const $1 = (() => {
const { Z } = $0;
const a = 1; // why
function* B() {}
let url = new URL("./w.js", new URL("lib/a.js", import.meta.url));
return { a, B, Z };
})();
const $2 = (() => {
const { a } = $1;
a();
return {  };
})();
const $3 = (() => {
const { a, B: C } = $1;
class Page extends C {
}
async function go() {
return a;
}
return { Page, go };
})();
export const { Page, go } = $3;
"#;
        assert_eq!(bundle("page.js", &read).unwrap(), expected);
    }

    #[test]
    fn places_are_told_from_where_the_bundle_is() {
        let script = bundle("lib/a.js", &read).unwrap();
        assert!(script.contains(r#"new URL("../lib/a.js", import.meta.url)"#), "{script}");
    }

    #[test]
    fn without_one_of_its_parts_there_is_no_bundle() {
        assert_eq!(bundle("lost.js", &read), None);
        assert_eq!(bundle("gone.js", &read), None);
    }

    #[test]
    fn comments_are_left_out_and_code_beside_them_is_not() {
        let script = "/**\n * Docs */\n\tlet a = 1; // why\n\t/* x */ let b = 2 /* y\n z */ + 3;\n// end\n";
        let lines: Vec<_> = without_comments(script).collect();
        assert_eq!(lines, ["let a = 1; // why", "/* x */ let b = 2 /* y", "z */ + 3;"]);
    }
}
