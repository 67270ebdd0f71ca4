//! Broker settings that stand behind `message.dedup.*` of topics.
//!
//! `kafka-topics.sh` refuses names of topic settings that Kafka does not have, so they can also be given here, for topics by their
//! names.

use super::setting::{Kind, Setting, Update};
use super::topics::TOPICS;

/// Which topics have the others as defaults.
pub const DEFAULTED_TOPICS: &str = "einmal.message.dedup.topics";

/// What the names of all of them begin with: the rest is that of the topic setting, without its own `message.dedup.`.
pub const PREFIX: &str = "einmal.message.dedup.";

/// The topic setting of this name, whose values and default the broker setting has, too.
const fn topic_setting(name: &str) -> Setting {
    let mut index = 0;
    while index < TOPICS.len() {
        if is_same(TOPICS[index].name.as_bytes(), name.as_bytes()) {
            return TOPICS[index];
        }
        index += 1;
    }
    panic!("no topic setting has this name")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

macro_rules! defaults {
    ($($name:literal)*) => {
        /// All of them.
        pub const DEDUP: &[Setting] = &[
            Setting::new(
                DEFAULTED_TOPICS,
                Kind::List,
                "",
                "Topics that have einmal.message.dedup.* as defaults of their message.dedup.*: names, in which * stands for anything, \
                 with commas between them, at most 100 of 256 bytes each. None while it is empty, and never the broker's own topics or one with \
                 message.version.check=true. kafka-topics.sh refuses names of settings that it does not know: this is the way \
                 around; kafka-configs.sh and the Admin API take message.dedup.* as they are.",
            )
            .dynamic(),
            $(Setting {
                name: concat!("einmal.message.dedup.", $name),
                update: Update::ClusterWide,
                synonyms: &[],
                documentation:
                    concat!("message.dedup.", $name, " of the topics that einmal.message.dedup.topics names and that have none of their own."),
                ..topic_setting(concat!("message.dedup.", $name))
            },)*
        ];
    };
}

defaults! {
    "audit.topic" "bypass.principals" "id.headers" "id.source" "missing.id" "mode" "namespace" "on.duplicate" "overflow" "scope" "sequence.headers"
    "sequence.retention.ms" "time.source" "window.max.ids" "window.ms" "window.refresh"
}
