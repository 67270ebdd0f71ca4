//! What people do with a cluster from the command line: `einmal topic …`, `einmal config …`, `einmal group …`, `einmal txn …`,
//! `einmal produce`, `einmal consume`, `einmal doctor`, against einmal or any other Kafka, and `einmal dedup` against einmal's admin port.
//!
//! Each subcommand has a folder, and each thing it does a file. All of them take the same [`target`] and show what they found in the
//! same two forms ([`output`]): a table for people, JSON with the same members for scripts. Data goes to stdout, all else to
//! stderr; nothing is asked back.

mod advice;
mod append;
mod at_end;
pub mod config;
pub mod consume;
pub mod dedup;
pub mod doctor;
mod error;
pub mod group;
mod held;
mod offsets;
mod outcome;
pub mod output;
mod place;
pub mod produce;
mod read;
mod setting;
mod span;
mod target;
pub mod topic;
mod transaction;
pub mod txn;

pub use error::CliError;

use std::time::{SystemTime, UNIX_EPOCH};

use kafka_protocol::protocol::StrBytes;

/// `ConfigResource.Type.TOPIC` in Kafka.
const TOPIC_RESOURCE: i8 = 2;

/// As requests carry it.
fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// As a shell takes it for one word, to be pasted.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Wall clock, ms since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Where a setting comes from (`DescribeConfigsResponse.ConfigSource`).
fn source(code: i8) -> &'static str {
    match code {
        1 => "topic",
        2 => "broker-dynamic",
        3 => "cluster-dynamic",
        4 => "broker",
        5 => "default",
        6 => "broker-logger",
        7 => "client-metrics",
        8 => "group",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        for (text, word) in [
            ("payments-1.eu_west:a", "payments-1.eu_west:a"),
            ("my shop", "'my shop'"),
            ("it's", r"'it'\''s'"),
            ("$(rm)", "'$(rm)'"),
            ("-x", "'-x'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
