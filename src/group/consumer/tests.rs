//! States × heartbeats as text.
//!
//! A heartbeat is one line: member id, epoch, then `key=value` words: `own` and `names` list partitions and topics by comma
//! (`own=` owns nothing), `regex`, `instance`, `assignor`, `timeout`. A join is full unless it says otherwise: it owns
//! nothing, has a rebalance timeout and subscribes to `t`. `wait 500` lets time pass and gives up who is due; `grow u 3`
//! gives a topic more partitions or creates it.
//!
//! An answer is `epoch`, then `=` and the partitions if it tells them; a refusal is the name of its code.

mod offsets;
mod simulation;

use std::collections::BTreeMap;

use super::assignment::{Partitions, TopicIdPartition};
use super::codec::Row;
use super::group::ConsumerGroup;
use super::topics::{TopicMetadata, TopicsImage};
use super::{Assignor, Context, HeartbeatRequest, Settings, heartbeat};
use super::{GroupState, change::Change};
use crate::types::Uuid;

/// Topics of tests: a topic's id is the first letter of its name.
#[derive(Debug, Clone, Default)]
pub(super) struct TestTopics {
    pub version: u64,
    pub partitions: BTreeMap<String, i32>,
}

impl TestTopics {
    pub fn set(&mut self, name: &str, partitions: i32) {
        self.version += 1;
        self.partitions.insert(name.to_owned(), partitions);
    }
}

pub(super) fn topic_id(name: &str) -> Uuid {
    Uuid::from_u128(name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte)))
}

pub(super) fn topic_name(id: Uuid) -> String {
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
}

pub(super) fn settings() -> Settings {
    Settings {
        session_timeout_ms: 45_000,
        heartbeat_interval_ms: 5_000,
        max_size: 3,
        assignors: vec![Assignor::Uniform, Assignor::Range],
    }
}

pub(super) fn partitions(text: &str) -> Partitions {
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(|name| {
            let (topic, partition) = name.split_at(1);
            TopicIdPartition { topic_id: topic_id(topic), partition: partition.parse().expect("a number") }
        })
        .collect()
}

pub(super) fn text(partitions: &Partitions) -> String {
    let name = |at: &TopicIdPartition| format!("{}{}", topic_name(at.topic_id), at.partition);
    partitions.iter().map(name).collect::<Vec<_>>().join(",")
}

/// A group with the rows that it wrote.
pub(super) struct World {
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

pub(super) fn request(words: &[&str]) -> HeartbeatRequest {
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
pub(super) fn check(lines: &str) -> World {
    let mut world = World::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (line, expected) = line.split_once("->").unwrap_or((line, ""));
        let answer = world.run(line);
        assert_eq!(answer, expected.trim(), "answer to {line}");
    }
    world
}

#[test]
fn a_member_that_joins_has_everything_at_once() {
    let world = check("m 0 -> 1 = t0,t1,t2,t3\n m 1 -> 1");
    assert_eq!(world.group.state().phase().name(), "Stable");
}

#[test]
fn a_heartbeat_that_changes_nothing_writes_nothing() {
    let mut world = check("m 0 -> 1 = t0,t1,t2,t3");
    let cx = Context { topics: &world.topics, settings: &world.settings, now_ms: 1 };
    let request = request(&["m", "1", "own=t0,t1,t2,t3"]);
    let outcome = heartbeat(&mut world.group, &request, 1, "", &cx).expect("accepted");
    assert_eq!((outcome.rows, outcome.answer.assignment), (vec![], None));
}

#[test]
fn partitions_are_given_up_before_they_are_given_away() {
    let world = check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         n 2 -> 2
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         n 2 -> 2
         m 1 own=t0,t1,t2,t3 -> 1
         m 1 -> 1
         m 1 own=t0,t1 -> 2
         n 2 own= -> 2 = t2,t3",
    );
    assert_eq!(world.group.state().phase().name(), "Stable");
}

#[test]
fn invalid_requests() {
    for (line, version) in [
        ("m 0 no=own", 1),
        ("m 0 own=t0", 1),
        ("m 0 timeout=-1", 1),
        ("m 0 no=names", 1),
        ("m 0 group=", 1),
        ("m 0 instance=", 1),
        ("m 0 rack=", 1),
        ("m -3", 1),
        ("m -2", 1),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(World::new().heartbeat(&request(&words), version), "INVALID_REQUEST", "{line}");
    }
    for (epoch, version, expected) in [
        (0, 0, "1 = t0,t1,t2,t3"),
        (0, 1, "INVALID_REQUEST"),
        (1, 0, "INVALID_REQUEST"),
        (1, 1, "INVALID_REQUEST"),
        (-1, 0, "INVALID_REQUEST"),
    ] {
        let request = HeartbeatRequest { member_id: String::new(), ..request(&["m", &epoch.to_string()]) };
        assert_eq!(World::new().heartbeat(&request, version), expected, "no member id, epoch {epoch} v{version}");
    }
    let huge = HeartbeatRequest { subscribed_topic_names: Some(vec!["x".repeat(1 << 20)]), ..request(&["m", "0"]) };
    assert_eq!(World::new().heartbeat(&huge, 1), "INVALID_REQUEST");
}

/// Each state with what members hear in it.
#[test]
fn states_and_heartbeats() {
    let states: &[(&str, &[(&str, &str)])] = &[
        (
            "",
            &[
                ("m 1", "GROUP_ID_NOT_FOUND"),
                ("m -1", "GROUP_ID_NOT_FOUND"),
                ("m -2 instance=i", "GROUP_ID_NOT_FOUND"),
                ("m 0 names=nothing", "1 ="),
                ("m 0 names=", "1 ="),
                ("m 0 assignor=other", "UNSUPPORTED_ASSIGNOR"),
                ("m 0 assignor=range", "1 = t0,t1,t2,t3"),
                ("m 0 regex=u.* no=names", "1 = u0,u1"),
                ("m 0 regex=u.*", "1 = t0,t1,t2,t3,u0,u1"),
                ("m 0 regex=( no=names", "INVALID_REGULAR_EXPRESSION"),
                ("m 0 instance=i", "1 = t0,t1,t2,t3"),
            ],
        ),
        // Stable, epoch 1.
        (
            "m 0",
            &[
                ("m 1", "1"),
                ("m 1 own=t0", "1"),
                ("m 1 own=t0 names=t timeout=10000", "1 = t0,t1,t2,t3"),
                ("m 2", "FENCED_MEMBER_EPOCH"),
                ("m 0", "1 = t0,t1,t2,t3"),
                ("n 1", "UNKNOWN_MEMBER_ID"),
                ("n -1", "UNKNOWN_MEMBER_ID"),
                ("m 1 instance=i", "UNKNOWN_MEMBER_ID"),
                ("m -1 instance=i", "UNKNOWN_MEMBER_ID"),
                ("m -2 instance=i", "UNKNOWN_MEMBER_ID"),
                ("m -1", "-1"),
                ("m 1 names=t,u own=t0,t1,t2,t3", "2 = t0,t1,t2,t3,u0,u1"),
                ("m 1 names=u own=t0,t1,t2,t3", "1 ="),
                ("m 1 names=u own=", "2 = u0,u1"),
                ("m 1 names= regex=[u] own=", "2 = u0,u1"),
                ("m 1 regex=( own=", "INVALID_REGULAR_EXPRESSION"),
                ("m 1 assignor=range", "1"),
                ("m 1 assignor=other", "UNSUPPORTED_ASSIGNOR"),
            ],
        ),
        // Epoch 2 after epoch 1: the answer with 2 may have been lost.
        (
            "m 0\nm 1 names=t,u own=t0,t1,t2,t3",
            &[
                ("m 2", "2"),
                ("m 1", "FENCED_MEMBER_EPOCH"),
                ("m 1 own=t0,t1", "2"),
                ("m 1 own=x0", "FENCED_MEMBER_EPOCH"),
                ("m 1 own=t0,t1 names=t,u timeout=10000", "2 = t0,t1,t2,t3,u0,u1"),
                ("m 3", "FENCED_MEMBER_EPOCH"),
            ],
        ),
        // m has to give t2 and t3 up.
        (
            "m 0\nn 0\nm 1 own=t0,t1,t2,t3",
            &[
                ("m 1", "1"),
                ("m 1 own=t0,t1,t2,t3", "1"),
                ("m 1 own=t0,t1,t2", "1"),
                ("m 1 own=t0,t1", "2"),
                ("m 1 own=", "2"),
                ("m 2", "FENCED_MEMBER_EPOCH"),
                ("m 0", "2 = t0,t1"),
                ("m 1 names=u own=t0,t1,t2,t3", "1 ="),
                ("m 1 names=u own=", "3 = u0,u1"),
                ("m -1", "-1"),
                ("n 2 own=", "2"),
                ("n 2 own= names=u", "3 = u0,u1"),
            ],
        ),
        // A static member.
        (
            "m 0 instance=i",
            &[
                ("m 1", "1"),
                ("m 1 instance=i", "1"),
                ("m 2 instance=i", "FENCED_MEMBER_EPOCH"),
                ("n 1 instance=i", "FENCED_INSTANCE_ID"),
                ("n 0 instance=i", "UNRELEASED_INSTANCE_ID"),
                ("m 0 instance=i", "UNRELEASED_INSTANCE_ID"),
                ("n -1 instance=i", "FENCED_INSTANCE_ID"),
                ("n -2 instance=i", "FENCED_INSTANCE_ID"),
                ("m -2 instance=i", "-2"),
                ("m -1 instance=i", "-1"),
                ("m -1", "-1"),
                ("m 1 instance=j", "UNKNOWN_MEMBER_ID"),
            ],
        ),
        // It left for a while.
        (
            "m 0 instance=i\nm -2 instance=i",
            &[
                ("n 0 instance=i", "1 = t0,t1,t2,t3"),
                ("m 0 instance=i", "1 = t0,t1,t2,t3"),
                ("n 0 instance=i names=u", "2 = u0,u1"),
                ("m 1 instance=i", "FENCED_MEMBER_EPOCH"),
                ("n 1 instance=i", "FENCED_INSTANCE_ID"),
                ("n 0", "2 ="),
                ("m -1 instance=i", "-1"),
            ],
        ),
        // A full group, one of it static and away.
        (
            "m 0 instance=i\nn 0\no 0\nm -2 instance=i",
            &[
                ("p 0", "GROUP_MAX_SIZE_REACHED"),
                ("p 1", "GROUP_MAX_SIZE_REACHED"),
                ("p 0 instance=j", "GROUP_MAX_SIZE_REACHED"),
                ("p -1", "UNKNOWN_MEMBER_ID"),
                ("n 0", "3 ="),
                ("p 0 instance=i", "3 = t0,t1"),
            ],
        ),
    ];
    for (state, heartbeats) in states {
        for (heartbeat, expected) in *heartbeats {
            let mut world = World::new();
            state.lines().for_each(|line| {
                world.run(line);
            });
            assert_eq!(world.run(heartbeat), *expected, "{heartbeat} after {state:?}");
        }
    }
}

#[test]
fn a_static_member_comes_back_to_what_it_had_and_nobody_notices() {
    let world = check(
        "m 0 instance=i -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         m 1 own=t0,t1 -> 2
         n 2 own= -> 2 = t2,t3
         m -2 instance=i -> -2
         n 2 -> 2
         k 0 instance=i -> 2 = t0,t1
         n 2 -> 2
         m 2 instance=i -> FENCED_INSTANCE_ID",
    );
    assert_eq!(world.group.state().phase().name(), "Stable");
    assert_eq!(world.group.state().epochs.group_epoch, 2);
}

#[test]
fn a_member_that_goes_silent_is_given_up_after_its_session() {
    check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         wait 44999
         n 2 own= -> 2
         wait 1 -> m Session
         n 2 own= -> 3 = t0,t1,t2,t3
         m 1 -> UNKNOWN_MEMBER_ID",
    );
}

#[test]
fn a_revocation_that_is_not_confirmed_in_time_removes_the_member() {
    check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         wait 9999
         m 1 own=t0,t1,t2,t3 -> 1
         m 1 own=t0,t1,t2,t3 names=t,u -> 1
         n 2 own= -> 3
         wait 1 -> m Rebalance
         n 3 own= -> 4 = t0,t1,t2,t3",
    );
}

#[test]
fn a_confirmed_revocation_stops_the_clock() {
    check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         m 1 own=t0,t1 -> 2
         wait 20000",
    );
}

#[test]
fn after_a_restart_everybody_has_the_full_time() {
    check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         wait 9000
         restart
         wait 9999
         n 2 -> 2
         wait 1 -> m Rebalance
         wait 34999
         restart
         wait 44999
         wait 1 -> n Session",
    );
}

#[test]
fn new_partitions_and_topics_are_handed_out() {
    check(
        "m 0 names=t,x -> 1 = t0,t1,t2,t3
         grow t 5
         m 1 -> 2 = t0,t1,t2,t3,t4
         grow x 1
         m 2 -> 3 = t0,t1,t2,t3,t4,x0
         grow y 1
         m 3 -> 3",
    );
}

#[test]
fn patterns_find_new_topics_but_not_more_often_than_they_may() {
    check(
        "m 0 no=names regex=[ux] -> 1 = u0,u1
         m 1 -> 1
         grow x 1
         m 1 -> 1
         wait 1000
         m 1 -> 2 = u0,u1,x0
         restart
         m 2 -> 2
         m 2 regex= own= -> 3 =",
    );
}

#[test]
fn the_assignor_is_the_one_most_members_prefer() {
    let mut world = World::new();
    let assignor = |world: &World| world.group.assignor(&world.settings);
    for (line, expected) in [
        ("m 0", Assignor::Uniform),
        ("n 0 assignor=range", Assignor::Range),
        ("o 0 assignor=uniform", Assignor::Uniform),
        ("m 0 assignor=range", Assignor::Range),
    ] {
        world.run(line);
        assert_eq!(assignor(&world), expected, "after {line}");
    }
}

#[test]
fn deleting_a_group_leaves_no_rows() {
    let mut world = World::new();
    world.run("m 0 instance=i regex=u");
    world.run("n 0");
    assert!(world.rows.len() > 5);
    let deletions: Vec<Change> = world.group.state().deletions();
    for change in &deletions {
        world.rows.remove(&change.row().key);
    }
    assert!(world.rows.is_empty(), "left: {:?}", world.rows);
}
