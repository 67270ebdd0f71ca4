//! Clients as they are: they send, wait, retry what was not answered, and never know more than they were told.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::auditor::{Auditor, Place, Sent};
use crate::engine::command::{Acks, Appended, Created, EngineGone, OffsetToCommit, Refused, TopicRef};
use crate::engine::tests::harness::*;
use crate::log::offsets::CommittedOffset;
use crate::producer::WINDOW_BATCHES;
use crate::record::build::BatchBuilder;
use crate::store::memory::MemoryStore;
use crate::types::{ErrorCode, LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Uuid};

const NAMES: [&str; 4] = ["a", "b", "c", "relaxed"];
const PRODUCERS: usize = 3;

/// What one producer has sent to one partition.
#[derive(Default)]
struct Lane {
    next_sequence: i32,
    unanswered: VecDeque<(Sent, BatchBuilder)>,
    answered: VecDeque<(Sent, BatchBuilder, Offset)>,
}

/// Something that is not answered yet.
enum Pending {
    /// New batch of a producer's lane.
    Batch {
        producer: usize,
        place: Place,
        answer: oneshot::Receiver<Vec<Appended>>,
    },
    /// Repeated batch, with the offset that it was answered with before.
    Retry {
        place: Place,
        base_offset: Offset,
        answer: oneshot::Receiver<Vec<Appended>>,
    },
    /// Batch without a producer, acks=all.
    Plain {
        sent: Sent,
        relaxed: bool,
        answer: oneshot::Receiver<Vec<Appended>>,
    },
    Created(JoinHandle<Result<Vec<Result<Created, Refused>>, EngineGone>>),
    Deleted(JoinHandle<Result<Vec<Result<Created, Refused>>, EngineGone>>),
    Committed {
        group: String,
        partition: PartitionId,
        offset: i64,
        done: JoinHandle<Result<(), EngineGone>>,
    },
    RecordsDeleted {
        place: Place,
        done: JoinHandle<Result<Result<Offset, Refused>, EngineGone>>,
    },
    ProducerId(JoinHandle<Result<(ProducerId, ProducerEpoch), EngineGone>>),
}

pub struct World {
    random: u64,
    broker: TestEngine,
    auditor: Auditor,
    producer_ids: Vec<ProducerId>,
    /// Ordered, so that a seed repeats itself.
    lanes: BTreeMap<(usize, Place), Lane>,
    pending: Vec<Pending>,
    next_number: u64,
    /// Whether syncs are held back: answers pile up. Otherwise each step ends when all is heard.
    held: bool,
}

impl World {
    pub async fn run(seed: u64, steps: usize) {
        let settings = crate::engine::settings::Settings { tail_cache_bytes: 2000, ..settings() };
        let broker = TestEngine::start_on(MemoryStore::new(), TestTime::new(seed), settings);
        let mut world = Self {
            random: seed,
            broker,
            auditor: Auditor::default(),
            producer_ids: Vec::new(),
            lanes: BTreeMap::new(),
            pending: Vec::new(),
            next_number: 0,
            held: false,
        };
        for _ in 0..PRODUCERS {
            let (id, _) = world.broker.engine().init_producer_id().await.expect("answered");
            world.auditor.given(id);
            world.producer_ids.push(id);
        }
        for _ in 0..steps {
            world = world.step().await;
            if !world.held {
                world.settle().await;
            }
        }
        world.settle().await;
        world.broker = world.broker.restart().await;
        world.auditor.look(&world.broker, false).await;
        world.auditor.look_at_commits(&world.broker);
    }

    fn roll(&mut self, sides: u64) -> u64 {
        next_random(&mut self.random) % sides
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).expect("small")
    }

    async fn step(mut self) -> Self {
        match self.roll(100) {
            0..=34 => self.burst().await,
            35..=44 => self.retry(),
            45..=52 => self.create().await,
            53..=54 => self.delete().await,
            55..=62 => self.commit().await,
            63..=65 => self.delete_records().await,
            66..=68 => self.ask_producer_id().await,
            69..=76 => {
                self.held = true;
                self.broker.store.syncs.hold();
            }
            77..=84 => self.settle().await,
            85..=87 => self.broker.time.advance(30_000),
            88..=94 => self.auditor.look(&self.broker, false).await,
            95..=96 => {
                self.settle().await;
                self.broker = self.broker.restart().await;
                self.auditor.look(&self.broker, false).await;
                self.auditor.look_at_commits(&self.broker);
            }
            97 => self = self.die(usize::MAX).await,
            _ => {
                let unsynced = self.broker.store.memory.unsynced_writes();
                let keep = self.index(unsynced + 1);
                self = self.die(keep).await;
            }
        }
        self
    }

    fn places(&self) -> Vec<(Place, PartitionId, bool)> {
        let topics = self.broker.started.catalog.topics();
        let partitions = topics.by_name.values().flat_map(|topic| {
            let place = |partition: &PartitionId| ((topic.id, partition.index), *partition, topic.config.is_relaxed());
            topic.partitions.iter().map(move |partition| place(&partition.id))
        });
        partitions.collect()
    }

    fn pick_place(&mut self) -> Option<(Place, PartitionId, bool)> {
        let places = self.places();
        if places.is_empty() { None } else { Some(places[self.index(places.len())]) }
    }

    /// Several batches that the writer finds queued together.
    async fn burst(&mut self) {
        let engine = self.broker.engine().clone();
        let held = engine.0.asker.seat.hold();
        for _ in 0..=self.roll(5) {
            if let Some((place, id, relaxed)) = self.pick_place() {
                // Idempotent producers ask for acks=all, and a relaxed topic may lose what it acknowledged.
                if relaxed || self.roll(4) == 0 { self.send_plain(place, id, relaxed) } else { self.send(place, id) }
            }
        }
        drop(held);
        self.broker.written().await;
    }

    fn batch(&mut self, place: Place, producer: Option<usize>) -> (Sent, BatchBuilder) {
        let number = self.next_number;
        self.next_number += 1;
        let value = format!("batch {number}");
        let values = vec![value.as_str(); 1 + self.index(3)];
        (Sent { number, place, producer }, plain(&values))
    }

    fn send_plain(&mut self, place: Place, id: PartitionId, relaxed: bool) {
        let (sent, batch) = self.batch(place, None);
        self.auditor.sent(batch.build().to_vec(), sent.clone());
        let acks = if self.roll(2) == 0 { Acks::All } else { Acks::Leader };
        let answer = self.broker.engine().append(acks, vec![to(id, &batch)]);
        if acks == Acks::All {
            self.pending.push(Pending::Plain { sent, relaxed, answer });
        }
    }

    fn send(&mut self, place: Place, id: PartitionId) {
        let producer = self.index(PRODUCERS);
        if self.lanes.get(&(producer, place)).is_some_and(|lane| lane.unanswered.len() == WINDOW_BATCHES) {
            return;
        }
        let (sent, batch) = self.batch(place, Some(producer));
        let lane = self.lanes.entry((producer, place)).or_default();
        let batch = batch.producer(self.producer_ids[producer], ProducerEpoch(0), lane.next_sequence);
        let append = to(id, &batch);
        lane.next_sequence += append.header.record_count;
        self.auditor.sent(append.bytes.to_vec(), sent.clone());
        lane.unanswered.push_back((sent, batch));
        let answer = self.broker.engine().append(Acks::All, vec![append]);
        self.pending.push(Pending::Batch { producer, place, answer });
    }

    /// Sends a batch again that was answered and is still among the last five.
    fn retry(&mut self) {
        let Some((place, id, _)) = self.pick_place() else { return };
        let producer = self.index(PRODUCERS);
        let Some(lane) = self.lanes.get(&(producer, place)) else { return };
        let remembered = (WINDOW_BATCHES - lane.unanswered.len()).min(lane.answered.len());
        if remembered == 0 {
            return;
        }
        let back = 1 + usize::try_from(next_random(&mut self.random) % remembered as u64).expect("small");
        let (_, batch, base_offset) = &lane.answered[lane.answered.len() - back];
        let answer = self.broker.engine().append(Acks::All, vec![to(id, batch)]);
        self.pending.push(Pending::Retry { place, base_offset: *base_offset, answer });
    }

    async fn create(&mut self) {
        let name = NAMES[self.index(NAMES.len())];
        let overrides: &[_] = if name == "relaxed" { &[("flush.messages", "1000")] } else { &[] };
        let topic = new_topic(name, 1 + u32::try_from(self.roll(2)).expect("small"), overrides);
        let engine = self.broker.engine().clone();
        let done = tokio::spawn(async move { engine.create_topics(vec![topic], false).await });
        self.queued(Pending::Created(done)).await;
    }

    async fn delete(&mut self) {
        let name = NAMES[self.index(NAMES.len())].to_owned();
        let engine = self.broker.engine().clone();
        let done = tokio::spawn(async move { engine.delete_topics(vec![TopicRef::Name(name)]).await });
        self.queued(Pending::Deleted(done)).await;
    }

    async fn commit(&mut self) {
        let Some((_, partition, _)) = self.pick_place() else { return };
        let group = ["g", "h"][self.index(2)].to_owned();
        let offset = i64::try_from(self.next_number).expect("small");
        self.next_number += 1;
        self.auditor.commit_offered(&group, partition, offset);
        let committed = CommittedOffset {
            offset,
            leader_epoch: LeaderEpoch(-1),
            metadata: String::new(),
            commit_timestamp: 0,
            expire_timestamp: -1,
        };
        let engine = self.broker.engine().clone();
        let commit = vec![OffsetToCommit { partition, committed }];
        let group_id = group.clone();
        let done =
            tokio::spawn(
                async move { engine.commit_offsets(group_id, commit).await.map(drop).map_err(|_| EngineGone) },
            );
        self.queued(Pending::Committed { group, partition, offset, done }).await;
    }

    async fn delete_records(&mut self) {
        let Some((place, partition, relaxed)) = self.pick_place() else { return };
        if relaxed {
            // What a power cut takes from a relaxed topic may lie beyond the log start that was told.
            return;
        }
        let readable = self.broker.started.catalog.topic_by_id(place.0).map_or(0, |topic| {
            let index = usize::try_from(place.1).expect("small");
            topic.partitions[index].offsets().high_watermark
        });
        let before = i64::try_from(self.roll(readable.unsigned_abs() + 1)).expect("small");
        let engine = self.broker.engine().clone();
        let done = tokio::spawn(async move { engine.delete_records(partition, before).await });
        self.queued(Pending::RecordsDeleted { place, done }).await;
    }

    async fn ask_producer_id(&mut self) {
        let engine = self.broker.engine().clone();
        let done = tokio::spawn(async move { engine.init_producer_id().await });
        self.queued(Pending::ProducerId(done)).await;
    }

    /// Lets the task queue its command before the next step does.
    async fn queued(&mut self, pending: Pending) {
        tokio::task::yield_now().await;
        self.pending.push(pending);
        self.broker.written().await;
    }

    /// Lets syncs go and hears all answers.
    async fn settle(&mut self) {
        self.held = false;
        self.broker.store.syncs.open();
        // An answer that waits for a sync, so that what waits for none is in force as well.
        self.broker.engine().delete_topics(Vec::new()).await.expect("answered");
        let mut deleted = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Batch { producer, place, answer } => {
                    let appended = answer.await.expect("answered").remove(0);
                    self.hear_batch(producer, place, &appended);
                }
                Pending::Retry { place, base_offset, answer } => {
                    let appended = answer.await.expect("answered").remove(0);
                    if appended.error != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
                        assert_eq!((appended.error, appended.base_offset), (ErrorCode::NONE, base_offset), "{place:?}");
                    }
                }
                Pending::Plain { sent, relaxed, answer } => {
                    let appended = answer.await.expect("answered").remove(0);
                    if appended.error.is_none() && !relaxed {
                        self.auditor.acked(&sent, appended.base_offset);
                    }
                }
                Pending::Created(done) => drop(done.await.expect("no panic").expect("answered")),
                Pending::Deleted(done) => {
                    let gone = done.await.expect("no panic").expect("answered");
                    deleted.extend(gone.into_iter().flatten().map(|topic| topic.id));
                }
                Pending::Committed { group, partition, offset, done } => {
                    done.await.expect("no panic").expect("answered");
                    self.auditor.commit_told(&group, partition, offset);
                }
                Pending::RecordsDeleted { place, done } => {
                    if let Ok(log_start) = done.await.expect("no panic").expect("answered") {
                        self.auditor.log_start_told(place, log_start);
                    }
                }
                Pending::ProducerId(done) => {
                    self.auditor.given(done.await.expect("no panic").expect("answered").0);
                }
            }
        }
        deleted.into_iter().for_each(|topic| self.forget(topic));
        self.auditor.look(&self.broker, false).await;
        self.auditor.look_at_commits(&self.broker);
    }

    fn forget(&mut self, topic: Uuid) {
        self.auditor.deleted(topic);
        self.lanes.retain(|(_, place), _| place.0 != topic);
    }

    fn hear_batch(&mut self, producer: usize, place: Place, appended: &Appended) {
        let lane = self.lanes.get_mut(&(producer, place)).expect("kept until the topic goes");
        let (sent, batch) = lane.unanswered.pop_front().expect("answers come in order");
        if appended.error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
            return;
        }
        assert_eq!(appended.error, ErrorCode::NONE, "batch {} of {place:?}: {:?}", sent.number, appended.message);
        self.auditor.acked(&sent, appended.base_offset);
        lane.answered.push_back((sent, batch, appended.base_offset));
    }

    /// The broker dies and comes back; clients send again what was not answered.
    async fn die(mut self, keep_unsynced: usize) -> Self {
        self.pending.clear();
        self.held = false;
        self.broker = self.broker.crash(keep_unsynced);
        // Deletions that were not answered may or may not have come to pass.
        let living: Vec<_> = self.broker.started.catalog.topics().by_id.keys().copied().collect();
        self.lanes.retain(|(_, place), _| living.contains(&place.0));
        self.auditor.look(&self.broker, true).await;
        self.auditor.look_at_commits(&self.broker);
        let lanes: Vec<_> = self.lanes.iter().map(|(key, lane)| (*key, lane.unanswered.clone())).collect();
        for ((producer, place), unanswered) in lanes {
            let topic = self.broker.started.catalog.topic_by_id(place.0).expect("living");
            let id = PartitionId { topic: topic.no, index: place.1 };
            for (_, batch) in unanswered {
                let answer = self.broker.engine().append(Acks::All, vec![to(id, &batch)]);
                let appended = answer.await.expect("answered").remove(0);
                self.hear_batch(producer, place, &appended);
            }
        }
        self.auditor.look(&self.broker, false).await;
        self
    }
}
