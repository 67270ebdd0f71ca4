//! Scripts of requests: a line is one request in words, and what is to be answered.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
};

use crate::api::testing::{TestBroker, text, topic_name};

/// A subscription to `t`.
const SUBSCRIPTION: &[u8] = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff";

pub(super) struct Script {
    pub(super) broker: TestBroker,
    pub(super) ids: HashMap<String, String>,
}

/// A request in words.
struct Words<'a> {
    version: i16,
    group: GroupId,
    by_key: HashMap<&'a str, &'a str>,
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.by_key.get(key).copied()
    }

    fn number(&self, key: &str, otherwise: i32) -> i32 {
        self.get(key).map_or(otherwise, |number| number.parse().expect("a number"))
    }

    /// Topic and partition of each word like `t0`.
    fn partitions(&self) -> impl Iterator<Item = (&'a str, i32)> {
        self.rest.iter().map(|word| {
            let at = word.find(|c: char| c.is_ascii_digit()).expect("a partition");
            (&word[..at], word[at..].parse().expect("an index"))
        })
    }
}

fn codes(codes: impl IntoIterator<Item = i16>) -> String {
    codes.into_iter().map(|code| code.to_string()).collect::<Vec<_>>().join(" ")
}

impl Script {
    pub(super) fn over(broker: TestBroker) -> Self {
        Self { broker, ids: HashMap::new() }
    }

    /// Runs `lines` on a broker with topics `t` and `u` of two partitions each.
    pub(super) async fn run(lines: &str) {
        let script = &mut Self::over(TestBroker::start());
        for topic in ["t", "u"] {
            script.broker.create_topic(topic, 2).await;
        }
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (request, expected) = line.split_once("->").expect("an answer");
            let versions = request.split_whitespace().nth(1).expect("versions");
            let (first, last) = versions.split_once('-').unwrap_or((versions, versions));
            for version in first.parse::<i16>().expect("a version")..=last.parse().expect("a version") {
                let request = request.replacen(versions, &version.to_string(), 1);
                assert_eq!(script.line(&request).await, expected.trim(), "version {version} of {line}");
            }
        }
    }

    /// One request of one version.
    pub(super) async fn line(&mut self, request: &str) -> String {
        let mut words = request.split_whitespace();
        let api = words.next().expect("an API");
        let version = words.next().and_then(|version| version.parse().ok()).expect("a version");
        let group = group_id(words.next().expect("a group").trim_matches('.'));
        let (keyed, rest): (Vec<_>, Vec<_>) = words.partition(|word| word.contains('='));
        let by_key = keyed.iter().filter_map(|word| word.split_once('=')).collect();
        self.ask(api, &Words { version, group, by_key, rest }).await.trim().to_owned()
    }

    fn id(&self, words: &Words<'_>) -> String {
        self.known(words.get("id").unwrap_or_default())
    }

    fn known(&self, name: &str) -> String {
        self.ids.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    async fn ask(&mut self, api: &str, words: &Words<'_>) -> String {
        match api {
            "join" => self.join(words).await,
            "sync" => self.sync(words).await,
            "beat" => {
                let request = HeartbeatRequest::default()
                    .with_group_id(words.group.clone())
                    .with_member_id(text(&self.id(words)))
                    .with_generation_id(words.number("gen", -1))
                    .with_group_instance_id(words.get("i").map(text));
                self.broker.call(words.version, &request).await.error_code.to_string()
            }
            "leave" => self.leave(words).await,
            "commit" => self.commit(words).await,
            "fetch" => self.fetch(words).await,
            "describe" => {
                let request = DescribeGroupsRequest::default()
                    .with_groups(vec![words.group.clone()])
                    .with_include_authorized_operations(words.get("operations").is_some());
                let group = self.broker.call(words.version, &request).await.groups.remove(0);
                let has_operations = if group.authorized_operations == i32::MIN { "" } else { "with operations" };
                let parts = group.members.iter().map(|member| String::from_utf8_lossy(&member.member_assignment));
                let parts = parts.map(|part| format!("[{part}]")).collect::<String>();
                format!("{} {} {parts}{has_operations}", group.error_code, group.group_state.as_str())
            }
            "delete" => {
                let groups = std::iter::once(words.group.clone()).chain(words.rest.iter().map(|group| group_id(group)));
                let request = DeleteGroupsRequest::default().with_groups_names(groups.collect());
                codes(self.broker.call(words.version, &request).await.results.iter().map(|group| group.error_code))
            }
            "odelete" => self.delete_offsets(words).await,
            other => panic!("no API {other}"),
        }
    }

    async fn join(&mut self, words: &Words<'_>) -> String {
        let (kind, name) = words.get("of").unwrap_or("consumer/range").split_once('/').expect("type/name");
        let count = if name.is_empty() { 0 } else { words.number("count", 1) };
        let protocol = |at: i32| {
            let name = if at == 0 { text(name) } else { text(&format!("{name}-{at}")) };
            JoinGroupRequestProtocol::default().with_name(name).with_metadata(Bytes::from_static(SUBSCRIPTION))
        };
        let request = JoinGroupRequest::default()
            .with_group_id(words.group.clone())
            .with_member_id(text(&self.id(words)))
            .with_group_instance_id(words.get("i").map(text))
            .with_session_timeout_ms(words.number("session", 45_000))
            .with_rebalance_timeout_ms(60_000)
            .with_protocol_type(text(kind))
            .with_protocols((0..count).map(protocol).collect());
        let joined = self.broker.call(words.version, &request).await;
        if let Some(name) = words.get("as") {
            self.ids.insert(name.to_owned(), joined.member_id.to_string());
        }
        let name = joined.protocol_name.as_deref().map_or("null".to_owned(), |name| format!("{:?}", name.to_string()));
        if joined.error_code != 0 {
            let is_given_one = !joined.member_id.is_empty() && *joined.member_id != *self.id(words);
            let id = if is_given_one { "new id" } else { "" };
            return format!("{} gen={} {name} {id}", joined.error_code, joined.generation_id);
        }
        let leads = if joined.leader == joined.member_id { "leads" } else { "follows" };
        let skip = if joined.skip_assignment { " skip" } else { "" };
        format!("0 gen={} {name} {leads} {}{skip}", joined.generation_id, joined.members.len())
    }

    async fn sync(&self, words: &Words<'_>) -> String {
        let of = words.get("of").map(|of| of.split_once('/').expect("type/name"));
        let named = |name: &str| Some(name).filter(|name| !name.is_empty()).map(text);
        let id = self.id(words);
        let part = |part: &str| {
            let part = Bytes::copy_from_slice(part.as_bytes());
            SyncGroupRequestAssignment::default().with_member_id(text(&id)).with_assignment(part)
        };
        let request = SyncGroupRequest::default()
            .with_group_id(words.group.clone())
            .with_member_id(text(&id))
            .with_group_instance_id(words.get("i").map(text))
            .with_generation_id(words.number("gen", -1))
            .with_protocol_type(of.and_then(|(kind, _)| named(kind)))
            .with_protocol_name(of.and_then(|(_, name)| named(name)))
            .with_assignments(words.get("part").map(part).into_iter().collect());
        let synced = self.broker.call(words.version, &request).await;
        format!("{} {}", synced.error_code, String::from_utf8_lossy(&synced.assignment))
    }

    async fn leave(&self, words: &Words<'_>) -> String {
        let member = |word: &&str| {
            let (id, instance) = word.split_once('/').unwrap_or((word, ""));
            let instance = Some(instance).filter(|instance| !instance.is_empty()).map(text);
            MemberIdentity::default()
                .with_member_id(text(&self.known(id.trim_matches('.'))))
                .with_group_instance_id(instance)
        };
        let request = LeaveGroupRequest::default().with_group_id(words.group.clone());
        if words.version < 3 {
            let left = self.broker.call(words.version, &request.with_member_id(text(&self.id(words)))).await;
            return left.error_code.to_string();
        }
        let request = request.with_members(words.rest.iter().map(member).collect());
        let left = self.broker.call(words.version, &request).await;
        format!("{}: {}", left.error_code, codes(left.members.iter().map(|member| member.error_code)))
    }

    async fn commit(&self, words: &Words<'_>) -> String {
        let topic = |(topic, partition)| {
            let partition =
                OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(7);
            OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition])
        };
        let mut request = OffsetCommitRequest::default()
            .with_group_id(words.group.clone())
            .with_member_id(text(&self.id(words)))
            .with_generation_id_or_member_epoch(words.number("gen", -1))
            .with_topics(words.partitions().map(topic).collect());
        if words.version >= 7 {
            request = request.with_group_instance_id(words.get("i").map(text));
        }
        let committed = self.broker.call(words.version, &request).await;
        codes(committed.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code))
    }

    async fn fetch(&self, words: &Words<'_>) -> String {
        let shown = |topic: &str, index: i32, offset: i64| format!("{topic}{index}={offset}");
        let shown = if words.version < 8 {
            let topic = |(topic, partition)| {
                OffsetFetchRequestTopic::default().with_name(topic_name(topic)).with_partition_indexes(vec![partition])
            };
            let topics: Vec<_> = words.partitions().map(topic).collect();
            let request = OffsetFetchRequest::default()
                .with_group_id(words.group.clone())
                .with_topics(Some(topics).filter(|topics| !topics.is_empty()));
            let fetched = self.broker.call(words.version, &request).await;
            assert_eq!(fetched.error_code, 0);
            let topics = fetched.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |own| (topic, own)));
            topics.map(|(topic, own)| shown(&topic.name, own.partition_index, own.committed_offset)).collect()
        } else {
            let group = OffsetFetchRequestGroup::default()
                .with_group_id(words.group.clone())
                .with_member_id(words.get("id").filter(|_| words.version >= 9).map(text))
                .with_member_epoch(if words.version >= 9 { words.number("gen", -1) } else { -1 })
                .with_topics(None);
            let fetched =
                self.broker.call(words.version, &OffsetFetchRequest::default().with_groups(vec![group])).await;
            let group = &fetched.groups[0];
            assert_eq!(group.error_code, 0);
            let topics = group.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |own| (topic, own)));
            topics.map(|(topic, own)| shown(&topic.name, own.partition_index, own.committed_offset)).collect::<Vec<_>>()
        };
        shown.join(" ")
    }

    async fn delete_offsets(&self, words: &Words<'_>) -> String {
        let topic = |(topic, partition)| {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
            OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition])
        };
        let mut topics: Vec<_> = words.partitions().map(topic).collect();
        if let Some(topic) = words.get("nothing-of") {
            topics.push(OffsetDeleteRequestTopic::default().with_name(topic_name(topic)));
        }
        let request = OffsetDeleteRequest::default().with_group_id(words.group.clone()).with_topics(topics);
        let deleted = self.broker.call(words.version, &request).await;
        let of_partitions = deleted.topics.iter().flat_map(|topic| &topic.partitions);
        let topics = deleted.topics.len();
        format!("{}: {} of {topics}", deleted.error_code, codes(of_partitions.map(|partition| partition.error_code)))
    }

    pub(super) async fn is_gone(&self, group: &str) {
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
        let gone = async {
            while self.broker.call(5, &request).await.groups[0].group_state.as_str() != "Dead" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("it is gone");
    }
}

fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}
