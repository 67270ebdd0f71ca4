//! Ids that nobody had before: `einmal id`, and ranges from the admin port.

mod support;

use std::collections::BTreeSet;

use support::{TestServer, server};

fn issued(server: &TestServer, count: &str) -> Vec<i64> {
    let admin = server.admin.to_string();
    let output = server::call(&["id", "--format", "int64", "-n", count, "--admin", &admin]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.parse().expect("a number")).collect()
}

#[test]
fn numbers_rise_and_none_comes_twice_over_sigkill() {
    let mut server = TestServer::start();
    let mut all = Vec::new();
    for _ in 0..3 {
        for count in ["1", "1000", "7"] {
            let ids = issued(&server, count);
            assert_eq!(ids.len(), count.parse::<usize>().expect("a number"));
            all.extend(ids);
        }
        server.kill9();
        server = server.restart();
    }
    assert!(all.is_sorted_by(|one, other| one < other), "ids do not rise");
    // Exact where JSON numbers are not, and positive.
    assert!(all[0] > 1 << 53, "{}", all[0]);
}

#[test]
fn ranges_are_bounded_and_asked_for_by_post() {
    let server = TestServer::start();
    for query in ["?count=0", "?count=1048577", "?count=-1", "?count=x", "?n=1"] {
        let (status, _) = server.admin_ask("POST", &format!("/api/v1/ids{query}"));
        assert_eq!(status, 400, "{query}");
    }
    let (status, how) = server.admin_ask("GET", "/api/v1/ids");
    assert!(status == 405 && how.contains("curl -X POST"), "{status} {how}");
    let (status, body) = server.admin_ask("POST", "/api/v1/ids?count=1048576");
    let ids: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let number = |name: &str| ids[name].as_str().expect("text").parse::<i64>().expect("a number");
    assert_eq!((status, number("last") - number("first")), (200, 1_048_575));
    assert!(issued(&server, "1")[0] > number("last"));
}

#[test]
fn pages_of_other_sites_are_given_none() {
    let server = TestServer::start();
    for origin in ["http://example.org", "null", "http://localhost.example.org:1"] {
        let headers = format!("Origin: {origin}\r\n");
        assert_eq!(server.admin_ask_with("POST", "/api/v1/ids", &headers).0, 403, "{origin}");
    }
    let own = format!("Origin: http://{}\r\n", server.admin);
    assert_eq!(server.admin_ask_with("POST", "/api/v1/ids", &own).0, 200);
}

#[test]
fn uuids_are_of_version_7_and_differ() {
    let output = server::call(&["id", "-n", "1000"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let ids: BTreeSet<&str> = text.lines().collect();
    assert_eq!(ids.len(), 1000);
    assert!(ids.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'7'), "{text}");
    assert!(text.lines().is_sorted(), "those of one call rise");
}
