//! The generated parts of README.md and of docs/ are what the binary says, and their links lead somewhere. `make docs` renews them
//! (`UPDATE_README=1`).

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use einmal::metrics::{FAMILIES, Family, compat};
use einmal::types::ErrorCode;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use support::{TestClient, TestServer};

/// The tables of settings, as the binary prints them.
fn settings() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_einmal")).args(["config", "docs"]).output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    // Under the title of their page.
    String::from_utf8(output.stdout).expect("the table is text").replace("### ", "## ")
}

/// APIs and versions, as the broker advertises them.
fn apis() -> String {
    let server = TestServer::start();
    let mut advertised = TestClient::connect(&server).call(&ApiVersionsRequest::default(), 0).api_keys;
    advertised.sort_by_key(|api| api.api_key);
    let mut table = "| key | API | versions |\n|--:|---|---|\n".to_owned();
    for api in advertised {
        let name = ApiKey::try_from(api.api_key).expect("an API of Kafka");
        writeln!(table, "| {} | {name:?} | {}-{} |", api.api_key, api.min_version, api.max_version).expect("a string");
    }
    table
}

/// The catalogue of metrics.
fn metrics() -> String {
    let mut page = String::new();
    let mut table = |title: &str, families: &mut dyn Iterator<Item = &Family>| {
        write!(page, "## {title}\n\n| Name | Type | Labels | What it tells |\n|---|---|---|---|\n").expect("a string");
        for Family { name, kind, labels, values, help, .. } in families {
            let kind = format!("{kind:?}").to_lowercase();
            let known = |index: usize| values.get(index).filter(|values| !values.is_empty());
            let label = |(index, label): (usize, &&str)| {
                known(index).map_or_else(|| (*label).to_owned(), |values| format!("{label}: {}", values.join(" ")))
            };
            let labels = labels.iter().enumerate().map(label).collect::<Vec<_>>().join(", ");
            writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").expect("a string");
        }
        page.push('\n');
    };
    table("Of einmal", &mut FAMILIES.iter());
    table("Under the names of others (`einmal.metrics.compat`)", &mut compat::FAMILIES.iter().copied());
    page
}

/// What the boards ask for and the rules look at, as one text.
fn watched() -> String {
    let boards = std::fs::read_dir(root().join("grafana/dashboards")).expect("there are boards");
    let boards = boards.map(|board| std::fs::read_to_string(board.expect("a file").path()).expect("a board is text"));
    let asks = |line: &&str| line.trim_start().starts_with("\"expr\":");
    let asked = boards.flat_map(|board| board.lines().filter(asks).map(str::to_owned).collect::<Vec<_>>());
    // What a rule tells people is no expression.
    let rules = read("grafana/alerts.yml");
    let tells = |line: &&str| ["summary:", "description:", "runbook_url:"].iter().any(|word| line.contains(word));
    asked.chain(rules.lines().filter(|line| !tells(line)).map(str::to_owned)).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_family_is_on_a_board_or_in_a_rule_or_there_is_a_reason() {
    let watched = watched();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = watched.split(|c| !is_word(c)).collect();
    let is_watched = |name: &str| {
        let series = ["", "_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}"));
        series.iter().any(|series| words.contains(&**series))
    };
    let unwatched: Vec<_> = FAMILIES.iter().map(|family| family.name).filter(|name| !is_watched(name)).collect();
    let with_reason: Vec<_> = rows("grafana/README.md", "| Family | Why |")
        .into_iter()
        .map(|row| {
            let [family, why] = &row[..] else { panic!("{row:?} is no family with a reason") };
            assert!(!why.is_empty(), "{family}");
            family.trim_matches('`').to_owned()
        })
        .collect();
    assert_eq!(
        unwatched, with_reason,
        "left: neither on a board nor in a rule; right: has a reason in grafana/README.md"
    );
}

/// No sound broker answers those that a rule looks for, so that the load on the boards would not show a misspelt one.
#[test]
fn rules_name_errors_as_the_broker_does() {
    let watched = watched();
    let named: Vec<&str> = watched
        .split("error=~\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .flat_map(|names| names.split('|'))
        .collect();
    assert!(!named.is_empty(), "no rule looks for errors");
    let known: BTreeSet<&str> = (i16::MIN..=i16::MAX).map(|code| ErrorCode(code).name()).collect();
    let unknown: Vec<_> = named.into_iter().filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Which clients were tried, and how many tests of their own suites pass: from the pages beside the tests.
fn clients() -> String {
    let mut table = "| client | version | our scenarios |\n|---|---|---|\n".to_owned();
    for row in rows("compat-tests/README.md", "| folder | client |") {
        let [folder, client, version, ..] = &row[..] else { panic!("a row of compat-tests/README.md: {row:?}") };
        let folder = folder.trim_start_matches('[').split(']').next().expect("a link");
        let not_yet = read(&format!("compat-tests/{folder}/not-yet"));
        let failing = not_yet.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).count();
        let outcome = if failing == 0 { "all pass".to_owned() } else { format!("{failing} do not pass yet") };
        writeln!(table, "| [{client}](compat-tests/{folder}) | {version} | {outcome} |").expect("a string");
    }
    table += "\n| test suite of a client | tests that Kafka passes | of these pass here |\n|---|--:|--:|\n";
    for row in rows("compat-tests/SUITES.md", "| suite |") {
        let [suite, kafka, here, ..] = &row[..] else { panic!("a row of SUITES.md: {row:?}") };
        writeln!(table, "| {suite} | {kafka} | {here} |").expect("a string");
    }
    table
        + "\nWhat the others need is told in [SUITES.md](compat-tests/SUITES.md), test by test; which versions of which APIs clients may \
           use, in [docs/apis.md](docs/apis.md)."
}

/// Cells of the rows below the head that begins so.
fn rows(page: &str, head: &str) -> Vec<Vec<String>> {
    let text = read(page);
    let lines =
        text.lines().skip_while(|line| !line.starts_with(head)).skip(2).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<_> = lines.map(cells).collect();
    assert!(!rows.is_empty(), "{page} has no table {head}");
    rows
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `text` with the part between the marker comments of `name` replaced.
fn with_part(text: &str, name: &str, part: &str) -> String {
    let (begins, ends) = (format!("<!-- {name}: generated -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = text.split_once(&begins).expect("the page has the marker");
    let (_, after) = rest.split_once(&ends).expect("the page has the end marker");
    format!("{before}{begins}\n\n{}\n\n{ends}{after}", part.trim())
}

#[test]
fn generated_parts_are_current() {
    for (path, name, part) in [
        ("README.md", "clients", clients()),
        ("docs/settings.md", "settings", settings()),
        ("docs/apis.md", "apis", apis()),
        ("docs/metrics.md", "metrics", metrics()),
    ] {
        let text = read(path);
        let current = with_part(&text, name, &part);
        if std::env::var_os("UPDATE_README").is_some() {
            std::fs::write(root().join(path), current).expect("ours to write");
        } else {
            assert!(text == current, "{path} is not current: run `make docs`");
        }
    }
}

/// Lines outside of fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// What GitHub makes of the headings of a page, for links to them.
fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| {
        let title = line.trim_start_matches('#').strip_prefix(' ')?;
        let kept = |c: char| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || "-_".contains(c) => Some(c.to_ascii_lowercase()),
            _ => None,
        };
        line.starts_with('#').then(|| title.trim().chars().filter_map(kept).collect())
    };
    prose(text).filter_map(heading).collect()
}

/// Targets of the links of a page, inline code left out.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let outside_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        found.extend(outside_code.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
    }
    found
}

/// Pages of the repository that people read, as git knows them.
fn pages() -> Vec<PathBuf> {
    let listed =
        Command::new("git").args(["ls-files", "-co", "--exclude-standard", "*.md"]).current_dir(root()).output();
    let listed = String::from_utf8(listed.expect("git runs").stdout).expect("names of UTF-8");
    listed.lines().map(|page| root().join(page)).filter(|page| page.exists()).collect()
}

#[test]
fn links_within_the_repository_lead_somewhere() {
    let mut dead = Vec::new();
    let pages = pages();
    assert!(pages.iter().any(|page| page.ends_with("README.md")), "{pages:?}");
    for page in &pages {
        let text = std::fs::read_to_string(page).expect("a page");
        for link in links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (path, anchor) = link.split_once('#').map_or((&*link, None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name("").join(path) };
            let leads = match anchor {
                None => target.exists(),
                Some(anchor) => std::fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor)),
            };
            if !leads {
                dead.push(format!("{}: {link}", page.strip_prefix(root()).unwrap_or(page).display()));
            }
        }
    }
    // For those who look at what was followed (`--nocapture`).
    println!("\nlinks of {} pages followed", pages.len());
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn the_readme_is_short_enough_for_a_newcomer() {
    const LINES_MAX: usize = 420;
    let lines = read("README.md").lines().count();
    assert!(lines <= LINES_MAX, "README.md has {lines} lines: what is for looking up belongs into docs/");
}
