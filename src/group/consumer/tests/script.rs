//! The language in which the tests beside this are written, and the world in which it runs.
//!
//! A heartbeat is one line: member id, epoch, then `key=value` words: `own` and `names` list partitions and topics by comma
//! (`own=` owns nothing), `regex`, `instance`, `assignor`, `timeout`. A join is full unless it says otherwise: it owns
//! nothing, has a rebalance timeout and subscribes to `t`. `wait 500` lets time pass and gives up who is due; `grow u 3`
//! gives a topic more partitions or creates it.
//!
//! An answer is `epoch`, then `=` and the partitions if it tells them; a refusal is the name of its code.

use std::collections::BTreeMap;

use super::super::assignment::{Partitions, TopicIdPartition};
use super::super::codec::Row;
use super::super::group::ConsumerGroup;
use super::super::regex::PatternInvalid;
use super::super::topics::{Matching, TopicMetadata, TopicsImage};
use super::super::{Assignor, Context, HeartbeatRequest, Settings, heartbeat};
use super::super::{GroupState, change::Change};
use crate::types::Uuid;

/// Topics of tests: a topic's id is the first letter of its name.
#[derive(Debug, Clone, Default)]
pub(in crate::group::consumer) struct TestTopics {
    pub version: u64,
    pub partitions: BTreeMap<String, i32>,
    /// What patterns match is told of these alone; none: of all.
    pub matched: Option<BTreeMap<String, Matching>>,
}

impl TestTopics {
    pub fn set(&mut self, name: &str, partitions: i32) {
        self.version += 1;
        self.partitions.insert(name.to_owned(), partitions);
    }
}

pub(in crate::group::consumer) fn topic_id(name: &str) -> Uuid {
    Uuid::from_u128(name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte)))
}

pub(in crate::group::consumer) fn topic_name(id: Uuid) -> String {
    id.as_u128().to_be_bytes().into_iter().filter(|byte| *byte != 0).map(char::from).collect()
}

impl TopicsImage for TestTopics {
    fn version(&self) -> u64 {
        self.version
    }
    fn topic(&self, name: &str) -> Option<TopicMetadata> {
        self.partitions.get(name).map(|partitions| TopicMetadata { id: topic_id(name), partitions: *partitions })
    }
    fn name(&self, id: Uuid) -> Option<&str> {
        self.partitions.keys().find(|name| topic_id(name) == id).map(String::as_str)
    }
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.partitions.keys().map(String::as_str))
    }
    fn matching(&self, pattern: &str) -> Option<Result<Matching, PatternInvalid>> {
        match &self.matched {
            None => Some(Matching::of(pattern, self)),
            Some(matched) => matched.get(pattern).cloned().map(Ok),
        }
    }
}

pub(in crate::group::consumer) fn settings() -> Settings {
    Settings {
        session_timeout_ms: 45_000,
        heartbeat_interval_ms: 5_000,
        max_size: 3,
        assignors: vec![Assignor::Uniform, Assignor::Range],
    }
}

pub(in crate::group::consumer) fn partitions(text: &str) -> Partitions {
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(|name| {
            let (topic, partition) = name.split_at(1);
            TopicIdPartition { topic_id: topic_id(topic), partition: partition.parse().expect("a number") }
        })
        .collect()
}

pub(in crate::group::consumer) fn text(partitions: &Partitions) -> String {
    let name = |at: &TopicIdPartition| format!("{}{}", topic_name(at.topic_id), at.partition);
    partitions.iter().map(name).collect::<Vec<_>>().join(",")
}

/// A group with the rows that it wrote.
pub(in crate::group::consumer) struct World {
    pub group: ConsumerGroup,
    pub topics: TestTopics,
    pub settings: Settings,
    pub now_ms: i64,
    pub rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl World {
    pub fn new() -> Self {
        let mut topics = TestTopics::default();
        topics.set("t", 4);
        topics.set("u", 2);
        Self { group: ConsumerGroup::default(), topics, settings: settings(), now_ms: 0, rows: BTreeMap::new() }
    }

    pub fn heartbeat(&mut self, request: &HeartbeatRequest, version: i16) -> String {
        let cx = Context { topics: &self.topics, settings: &self.settings, now_ms: self.now_ms };
        let before = self.group.state().clone();
        match heartbeat(&mut self.group, request, version, "new", &cx) {
            Ok(outcome) => {
                self.write(outcome.rows);
                let told = outcome.answer.assignment.map(|told| format!(" = {}", text(&told))).unwrap_or_default();
                format!("{}{}", outcome.answer.member_epoch, told.trim_end())
            }
            Err(rejected) => {
                assert_eq!(*self.group.state(), before, "a refused heartbeat changed the group");
                rejected.error().name().to_owned()
            }
        }
    }

    /// Commits `rows`, and finds the same state in all that was committed.
    pub fn write(&mut self, rows: Vec<Row>) {
        for row in rows {
            match row.value {
                Some(value) => self.rows.insert(row.key, value),
                None => self.rows.remove(&row.key),
            };
        }
        assert_eq!(self.restored(), *self.group.state(), "the rows tell another state");
    }

    pub fn restored(&self) -> GroupState {
        let change = |(key, value): (&Vec<u8>, &Vec<u8>)| Change::of_row(key, value).expect("a row");
        GroupState::restore(self.rows.iter().map(change)).expect("consistent rows")
    }

    pub fn wait(&mut self, ms: i64) -> Vec<String> {
        self.now_ms += ms;
        let mut gone = Vec::new();
        loop {
            let cx = Context { topics: &self.topics, settings: &self.settings, now_ms: self.now_ms };
            let Some(expired) = self.group.expire(&cx) else { break };
            self.write(expired.rows);
            gone.push(format!("{} {:?}", expired.member_id, expired.timeout));
        }
        gone
    }

    pub fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["wait", ms] => self.wait(ms.parse().expect("ms")).join(" "),
            ["grow", topic, count] => {
                self.topics.set(topic, count.parse().expect("a count"));
                String::new()
            }
            ["restart"] => {
                self.group = ConsumerGroup::restored(self.restored(), &self.settings, self.now_ms);
                String::new()
            }
            _ => self.heartbeat(&request(&words), 1),
        }
    }
}

pub(in crate::group::consumer) fn request(words: &[&str]) -> HeartbeatRequest {
    let [member_id, epoch, words @ ..] = words else { panic!("{words:?} is no heartbeat") };
    let member_epoch = epoch.parse().expect("an epoch");
    let joins = member_epoch == 0;
    let mut request = HeartbeatRequest {
        group_id: "g".into(),
        member_id: (*member_id).to_owned(),
        member_epoch,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: if joins { 10_000 } else { -1 },
        subscribed_topic_names: joins.then(|| vec!["t".to_owned()]),
        topic_partitions: joins.then(Partitions::new),
        ..Default::default()
    };
    for word in words {
        let (key, value) = word.split_once('=').expect("key=value");
        let set = Some(value.to_owned());
        match key {
            "own" => request.topic_partitions = Some(partitions(value)),
            "names" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                request.subscribed_topic_names = Some(names.map(str::to_owned).collect());
            }
            "regex" => request.subscribed_topic_regex = set,
            "instance" => request.instance_id = set,
            "rack" => request.rack_id = set,
            "assignor" => request.server_assignor = set,
            "group" => request.group_id = value.to_owned(),
            "timeout" => request.rebalance_timeout_ms = value.parse().expect("ms"),
            "no" if value == "own" => request.topic_partitions = None,
            "no" if value == "names" => request.subscribed_topic_names = None,
            _ => panic!("unknown word {word}"),
        }
    }
    request
}

/// Runs `lines`, each `heartbeat -> expected`.
#[track_caller]
pub(in crate::group::consumer) fn check(lines: &str) -> World {
    let mut world = World::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (line, expected) = line.split_once("->").unwrap_or((line, ""));
        let answer = world.run(line);
        assert_eq!(answer, expected.trim(), "answer to {line}");
    }
    world
}
