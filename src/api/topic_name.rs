//! What a topic may be called (`Topic.validate` in Kafka).

use crate::dedup::SEQUENCES_TOPIC;

/// Longest name, characters, all of which are ASCII: file names of Kafka's log directories.
pub const NAME_CHARACTERS_MAX: usize = 249;

/// Name of the log in which Kafka keeps what is kept in rows here; tools take a topic of that name for it.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Topic in which Kafka keeps groups.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// Topic in which Kafka keeps transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";

/// Topics of Kafka's own (`Topic.isInternal`) and of einmal's: consumers leave them out of patterns.
const INTERNAL: [&str; 4] = [CONSUMER_OFFSETS, TRANSACTION_STATE, "__share_group_state", SEQUENCES_TOPIC];

/// Whether clients take `name` for a topic of the broker's own.
pub fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// What messages show of `name`, which may be much longer than a topic's may be: repeated per partition, it would make the answer
/// outgrow the request without bound.
pub fn shown(name: &str) -> &str {
    let end = name.char_indices().nth(NAME_CHARACTERS_MAX).map_or(name.len(), |(end, _)| end);
    &name[..end]
}

/// Tells why `name` is none, in Kafka's words, which its tools print.
pub fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("Topic name is invalid: the empty string is not allowed".to_owned());
    }
    if name == "." || name == ".." {
        return Err(format!("Topic name is invalid: '{name}' is not allowed"));
    }
    if name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(format!(
            "Topic name is invalid: the length of '{name}' is longer than the max allowed length {NAME_CHARACTERS_MAX}"
        ));
    }
    if !name.chars().all(|character| character.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&character)) {
        return Err(format!(
            "Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check, shown};

    #[test]
    fn names_are_those_of_kafka() {
        let long = "x".repeat(249);
        for good in ["a", "A.b_c-9", "...", long.as_str()] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let too_long = "x".repeat(250);
        for bad in ["", ".", "..", "a b", "a/b", "ü", "a\0", too_long.as_str()] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_shown_up_to_the_longest_that_a_topic_may_have() {
        assert_eq!(shown("ü-1"), "ü-1");
        assert_eq!(shown(&"ü".repeat(300)), "ü".repeat(249));
    }
}
