//! What those who run the built binary meet: signals, the page on the admin port and its JSON, settings as they are in force.

mod support;

use std::io::Write as _;

use serde_json::Value;
use support::groups::commit;
use support::requests::{Producer, batch, create_topic, produce};
use support::transactions::{Protocol, TransactionalProducer};
use support::{TestClient, TestServer, server};

fn json(server: &TestServer, path: &str) -> Value {
    let (status, body) = server.admin_get(path);
    assert_eq!(status, 200, "{path}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn hangup_takes_the_log_level_over_and_ends_nothing() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "einmal.log.level=error").expect("it is written");
    let path = file.path().display().to_string();
    let mut server = TestServer::start_with_arguments(&["--config", &path], &[]);
    server.signal("HUP");
    // At this level nothing is said of it, so the next one is waited for.
    std::fs::write(file.path(), "einmal.log.level=info\n").expect("it is written");
    server.signal("HUP");
    server.log_with(&["settings read again"]);
    std::fs::write(file.path(), "einmal.log.level=loud\n").expect("it is written");
    server.signal("HUP");
    assert!(server.log_with(&["settings cannot be read again"]).contains("loud is no level"));
    assert!(server.is_alive());
    assert!(server.terminate().success());
    assert!(server.log_with(&["stopped"]).contains("stopped"), "info is still in force");
}

#[test]
fn a_pipe_in_the_place_of_the_settings_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("server.properties");
    std::fs::write(&path, "einmal.log.level=info\n").expect("it is written");
    let mut server = TestServer::start_with_arguments(&["--config", &path.display().to_string()], &[]);
    std::fs::remove_file(&path).expect("it is there");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    server.signal("HUP");
    assert!(server.log_with(&["settings cannot be read again"]).contains("is no regular file"));
    std::fs::remove_file(&path).expect("it is there");
    std::fs::write(&path, "einmal.log.level=info\n").expect("it is written");
    server.signal("HUP");
    assert!(server.log_with(&["settings read again"]).contains("settings read again"));
    assert!(server.terminate().success());
}

#[test]
fn warnings_that_repeat_are_written_a_few_times_and_counted() {
    const STRAYS: usize = 40;
    const WRONG: &str = "an HTTP client is on the Kafka port";
    let mut server = TestServer::start();
    for _ in 0..STRAYS {
        let mut stray = std::net::TcpStream::connect(server.address).expect("it listens");
        stray.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it is taken");
        // Closed once it was looked at.
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stray, &mut answer);
    }
    assert!(server.terminate().success());
    let log = server.log_with(&["a warning that repeats was left out"]);
    let of = |line: &&str| line.contains("was left out") && line.contains(WRONG);
    let left_out: usize = log
        .lines()
        .filter(of)
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["lines"].as_u64().expect("a count") as usize)
        .sum();
    let written = log.lines().filter(|line| line.contains(WRONG) && !line.contains("was left out")).count();
    assert_eq!(written + left_out, STRAYS, "{log}");
    assert!(written < STRAYS, "{log}");
}

#[test]
fn a_broker_takes_no_huge_pages_of_which_it_would_use_a_part() {
    assert!(!TestServer::start().takes_huge_pages());
}

#[test]
fn in_kafkas_stead_the_phrases_that_test_modules_wait_for_are_printed() {
    let settings = ["no.such.setting=1", "node.id=7"];
    let server = TestServer::start_with_arguments(&["--from-kafka-env"], &settings);
    let words = ["Transitioning from RECOVERY to RUNNING", "Kafka Server started", "[KafkaServer id=7] started"];
    for word in words {
        assert!(server.announced.iter().any(|line| line == word), "{word} is not in {:?}", server.announced);
    }
    let plain = TestServer::start();
    assert!(!plain.announced.iter().any(|line| words.contains(&line.as_str())));
}

#[test]
fn the_page_and_its_json_tell_what_holds_readers_back_and_what_was_dropped() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    let producer = Producer::init(&mut client);
    for _ in 0..2 {
        produce(&mut client, "t", 0, batch(producer, 0, &["a", "b"]));
    }
    commit(&mut client, 7, "", -1, 1);
    let mut transactional = TransactionalProducer::init_with(&mut client, Protocol::V2, "<shop>", 45_000);
    transactional.send(&mut client, "t", 0, &["c"]);

    let overview = json(&server, "/api/v1/overview");
    assert_eq!((&overview["ready"], &overview["topics"]), (&Value::from(true), &Value::from(1)));
    assert_eq!(overview["duplicate_records"], 2);
    let groups = json(&server, "/api/v1/groups");
    assert_eq!((&groups["groups"][0]["group_id"], &groups["groups"][0]["lag_records"]), (&"g".into(), &2.into()));
    assert_eq!(groups["groups"][0]["lag_committed_records"], 1);
    let transactions = json(&server, "/api/v1/transactions");
    let (open, held) = (&transactions["open"][0], &transactions["held_back"][0]);
    assert_eq!((&open["transactional_id"], &open["partitions"][0]), (&"<shop>".into(), &"t-0".into()));
    assert_eq!((&open["state"], &open["timeout_seconds"]), (&"Ongoing".into(), &45.0.into()));
    assert_eq!(
        (&held["topic"], &held["records"], &held["transactional_ids"][0]),
        (&"t".into(), &1.into(), &"<shop>".into())
    );
    let topic = &json(&server, "/api/v1/topics")["topics"][0];
    assert_eq!((&topic["duplicate_records"], &topic["known_messages"]), (&2.into(), &0.into()));
    assert_eq!(overview["known_messages"], 0);

    let (head, body) = server.admin_answer("/");
    assert!(body.contains("It is fine.") && body.contains("&lt;shop&gt;") && !body.contains("<shop>"), "{body}");
    assert!(head.to_lowercase().contains("content-security-policy: default-src 'none'"), "{head}");
    assert_eq!(server.admin_get("/style.css").0, 200);

    transactional.end(&mut client, true);
    let transactions = json(&server, "/api/v1/transactions");
    assert_eq!(transactions.to_string(), r#"{"held_back":[],"held_back_left_out":0,"open":[],"open_left_out":0}"#);
}

#[test]
fn what_browsers_could_misuse_is_told_by_names_of_ours_only_and_metrics_by_any() {
    let server = TestServer::start_with(&[
        "advertised.listeners=PLAINTEXT://broker.example:9092",
        "einmal.admin.hosts=tools.example,Other.Example",
    ]);
    let guarded = [("GET", "/"), ("GET", "/api/v1/overview"), ("GET", "/api/v1/dedup"), ("POST", "/api/v1/ids")];
    for host in ["evil.example", "einmal:9644"] {
        for (method, path) in guarded {
            let (status, said) = server.admin_ask_by(host, method, path);
            assert_eq!(status, 421, "{path} by {host}");
            assert!(said.contains("einmal.admin.hosts"), "{said}");
        }
        for path in ["/metrics", "/livez", "/readyz"] {
            assert_eq!(server.admin_ask_by(host, "GET", path).0, 200, "{path} by {host}");
        }
    }
    for host in ["localhost:9644", "[::1]:9644", "10.0.0.1", "broker.example:9644", "tools.example", "other.example:80"]
    {
        for (method, path) in guarded {
            assert_eq!(server.admin_ask_by(host, method, path).0, 200, "{path} by {host}");
        }
    }
}

#[test]
fn a_long_name_that_is_asked_for_is_not_told_whole() {
    let server = TestServer::start();
    let long = "x".repeat(30_000);
    for (query, status) in [(format!("topic={long}"), 404), (format!("{long}=1"), 400)] {
        let (answered, said) = server.admin_get(&format!("/api/v1/dedup?{query}"));
        assert_eq!(answered, status);
        assert!(said.contains("xxx…") && said.len() < 400, "{said}");
    }
}

#[test]
fn settings_are_shown_with_their_origin_and_checked_without_a_start() {
    let variables = [("KAFKA_NUM_PARTITIONS", "3"), ("EINMAL_LOG_LEVEL", "warn")];
    let shown = server::output(&["config", "show", "--origin", "--set", "num.partitions=6"], &variables);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success() && text.contains("# command line\nnum.partitions=6\n"), "{text}");
    assert!(text.contains("# EINMAL_* variable\neinmal.log.level=warn\n"), "{text}");
    for (arguments, profile) in
        [(&["config", "show", "--origin", "--dev"][..], "prod"), (&["config", "show", "--origin"], "dev")]
    {
        let shown =
            server::output(arguments, &[("EINMAL_PROFILE", profile), ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")]);
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(text.contains("# profile dev\nlog.flush.interval.messages=9223372036854775807\n"), "{text}");
        assert!(text.contains("# KAFKA_* variable\nauto.create.topics.enable=false\n"), "{text}");
    }
    let nothing = server::output(&["config", "show", "--origin"], &[]);
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(nothing.status.success() && nothing.stdout.is_empty() && said.contains("--all"), "{nothing:?}");
    assert!(server::output(&["config", "check"], &variables).status.success());
    let refused = server::output(&["config", "check", "--set", "num.partition=6"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("num.partitions"), "the nearest name is told");
}

#[test]
fn what_is_printed_for_nobody_is_no_error_and_what_finds_no_room_is_one() {
    for arguments in [
        &["version"][..],
        &["completion", "bash"],
        &["config", "docs"],
        &["config", "show", "--all"],
        &["id", "-n", "10000"],
        &["doctor", "--bootstrap-server", "127.0.0.1:1"],
    ] {
        let (reader, closed) = std::io::pipe().expect("a pipe");
        drop(reader);
        let fails = arguments[0] == "doctor";
        let output = server::call_into(closed, arguments);
        assert_eq!(output.status.code(), Some(i32::from(fails)), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");

        let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
        let output = server::call_into(full, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.starts_with("einmal: cannot write the result: "), "{arguments:?}: {told}");
    }
}

#[test]
fn a_start_creates_the_topics_that_it_is_told_to_and_leaves_those_that_are_there() {
    let told = ["einmal.create.topics=orders:3,balances::cleanup.policy=compact,delete", "num.partitions=2"];
    let mut server = TestServer::start_with(&told);
    let partitions = |server: &TestServer, topic: &str| {
        let topics = json(server, "/api/v1/topics");
        let topics = topics["topics"].as_array().expect("an array");
        topics.iter().find(|found| found["topic"] == topic).map(|found| found["partitions"].clone())
    };
    assert_eq!(partitions(&server, "orders"), Some(3.into()));
    assert_eq!(partitions(&server, "balances"), Some(2.into()));
    server.kill9();
    let server = server.restart();
    assert_eq!(partitions(&server, "orders"), Some(3.into()));
}

#[test]
fn a_stop_leaves_nothing_of_an_ephemeral_broker() {
    let mut server = TestServer::start_ephemeral();
    let temporary = server.data_dir().to_owned();
    let left = || std::fs::read_dir(&temporary).expect("it is a directory").count();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    assert_eq!(produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["a"])).error_code, 0);
    assert_eq!(left(), 1);
    let log = server.log_with(&["the data directory is temporary", "page cache"]);
    assert!(log.contains(temporary.to_str().expect("a path of UTF-8")), "{log}");
    assert!(server.terminate().success());
    assert_eq!(left(), 0);

    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("it is bound").to_string();
    let variables = [("TMPDIR", temporary.to_str().expect("a path of UTF-8"))];
    let refused = server::output(&["start", "--ephemeral", "--listen", &taken], &variables);
    assert_eq!((refused.status.code(), left()), (Some(5), 0), "{refused:?}");
    let both = server::output(&["config", "check", "--ephemeral", "--set", "log.dirs=x"], &variables);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}

#[test]
fn groups_and_topics_are_had_by_name() {
    let server = TestServer::start_with(&["einmal.create.topics=a:1;b:1;c:1"]);
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    commit(&mut client, 7, "", -1, 0);
    for (path, list, name, expected) in [
        ("/api/v1/topics?topic=b", "topics", "topic", &["b"][..]),
        ("/api/v1/topics?after=", "topics", "topic", &["a", "b", "c", "t"]),
        ("/api/v1/topics?after=a", "topics", "topic", &["b", "c", "t"]),
        ("/api/v1/topics?topic=none", "topics", "topic", &[]),
        ("/api/v1/groups?group=g", "groups", "group_id", &["g"]),
        ("/api/v1/groups?after=g", "groups", "group_id", &[]),
    ] {
        let answer = json(&server, path);
        let names: Vec<_> = answer[list].as_array().expect("a list").iter().map(|row| row[name].clone()).collect();
        assert_eq!((names, &answer["next"]), (expected.iter().map(|name| Value::from(*name)).collect(), &Value::Null));
    }
    for path in ["/api/v1/groups?topic=a", "/api/v1/topics?topic=a&after=a", "/?after=a"] {
        assert_eq!(server.admin_get(path).0, 400, "{path}");
    }
    let (status, page) = server.admin_get("/?topics_after=a");
    assert!(status == 200 && page.contains("<td>b</td>") && !page.contains("<td>a</td>"), "{page}");
}
