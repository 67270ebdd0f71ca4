//! The table of `src/transaction/rules.md` against the sources: it names what is there.

use std::fs;
use std::path::{Path, PathBuf};

const RULES: usize = 60;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// This file, or all sources below this directory.
fn sources(path: PathBuf) -> Vec<PathBuf> {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a directory of sources");
        return entries.flat_map(|entry| sources(entry.expect("an entry").path())).collect();
    }
    let is_source = path.extension().is_some_and(|extension| extension == "rs");
    // What is gone is not left out, so that it is missed.
    Vec::from_iter((is_source || !path.exists()).then_some(path))
}

/// Whether `text` has `name` as a word.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part))
}

/// Whether `text` has a test of this name: the attribute stands between it and the function before it.
fn has_test(text: &str, name: &str) -> bool {
    text.match_indices(&format!("fn {name}(")).any(|(at, _)| {
        let before = &text[text[..at].rfind("fn ").unwrap_or(0)..at];
        ["#[test]", "#[tokio::test"].iter().any(|attribute| before.contains(attribute))
    })
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What is wrong with a cell of places, for each of which `is_there` is asked with its file's text and its name.
fn misplaced(cell: &str, is_there: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let places = quoted(cell).into_iter().filter_map(|word| word.split_once('#'));
    let missing = places.filter(|(file, name)| {
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        !is_there(&text, name)
    });
    missing.map(|(file, name)| format!("{file} has no {name}")).collect()
}

/// Where a name stands though a cell says that it does not.
fn named(cell: &str) -> Vec<String> {
    let places = quoted(cell).into_iter().filter_map(|word| word.split_once('!'));
    let files = places.flat_map(|(place, name)| sources(root().join(place)).into_iter().map(move |path| (path, name)));
    let named = files.filter(|(path, name)| fs::read_to_string(path).map_or(true, |text| has_word(&text, name)));
    named.map(|(path, name)| format!("{} names {name}", path.display())).collect()
}

#[test]
fn each_rule_names_code_and_tests_that_are_there() {
    let table = fs::read_to_string(root().join("src/transaction/rules.md")).expect("the table");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| E"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let mut wrong = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let [rule, _, code, tests] = row[..] else { panic!("four columns: {row:?}") };
        assert_eq!(rule, format!("E{}", index + 1));
        let mut of_row = misplaced(code, has_word);
        of_row.extend(misplaced(tests, has_test));
        of_row.extend(named(code));
        if quoted(code).is_empty() || quoted(tests).is_empty() {
            of_row.push("no code or no test".to_owned());
        }
        wrong.extend(of_row.into_iter().map(|what| format!("{rule}: {what}")));
    }
    assert_eq!(rows.len(), RULES);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
