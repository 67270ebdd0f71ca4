//! The direction of dependencies, read from the sources: upwards only, and nothing impure below.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the bottom up. A module uses itself and what stands in a lower row, nothing beside or above it.
const LAYERS: &[&[&str]] = &[
    &["types", "metrics", "spelling"],
    &["config", "wire", "record", "client"],
    &["producer", "transaction", "group", "dedup"],
    &["store"],
    &["log"],
    &["engine"],
    &["coordinator"],
    &["api"],
    &["server", "telemetry"],
    &["app", "bench", "cli"],
    &["verify"],
];

/// Parts without clock, I/O, randomness or runtime: bytes and values in, values out. So is every file whose module documentation says
/// "Pure.", and what lies in the folder of a `mod.rs` that says so.
const PURE: &[&str] = &[
    "types",
    "spelling",
    "wire",
    "record",
    "producer",
    "transaction",
    "group",
    "dedup",
    "config/loggers",
    "config/table",
    "bench/group_member",
];

/// What clients' modules may use: they are for any broker, and share with ours the format of records at most.
const CLIENT_SIDE: &[(&str, &[&str])] = &[
    ("client", &["client", "types"]),
    ("bench", &["bench", "client", "record", "types"]),
    ("cli", &["cli", "client", "record", "spelling", "types"]),
];

const IMPURE: &[&str] = &[
    "tokio",
    "rocksdb",
    "metrics::",
    "tracing",
    "rand::",
    "getrandom",
    "SystemTime",
    "time::Instant",
    "Instant::now",
    "std::fs",
    "std::thread",
    "std::net::Tcp",
    "std::io::stdin",
];

/// Every source file but tests, as (path below `src`, code without comments and test modules).
fn sources() -> Vec<(String, String)> {
    texts().into_iter().map(|(name, text)| (name, code(&text))).collect()
}

/// The same with all of their texts.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src can be listed") {
            let path: PathBuf = entry.expect("src can be listed").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
            if name.ends_with(".rs") && !name.ends_with("tests.rs") && !name.contains("tests/") {
                found.push((name, fs::read_to_string(&path).expect("sources are text")));
            }
        }
    }
    assert!(found.len() > 15, "the sources moved: {} files found", found.len());
    found
}

/// `text` without line comments and without modules of tests, whether they stand in it or are named only.
fn code(text: &str) -> String {
    let mut body = String::new();
    let mut rest = text;
    while let Some((before, module)) = rest.split_once("#[cfg(test)]\nmod ") {
        body.push_str(before);
        // The end of the item, as rustfmt leaves it.
        let end = if module.find(';') < module.find('{') { ";\n" } else { "\n}\n" };
        rest = module.split_once(end).map_or("", |(_, rest)| rest);
    }
    body.push_str(rest);
    body.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// First path segment after each `crate::`, also out of `crate::{a::B, c}`.
fn used_modules(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, marker) in code.match_indices("crate::") {
        let rest = &code[at + marker.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.push(segment(rest));
            continue;
        };
        let mut depth = 0;
        let mut item_begins = true;
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => item_begins = true,
                c if item_begins && !c.is_whitespace() => {
                    used.push(segment(&group[index..]));
                    item_begins = false;
                }
                _ => {}
            }
        }
    }
    used
}

fn segment(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What `code` of `module` uses against the direction.
fn against_the_direction(module: &str, code: &str) -> Vec<String> {
    let Some(own) = layer(module) else { return vec![format!("{module} has no layer")] };
    let mut wrong = used_modules(code);
    wrong.retain(|used| used != module && layer(used).is_some_and(|used| used >= own));
    wrong
}

fn impurities(code: &str) -> Vec<&'static str> {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let is_there = |word: &&&str| code.match_indices(**word).any(|(at, _)| begins(at));
    IMPURE.iter().filter(is_there).copied().collect()
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        let module = file.split(['/', '.']).next().unwrap_or_default();
        if module == "lib" || module == "main" {
            continue;
        }
        let mut used = against_the_direction(module, &code);
        if let Some((_, allowed)) = CLIENT_SIDE.iter().find(|(of, _)| *of == module) {
            used.extend(used_modules(&code).into_iter().filter(|used| !allowed.contains(&used.as_str())));
        }
        wrong.extend(used.into_iter().map(|used| format!("src/{file} uses {used}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether the module documentation in `text` says that the module is pure.
fn says_pure(text: &str) -> bool {
    let mut docs = text.lines().take_while(|line| line.starts_with("//!"));
    docs.any(|line| line.split(' ').any(|word| word == "Pure." || word == "Pure:"))
}

/// Whether `file` is `module`, or lies in its folder.
fn is_of(file: &str, module: &str) -> bool {
    file.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

#[test]
fn pure_modules_know_no_clock_no_disk_no_runtime() {
    let texts = texts();
    let said = texts.iter().filter(|(_, text)| says_pure(text));
    let said = said.map(|(file, _)| file.trim_end_matches(".rs").trim_end_matches("/mod"));
    let pure: Vec<&str> = PURE.iter().copied().chain(said).collect();
    let mut wrong = Vec::new();
    for (file, text) in texts.iter().filter(|(file, _)| pure.iter().any(|pure| is_of(file, pure))) {
        wrong.extend(impurities(&code(text)).into_iter().map(|word| format!("src/{file} has {word}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn modules_that_are_named_here_are_there() {
    let texts = texts();
    let named = LAYERS.iter().copied().flatten().chain(PURE).chain(CLIENT_SIDE.iter().map(|(module, _)| module));
    let missing: Vec<_> = named.filter(|module| !texts.iter().any(|(file, _)| is_of(file, module))).collect();
    assert!(missing.is_empty(), "no modules: {missing:?}");
}

/// Lines of `code` that make the text of a refusal without `api::told`, which sees to its length.
fn uncut_texts(code: &str) -> Vec<&str> {
    let is_uncut = |line: &&str| line.contains("essage") && line.contains("StrBytes::from_string");
    code.lines().filter(is_uncut).collect()
}

#[test]
fn texts_of_refusals_are_cut_in_one_place() {
    let uncut = sources().into_iter().filter(|(file, _)| file.starts_with("api/"));
    let uncut = uncut.flat_map(|(file, code)| {
        let lines = uncut_texts(&code).into_iter().map(|line| format!("{file}: {line}"));
        lines.collect::<Vec<_>>()
    });
    assert_eq!(uncut.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn main_uses_the_library_only_through_its_public_door() {
    let (_, main) = sources().into_iter().find(|(file, _)| file == "main.rs").expect("there is a main");
    assert!(!main.contains("mod "), "main declares modules of its own");
}

#[test]
fn planted_violations_are_found() {
    let around = "#[cfg(test)]\nmod richest;\nuse crate::api;\n#[cfg(test)]\nmod tests {\n    use crate::app;\n}\nuse crate::server;\n";
    assert_eq!(used_modules(&code(around)), ["api", "server"]);
    let code =
        code("use crate::{config::Config, engine::{Engine, command}, log};\n// crate::app\nfn f() -> crate::api::X {}");
    assert_eq!(used_modules(&code), ["config", "engine", "log", "api"]);
    assert_eq!(against_the_direction("store", &code), ["engine", "log", "api"]);
    assert_eq!(against_the_direction("server", &code), Vec::<String>::new());
    assert_eq!(
        uncut_texts("answer.with_error_message(message.map(StrBytes::from_string))\nwith_name(told(x))").len(),
        1
    );
    assert_eq!(impurities("use std::time::{Duration, SystemTime};\ntokio::spawn(x)"), ["tokio", "SystemTime"]);
    assert_eq!(impurities("use std::time::Duration; client_metrics::f()"), Vec::<&str>::new());
    assert!(says_pure("//! What it is. Pure.\n\nuse a;") && says_pure("//! What it is.\n//! Pure: no clock.\n"));
    assert!(!says_pure("//! What it is.\n\n/// Pure.\nfn f() {}") && !says_pure("//! Purely said."));
    assert!(is_of("a/b.rs", "a/b") && is_of("a/b/c.rs", "a/b") && !is_of("a/bc.rs", "a/b"));
}

#[test]
fn every_metric_of_the_catalogue_is_written_somewhere() {
    let sources = sources();
    let (_, catalogue) = sources.iter().find(|(file, _)| file == "metrics.rs").expect("there is a catalogue");
    let constants: Vec<&str> =
        catalogue.lines().filter_map(|line| Some(line.trim_start().split_once(" = \"")?.0)).collect();
    assert!(constants.len() > 50, "the catalogue looks different: {constants:?}");
    let is_used = |name: &str| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        sources.iter().any(|(file, code)| file != "metrics.rs" && code.split(|c| !is_word(c)).any(|word| word == name))
    };
    let unwritten: Vec<_> = constants.into_iter().filter(|name| !is_used(name)).collect();
    assert!(unwritten.is_empty(), "nothing writes {unwritten:?}");
}
