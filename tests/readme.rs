//! The generated tables of README.md are what the binary says. `make docs` renews them (`UPDATE_README=1`).

mod support;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use support::{TestClient, TestServer};

/// The table of settings, as the binary prints it.
fn settings() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_einmal")).args(["config", "docs"]).output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("the table is text")
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

/// `readme` with the part between the marker comments of `name` replaced.
fn with_part(readme: &str, name: &str, part: &str) -> String {
    let (begins, ends) = (format!("<!-- {name}: generated -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = readme.split_once(&begins).expect("README.md has the marker");
    let (_, after) = rest.split_once(&ends).expect("README.md has the end marker");
    format!("{before}{begins}\n\n{}\n\n{ends}{after}", part.trim())
}

#[test]
fn generated_tables_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).expect("there is a README.md");
    let current = with_part(&with_part(&readme, "settings", &settings()), "apis", &apis());
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, current).expect("ours to write");
    } else {
        assert!(readme == current, "README.md is not current: run `make docs`");
    }
}
