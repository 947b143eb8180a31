//! Who may import whom: reads the `use` lines and the crate paths of the sources, and fails on a forbidden edge.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MODULES: [&str; 23] = [
    "chart",
    "cli",
    "config",
    "control",
    "corpus",
    "data",
    "device",
    "export",
    "generate",
    "headless",
    "kernel",
    "model",
    "optim",
    "preview",
    "protocol",
    "run",
    "schedule",
    "state",
    "sweep",
    "tokenizer",
    "train",
    "ui",
    "worker",
];

/// Modules that a module may name, besides itself. A module that is absent here may name any.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        // `schedule` is arithmetic on plain data: a pending schedule is drawn without asking the training thread.
        (
            "ui",
            vec!["chart", "protocol", "config", "control", "run", "schedule"],
        ),
        ("chart", vec!["protocol", "run"]),
        ("headless", vec!["protocol", "config", "control", "run"]),
        ("protocol", vec!["config"]),
        ("control", vec!["protocol", "config", "run"]),
        ("config", vec![]),
        ("state", vec![]),
        ("sweep", vec!["config", "run"]),
        ("kernel", vec![]),
        ("schedule", vec!["config", "protocol"]),
        ("optim", vec!["config", "device", "kernel", "state"]),
        ("tokenizer", vec!["config"]),
        ("corpus", vec!["config"]),
        ("device", vec!["config"]),
        ("model", vec!["config", "device", "kernel", "state"]),
        ("data", vec!["config", "corpus", "tokenizer"]),
        (
            "export",
            vec!["config", "model", "protocol", "run", "state", "tokenizer"],
        ),
        (
            "generate",
            vec!["config", "device", "kernel", "model", "state"],
        ),
        (
            "train",
            vec![
                "config",
                "corpus",
                "data",
                "device",
                "generate",
                "kernel",
                "model",
                "optim",
                "protocol",
                "schedule",
                "state",
                "tokenizer",
            ],
        ),
        ("run", vec!["config", "model", "protocol", "state", "train"]),
    ])
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("entry is readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// A file without its tests and its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("source is UTF-8");
    without_tests(&text)
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Leaves out every `#[cfg(test)] mod` at the left margin: the line that declares it, or all up to its closing brace.
fn without_tests(text: &str) -> String {
    let mut parts = text.split("#[cfg(test)]\n");
    let mut kept = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let declaration = part.lines().next().unwrap_or_default();
        let end = match (declaration.split_once("mod "), declaration.ends_with('{')) {
            (Some(_), true) => "\n}\n",
            (Some(_), false) => "\n",
            (None, _) => "",
        };
        kept.push_str(part.split_once(end).map_or("", |(_, rest)| rest));
    }
    kept
}

fn is_test_file(path: &Path) -> bool {
    path.with_extension("").components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part == "tests" || part.ends_with("_tests")
    })
}

/// The first path segment of every `crate::…` in the code.
fn named_modules(code: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(rest.chars().take_while(|c| is_word(*c)).collect());
            continue;
        };
        // `crate::{a::B, c::{d, e}, f}` names a, c and f: the words that open an item at depth 0.
        let mut depth = 0;
        let mut item = String::new();
        let mut open = true;
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(std::mem::take(&mut item));
                    open = true;
                }
                ':' if depth == 0 => open = false,
                c if depth == 0 && open && is_word(c) => item.push(c),
                _ => {}
            }
        }
        found.insert(item);
    }
    found
}

fn module_of(path: &Path, root: &Path) -> String {
    let relative = path.strip_prefix(root).expect("path lies in src");
    let first = relative.components().next().expect("path has a component");
    Path::new(first.as_os_str())
        .with_extension("")
        .to_string_lossy()
        .into_owned()
}

fn for_each_source(mut check: impl FnMut(&str, &Path, &str)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "the sources were not found");
    for path in files.iter().filter(|p| !is_test_file(p)) {
        check(&module_of(path, &root), path, &code(path));
    }
}

#[test]
fn modules_import_only_what_the_house_allows() {
    let allowed = allowed();
    let mut broken = Vec::new();
    for_each_source(|module, path, code| {
        let Some(allowed) = allowed.get(module) else {
            return;
        };
        for named in named_modules(code) {
            let named = named.as_str();
            if MODULES.contains(&named) && named != module && !allowed.contains(&named) {
                broken.push(format!("{}: {module} → {named}", path.display()));
            }
        }
    });
    assert!(
        broken.is_empty(),
        "forbidden imports:\n{}",
        broken.join("\n")
    );
}

#[test]
fn front_ends_never_name_burn_and_only_the_ui_names_the_terminal() {
    let mut broken = Vec::new();
    for_each_source(|module, path, code| {
        let names = |krate: &str| code.contains(&format!("{krate}::"));
        if matches!(
            module,
            "chart" | "ui" | "headless" | "protocol" | "config" | "control" | "run"
        ) && names("burn")
        {
            broken.push(format!("{}: names burn", path.display()));
        }
        if module != "ui" && (names("ratatui") || names("crossterm")) {
            broken.push(format!("{}: names the terminal crates", path.display()));
        }
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_checker_sees_what_it_should() {
    let code = "use crate::{config::RunConfig, train::{self, Trainer}, state};\nlet x = crate::model::new();";
    let found = named_modules(code);
    let expected = ["config", "model", "state", "train"].map(str::to_string);
    assert_eq!(found, BTreeSet::from(expected));
    let text = "use a;\n#[cfg(test)]\nmod tests;\nuse b;\n#[cfg(test)]\nmod more {\n    use c;\n}\nuse d;\n#[cfg(test)]\nmod last {\n}";
    assert_eq!(without_tests(text), "use a;\nuse b;\nuse d;\n");
}
