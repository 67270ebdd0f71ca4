//! The closed list of names under which the program's own words carry values, so that whoever searches them knows what to look for, and
//! so that nothing gets in that does not belong there: what is written never holds keys, values or headers of records, credentials, or
//! whole configurations.

/// Who and what an event is about: Kafka's words.
pub const SUBJECTS: &[&str] = &[
    "api",
    "api_version",
    "client_id",
    "cluster_id",
    "group_id",
    "leader_epoch",
    "listener",
    "member_id",
    "node_id",
    "offset",
    "partition",
    "peer",
    "producer_epoch",
    "producer_id",
    "topic",
    "transactional_id",
];

/// What happened to it: errors, figures with their units, places on this machine.
pub const FACTS: &[&str] = &[
    "address",
    "bytes",
    "clean",
    "clean_bytes",
    "connections_max",
    "cut",
    "data_dir",
    "dead",
    "duration_ms",
    "error",
    "first_dirty",
    "free_bytes",
    "garbage_bytes",
    "garbage_bytes_before",
    "host",
    "ids",
    "is_clean",
    "level",
    "lines",
    "log_start",
    "lost",
    "members",
    "open_files_max",
    "panic",
    "partitions",
    "port",
    "protocols",
    "reason",
    "replayed_bytes",
    "repeated",
    "reserve_bytes",
    "room_bytes",
    "setting",
    "slice",
    "state",
    "thread",
    "timeout",
    "trailing_bytes",
    "version",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Names of the fields of all events of a source: what stands in the macros of `tracing` before the message.
    fn fields(source: &str) -> Vec<String> {
        let mut found = Vec::new();
        for level in ["error", "warn", "info", "debug", "trace"] {
            for event in source.split(&format!("tracing::{level}!(")).skip(1) {
                let before_message = event.split('"').next().unwrap_or_default();
                for field in before_message.split(',').map(str::trim).filter(|field| !field.is_empty()) {
                    let (name, _) = field.split_once('=').unwrap_or((field, ""));
                    let name = name.trim().trim_start_matches(['%', '?']);
                    found.push(name.rsplit('.').next().unwrap_or(name).to_owned());
                }
            }
        }
        found
    }

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => sources(&path, found),
                false => found.push(path),
            }
        }
    }

    #[test]
    fn events_have_no_fields_but_those_of_the_list() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        files.retain(|file| !file.ends_with("telemetry/fields.rs"));
        let used: BTreeSet<String> =
            files.iter().flat_map(|file| fields(&std::fs::read_to_string(file).expect("a source"))).collect();
        let listed: BTreeSet<String> = SUBJECTS.iter().chain(FACTS).map(|&name| name.to_owned()).collect();
        let unknown: Vec<_> = used.difference(&listed).collect();
        assert!(unknown.is_empty(), "not on the list: {unknown:?}");
        let unused: Vec<_> = listed.difference(&used).collect();
        assert!(unused.is_empty(), "on the list, and nowhere used: {unused:?}");
    }

    #[test]
    fn fields_are_found_in_every_form() {
        let source = r#"tracing::warn!(%peer, topic = batch.topic, ?cut, endpoint.host, "words, {}", more);"#;
        assert_eq!(fields(source), ["peer", "topic", "cut", "host"]);
    }
}
