use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// A properties file with this text; gone when the first is dropped.
fn file(text: &str) -> (tempfile::TempDir, Option<PathBuf>) {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let path = dir.path().join("server.properties");
    std::fs::write(&path, text).expect("a file for the test");
    (dir, Some(path))
}

#[test]
fn later_sources_win_setting_by_setting() {
    let (_dir, file) =
        file("num.partitions=2\nfetch.max.bytes=2000\nnode.id=2\nlog.retention.ms=2\nmessage.max.bytes=2\n");
    let sources = Sources {
        file,
        variables: pairs(&[
            ("EINMAL_NODE_ID", "4"),
            ("KAFKA_NODE_ID", "3"),
            ("KAFKA_FETCH_MAX_BYTES", "3000"),
            ("EINMAL_LOG_RETENTION_MS", "4"),
        ]),
        flags: pairs(&[("log.retention.ms", "5"), ("log.retention.ms", "6")]),
        ..Sources::default()
    };
    let config = load(&sources).expect("allowed").config;
    let found = (config.num_partitions, config.fetch_max_bytes, config.node_id, config.topic_defaults.retention_ms);
    assert_eq!(found, (2, 3000, 4, 6));
    assert_eq!(config.texts.get("log.retention.ms"), Some(&("6".to_owned(), Origin::Flag)));
    assert_eq!(config.topic_defaults.max_message_bytes, 2);
}

#[test]
fn dev_profile_is_weaker_than_the_file() {
    let relaxed = |sources: Sources| load(&sources).expect("allowed").config.topic_defaults.is_relaxed();
    let dev = || pairs(&[("einmal.profile", "dev")]);
    assert!(relaxed(Sources { flags: dev(), ..Sources::default() }));
    let (_dir, file) = file("log.flush.interval.messages=1\n");
    assert!(!relaxed(Sources { flags: dev(), file, ..Sources::default() }));
}

#[test]
fn the_last_source_that_names_a_profile_has_it() {
    let (_dir, file) = file("einmal.profile=dev\n");
    let clamps = |variables: &[(&str, &str)], flags: &[(&str, &str)]| {
        let sources =
            Sources { file: file.clone(), variables: pairs(variables), flags: pairs(flags), ..Sources::default() };
        load(&sources).expect("allowed").config.replication_factor_clamp
    };
    assert!(clamps(&[], &[]));
    assert!(!clamps(&[("EINMAL_PROFILE", "prod")], &[]));
    assert!(clamps(&[("EINMAL_PROFILE", "prod")], &[("einmal.profile", "dev")]));
    let refused = refused(&[("einmal.profile", "development")]);
    assert!(refused.contains("einmal.profile: String must be one of: prod, dev"), "{refused}");
}

fn refused(flags: &[(&str, &str)]) -> String {
    load(&Sources { flags: pairs(flags), ..Sources::default() }).expect_err("refused").to_string()
}

#[test]
fn unknown_settings_are_refused_with_the_nearest_name() {
    assert_eq!(
        refused(&[("num.partition", "2")]),
        "unknown setting num.partition in the command line (did you mean num.partitions?); \
         --allow-unknown-config starts in spite of it"
    );
    assert!(refused(&[("xyz", "2")]).starts_with("unknown setting xyz in the command line;"));
    for (of_topics, meant) in
        [("message.dedup.mode", "einmal.message.dedup.mode"), ("max.message.bytes", "message.max.bytes")]
    {
        assert!(refused(&[(of_topics, "1")]).contains(&format!("(did you mean {meant}?)")), "{of_topics}");
    }
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    let message = "Invalid value x for configuration num.partitions: Not a number of type INT";
    assert_eq!(refused(&[("num.partitions", "x")]), format!("the command line: {message}"));
    let variables = pairs(&[("KAFKA_NUM_PARTITIONS", "x")]);
    let refused = load(&Sources { variables, ..Sources::default() }).expect_err("refused").to_string();
    assert_eq!(refused, format!("KAFKA_NUM_PARTITIONS: {message}"));
}

#[test]
fn protection_that_is_not_there_is_refused() {
    let name = "authorizer.class.name";
    assert!(
        refused(&[(name, "Standard")]).starts_with("authorizer.class.name in the command line asks for access control")
    );
    assert!(refused(&[("create.topic.policy.class.name", "P")]).contains("asks for a policy"));
    let open = Sources { flags: pairs(&[(name, "Standard")]), allow_unknown: true, ..Sources::default() };
    assert!(load(&open).is_ok());
    assert!(load(&Sources { flags: pairs(&[(name, "")]), ..Sources::default() }).is_ok());
}

#[test]
fn settings_without_meaning_share_one_notice() {
    let flags = pairs(&[
        ("zookeeper.connect", "z:1"),
        ("num.io.threads", "8"),
        ("group.consumer.assignment.interval.ms", "5"),
        ("node.id", "5"),
    ]);
    let loaded = load(&Sources { flags, ..Sources::default() }).expect("allowed");
    assert_eq!(
        loaded.notices,
        ["settings without effect here: group.consumer.assignment.interval.ms, num.io.threads, zookeeper.connect"]
    );
}

#[test]
fn defaults_of_message_ids_that_are_for_no_topic_are_told() {
    let notices =
        |flags: &[(&str, &str)]| load(&Sources { flags: pairs(flags), ..Sources::default() }).expect("allowed").notices;
    let (mode, window) = (("einmal.message.dedup.mode", "window"), ("einmal.message.dedup.window.ms", "5"));
    let told = "einmal.message.dedup.topics names no topics that have these as their defaults: \
                einmal.message.dedup.mode, einmal.message.dedup.window.ms";
    assert_eq!(notices(&[mode, window]), [told]);
    assert_eq!(notices(&[mode, window, ("einmal.message.dedup.topics", " ")]), [told]);
    assert!(notices(&[mode, window, ("einmal.message.dedup.topics", "orders")]).is_empty());
    assert!(notices(&[("einmal.message.dedup.topics", "orders")]).is_empty());
}

#[test]
fn profile_of_a_foreign_suite_starts_when_unknown_settings_are_allowed() {
    let text = "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9095,SASL://127.0.0.1:9093\n\
                advertised.listeners=PLAINTEXT://localhost:9092,SASL://localhost:9093\n\
                listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT\n\
                controller.quorum.voters=1@127.0.0.1:9095\ncontroller.listener.names=CONTROLLER\n\
                sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n\
                listener.name.sasl.plain.sasl.jaas.config=org.Module required user_a=\"b\";\n\
                authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                super.users=User:ANONYMOUS;User:admin\nallow.everyone.if.no.acl.found=true\nno.such.key=1\n";
    let (_dir, file) = file(text);
    let loaded = load(&Sources { file: file.clone(), allow_unknown: true, ..Sources::default() }).expect("starts");
    assert_eq!(loaded.config.listeners.len(), 1);
    assert_eq!(loaded.config.listeners[0].advertised, Some(("localhost".to_owned(), 9092)));
    assert_eq!(loaded.notices.len(), 3, "{:?}", loaded.notices);
    assert!(loaded.notices[1].ends_with(": no.such.key") && loaded.notices[2].ends_with(": SASL"));
    assert!(load(&Sources { file, ..Sources::default() }).is_err());
}

#[test]
fn unreadable_and_malformed_files_are_refused_with_their_path() {
    let missing = Sources { file: Some(PathBuf::from("/nonexistent/x.properties")), ..Sources::default() };
    assert!(load(&missing).expect_err("refused").to_string().starts_with("cannot read /nonexistent/x.properties: "));
    let (_dir, file) = file("a=\\u12\n");
    assert!(
        load(&Sources { file, ..Sources::default() })
            .expect_err("refused")
            .to_string()
            .ends_with("server.properties: line 1: \\u must be followed by four hexadecimal digits")
    );
}

#[test]
fn a_listener_may_have_a_rate_of_its_own() {
    let flags = |name: &str, value: &str| Sources {
        flags: vec![(name.to_owned(), value.to_owned())],
        host_name: "here".to_owned(),
        ..Sources::default()
    };
    let loaded = load(&flags("listener.name.plaintext.max.connection.creation.rate", "7")).unwrap();
    assert_eq!(loaded.config.listener_connection_creation_rates, BTreeMap::from([("PLAINTEXT".to_owned(), 7)]));
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
    let error = load(&flags("listener.name.plaintext.max.connection.creation.rate", "0")).unwrap_err();
    assert!(error.to_string().contains("max.connection.creation.rate"), "{error}");
    let loaded = load(&flags("listener.name.plaintext.no.such.setting", "7")).unwrap();
    assert_eq!(loaded.notices.len(), 1, "as before without effect");
}

#[test]
fn listeners_named_anew_are_not_held_to_the_addresses_that_a_file_advertises() {
    let file = "listeners=HOST://:9092,DOCKER://:19092\nadvertised.listeners=HOST://localhost:9092,DOCKER://auto:19092\n\
                listener.security.protocol.map=HOST:PLAINTEXT,DOCKER:PLAINTEXT\n";
    let path = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(path.path(), file).expect("it is written");
    let with = |flags: &[(&str, &str)]| {
        let flags = flags.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        load(&Sources { file: Some(path.path().to_owned()), flags, host_name: "box".to_owned(), ..Sources::default() })
    };
    let told = |loaded: Loaded| -> Vec<_> {
        loaded.config.listeners.into_iter().map(|listener| (listener.name.to_string(), listener.advertised)).collect()
    };
    let of_file = told(with(&[]).expect("both are there"));
    assert_eq!(of_file[1], ("DOCKER".to_owned(), Some(("box".to_owned(), 19092))));
    assert_eq!(
        told(with(&[("listeners", "PLAINTEXT://:9092")]).expect("the file's are dropped")),
        [("PLAINTEXT".to_owned(), None)]
    );
    // The same names at other ports keep what the file says of them, and what is told at the same place is held to it.
    let moved = told(with(&[("listeners", "HOST://:9093,DOCKER://:19092")]).expect("all are there"));
    assert_eq!(moved[0].1, Some(("localhost".to_owned(), 9092)));
    let both = [("listeners", "PLAINTEXT://:9092"), ("advertised.listeners", "HOST://localhost:9092")];
    assert!(matches!(with(&both), Err(LoadError::Listener(ListenerError::NotBound { .. }))));
}

#[test]
fn files_are_read_up_to_a_limit() {
    let read = |bytes: u64| {
        let (_dir, file) = file(&format!("#{}", "x".repeat(bytes as usize - 1)));
        load(&Sources { file, ..Sources::default() })
    };
    assert!(read(FILE_BYTES_MAX).is_ok());
    let refused = read(FILE_BYTES_MAX + 1).expect_err("too large");
    assert!(refused.to_string().contains("has more than 1048576 bytes"), "{refused}");
}

#[test]
fn what_is_read_again_must_be_a_file_and_is_not_repeated() {
    let (dir, _) = file("");
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    for path in [pipe, dir.path().to_owned(), PathBuf::from("/dev/zero")] {
        let again = Sources { file: Some(path), again: true, ..Sources::default() };
        let refused = load(&again).expect_err("no regular file").to_string();
        assert!(refused.contains("is no regular file"), "{refused}");
    }
    let (_dir, foreign) = file("hunter2:$6$secret\n");
    let again = Sources { file: foreign.clone(), again: true, ..Sources::default() };
    let refused = load(&again).expect_err("no setting").to_string();
    assert!(refused.contains("einmal config check") && !refused.contains("hunter2"), "{refused}");
    let first = load(&Sources { again: false, ..again }).expect_err("no setting").to_string();
    assert!(first.starts_with("unknown setting hunter2 in "), "who starts it may know: {first}");
    let (_dir, misspelt) = file("num.partition=2\n");
    let refused = load(&Sources { file: misspelt, again: true, ..Sources::default() }).expect_err("no setting");
    assert!(refused.to_string().contains("did you mean num.partitions?"), "{refused}");
}

#[test]
fn a_start_for_itself_has_a_directory_of_its_own_and_the_profile_dev() {
    let (_dir, file) = file("log.dirs=/var/lib/kafka\n");
    let sources = Sources { file, ephemeral: Some(PathBuf::from("/tmp/x")), ..Sources::default() };
    let config = load(&sources).expect("allowed").config;
    assert_eq!(config.data_dir, PathBuf::from("/tmp/x"));
    assert!(config.topic_defaults.is_relaxed());
    let synced = Sources { variables: pairs(&[("EINMAL_PROFILE", "prod")]), ..sources.clone() };
    assert!(!load(&synced).expect("allowed").config.topic_defaults.is_relaxed());
    for name in ["log.dirs", "log.dir"] {
        let refused = load(&Sources { flags: pairs(&[(name, "/srv")]), ..sources.clone() }).expect_err("two of them");
        assert!(refused.to_string().contains(&format!("--ephemeral and {name}")), "{refused}");
    }
}
