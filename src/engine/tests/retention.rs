//! Retention against a list of batches with their times and sizes, under restarts, power cuts and jumps of the clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::harness::*;
use crate::engine::command::{Acks, Command, Compaction, LogStart};
use crate::engine::retention::Passes;
use crate::engine::settings::Settings;
use crate::record::build::BatchBuilder;
use crate::store::Store;
use crate::store::schema::{PartitionRow, RowValue, log_prefix, partition_key, sparse_prefix};
use crate::types::{ErrorCode, Offset, Timestamp};

const HOUR: Timestamp = 3_600_000;

fn batch_at(timestamp: Timestamp, value_bytes: usize) -> BatchBuilder {
    BatchBuilder::new().record(timestamp, None, Some(&vec![0; value_bytes]))
}

#[derive(Debug, Clone)]
enum Step {
    /// A batch from so long ago (negative: from the future); none: without a time.
    Append {
        age_ms: Option<Timestamp>,
        value_bytes: usize,
    },
    Pass,
    Advance(Timestamp),
    /// `retention.ms` and `retention.bytes`, and whether the policy is to delete at all. Bytes below -1 are those of so many batches
    /// at the end, and one.
    Configure {
        retention_ms: Timestamp,
        retention_bytes: i64,
        deletes: bool,
    },
    DeleteRecords {
        per_mille: i64,
    },
    Restart,
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    let age = prop_oneof![
        4 => (-HOUR..4 * HOUR).prop_map(Some),
        4 => Just(Some(0)),
        1 => Just(None),
    ];
    prop_oneof![
        // Large enough that entries of the sparse index come about.
        10 => (age, prop_oneof![3 => 0usize..2000, 1 => 300_000usize..600_000])
            .prop_map(|(age_ms, value_bytes)| Step::Append { age_ms, value_bytes }),
        4 => Just(Step::Pass),
        3 => (0..2 * HOUR).prop_map(Step::Advance),
        2 => (
            prop_oneof![1 => Just(-1), 4 => 0..4 * HOUR],
            prop_oneof![2 => Just(-1), 1 => 0i64..10_000, 2 => 0i64..4_000_000, 2 => -6i64..-2],
            prop::bool::weighted(0.9),
        ).prop_map(|(retention_ms, retention_bytes, deletes)| Step::Configure { retention_ms, retention_bytes, deletes }),
        1 => (0i64..1000).prop_map(|per_mille| Step::DeleteRecords { per_mille }),
        1 => Just(Step::Restart),
        1 => Just(Step::PowerCut),
    ]
}

/// A batch that was accepted.
struct Accepted {
    last_offset: Offset,
    bytes: i64,
    timestamp: Timestamp,
}

struct Model {
    broker: TestEngine,
    passes: Passes,
    log: Vec<Accepted>,
    log_start: Offset,
    retention_ms: Timestamp,
    retention_bytes: i64,
    deletes: bool,
}

impl Model {
    async fn new() -> Self {
        // The time is stored with each round, so that a power cut is no time without a broker.
        let broker = TestEngine::start_with(Settings { producer_id_check_interval_ms: 0, ..settings() });
        broker.create("t", &[("retention.ms", "3600000")]).await;
        let passes = broker.retention();
        Self { broker, passes, log: Vec::new(), log_start: 0, retention_ms: HOUR, retention_bytes: -1, deletes: true }
    }

    fn log_end(&self) -> Offset {
        self.log.last().map_or(0, |batch| batch.last_offset + 1)
    }

    async fn run(mut self, step: Step) -> Self {
        match step {
            Step::Append { age_ms, value_bytes } => {
                let timestamp = age_ms.map_or(-1, |age_ms| self.broker.time.now() - age_ms);
                let batch = batch_at(timestamp, value_bytes);
                let (bytes, last_offset) = (batch.build().len() as i64, self.log_end());
                assert_eq!(self.broker.append("t", batch).await.base_offset, last_offset);
                self.log.push(Accepted { last_offset, bytes, timestamp });
            }
            Step::Pass => {
                pass(&mut self.passes);
                self.log_start = self.expected_log_start();
            }
            Step::Advance(ms) => self.broker.time.advance(ms),
            Step::Configure { retention_ms, retention_bytes, deletes } => {
                let of_last = |count| self.log.iter().rev().take(count).map(|batch| batch.bytes).sum();
                let retention_bytes = usize::try_from(-1 - retention_bytes)
                    .ok()
                    .filter(|count| *count > 0)
                    .map_or(retention_bytes, of_last);
                (self.retention_ms, self.retention_bytes, self.deletes) = (retention_ms, retention_bytes, deletes);
                let policy = if deletes { "compact,delete" } else { "compact" };
                let overrides = [
                    ("cleanup.policy", policy.to_owned()),
                    ("retention.ms", retention_ms.to_string()),
                    ("retention.bytes", retention_bytes.to_string()),
                ];
                let overrides: BTreeMap<_, _> = overrides.map(|(name, text)| (name.to_owned(), text)).into();
                let set = self.broker.engine().set_topic_overrides(self.broker.no("t"), overrides).await;
                assert_eq!(set, Ok(Ok(())));
            }
            Step::DeleteRecords { per_mille } => {
                let before = self.log_end() * per_mille / 1000;
                let deleted = self.broker.engine().delete_records(self.broker.partition("t").id, before).await;
                self.log_start = self.log_start.max(before);
                assert_eq!(deleted, Ok(Ok(self.log_start)));
            }
            Step::Restart => {
                self.broker = self.broker.restart().await;
                self.passes = self.broker.retention();
            }
            Step::PowerCut => {
                self.broker.engine().init_producer_id().await.expect("answered");
                self.broker = self.broker.crash(0);
                self.passes = self.broker.retention();
            }
        }
        self.check().await;
        self
    }

    /// As the rules say, of whole batches, from the front.
    fn expected_log_start(&self) -> Offset {
        if !self.deletes {
            return self.log_start;
        }
        let oldest = (self.retention_ms >= 0).then(|| self.broker.time.now() - self.retention_ms);
        let left = |from: usize| self.log[from..].iter().map(|batch| batch.bytes).sum::<i64>();
        let first = self.log.iter().take_while(|batch| batch.last_offset < self.log_start).count();
        let mut goes = first;
        for (index, batch) in self.log.iter().enumerate().skip(first) {
            let is_old = batch.timestamp >= 0 && oldest.is_some_and(|oldest| batch.timestamp < oldest);
            let is_too_much = self.retention_bytes >= 0 && left(index + 1) >= self.retention_bytes;
            match is_old || is_too_much {
                true => goes = index + 1,
                // Without a time it goes with a younger one that is old.
                false if batch.timestamp < 0 => {}
                false => break,
            }
        }
        if goes == first { self.log_start } else { self.log[goes - 1].last_offset + 1 }
    }

    async fn check(&self) {
        let offsets = self.broker.offsets("t");
        assert_eq!((offsets.log_start, offsets.log_end), (self.log_start, self.log_end()));
        let kept = self.log.iter().filter(|batch| batch.last_offset >= self.log_start);
        let partition = self.broker.partition("t");
        assert_eq!(partition.size_bytes(), kept.clone().map(|batch| batch.bytes as u64).sum::<u64>());
        let read = self.broker.read("t").await;
        let read: Vec<_> = read.iter().map(|batch| batch.last_offset).collect();
        assert_eq!(read, kept.map(|batch| batch.last_offset).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn what_goes_is_what_the_list_of_batches_says(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new().await;
            for step in steps {
                model = model.run(step).await;
            }
        });
    }

    /// Whatever the wall clock does and however often the broker is killed.
    #[test]
    fn what_is_younger_than_retention_by_the_time_that_passed_is_never_deleted(
        steps in prop::collection::vec((0..HOUR / 2, prop::option::weighted(0.3, -100_000 * HOUR..100_000 * HOUR), any::<bool>()), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut broker = TestEngine::start();
            broker.create("t", &[("retention.ms", &HOUR.to_string())]).await;
            let mut passes = broker.retention();
            let mut true_ms = 0;
            let mut appended = Vec::new();
            for (advance_ms, jump_ms, is_restarted) in steps {
                broker.append("t", batch_at(broker.time.now(), 10)).await;
                appended.push(true_ms);
                broker.time.advance(advance_ms);
                true_ms += advance_ms;
                if is_restarted {
                    broker = broker.restart().await;
                    passes = broker.retention();
                }
                let jump_ms = jump_ms.filter(|jump_ms| broker.time.now() + jump_ms > 0);
                broker.time.jump(jump_ms.unwrap_or(0));
                pass(&mut passes);
                let first_kept = appended.iter().position(|at| true_ms - at <= HOUR).expect("the last is young");
                assert!(broker.offsets("t").log_start <= first_kept as Offset);
            }
        });
    }
}

#[tokio::test]
async fn after_a_jump_ahead_all_goes_once_its_time_has_passed() {
    let broker = TestEngine::start();
    broker.create("t", &[("retention.ms", &HOUR.to_string())]).await;
    let mut passes = broker.retention();
    broker.append("t", batch_at(broker.time.now(), 10)).await;
    broker.time.jump(1_000_000 * HOUR);
    broker.append("t", batch_at(broker.time.now(), 10)).await;
    pass(&mut passes);
    assert_eq!(broker.offsets("t").log_start, 0);
    broker.time.advance(HOUR + 1);
    pass(&mut passes);
    assert_eq!(broker.offsets("t").log_start, 2);
}

#[tokio::test]
async fn nothing_beyond_the_high_watermark_goes_and_an_open_transaction_holds_nothing() {
    let broker = TestEngine::start();
    broker.create("t", &[("retention.bytes", "0"), ("retention.ms", "-1")]).await;
    let mut passes = broker.retention();
    broker.append("t", transactional(7, 0, 0, &["a"])).await;
    broker.store.syncs.hold();
    let unsynced = broker.send("t", Acks::All, plain(&["b"]));
    broker.written().await;
    // A look waits for the sync of what it moves, so it goes on beside this.
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| passes.pass(&crate::engine::background::Ending::never()));
        let key = partition_key(broker.partition("t").id);
        let written =
            || PartitionRow::decode(&broker.store.get(&key).expect("reads").expect("written")).expect("decodes");
        while written().log_start == 0 {
            std::thread::yield_now();
        }
        assert_eq!(broker.offsets("t").log_start, 0, "not before it is durable");
        broker.store.syncs.open();
        looking.join().expect("no panic");
    });
    assert_eq!(unsynced.await.expect("answered")[0].error, ErrorCode::NONE);
    let offsets = broker.offsets("t");
    assert_eq!((offsets.log_start, offsets.last_stable_offset, offsets.log_end), (1, 1, 2));
    // The producer is known all the same, and its transaction ends.
    broker.end(&["t"], 7, 0, crate::types::TransactionResult::Abort).await;
    let retried = broker.append("t", transactional(7, 0, 1, &["c"])).await;
    assert_eq!(retried.error, ErrorCode::NONE);
}

#[tokio::test]
async fn rows_go_once_they_are_worth_it_and_their_space_is_reclaimed() {
    let broker = TestEngine::start();
    broker.create("t", &[("retention.bytes", "0"), ("retention.ms", "-1")]).await;
    let id = broker.partition("t").id;
    let mut passes = broker.retention();
    broker.append("t", batch_at(broker.time.now(), 600_000)).await;
    pass(&mut passes);
    broker.idle_round();
    assert_eq!(rows(&broker, &log_prefix(id)), 1, "too little to be worth it");
    assert_eq!(broker.offsets("t").log_start, 1);
    for _ in 0..3 {
        broker.append("t", batch_at(broker.time.now(), 600_000)).await;
    }
    pass(&mut passes);
    let (from, to) = broker.store.wait_until_reclaimed(1).remove(0);
    assert!(from < to);
    assert_eq!(rows(&broker, &log_prefix(id)) + rows(&broker, &sparse_prefix(Some(id))), 0);
    let topic = broker.started.catalog.topic("t").expect("exists");
    let deleted = topic.traffic.deleted_by_size_bytes.load(Ordering::Relaxed);
    assert_eq!(deleted, broker.partition("t").start_bytes());
}

#[tokio::test]
async fn a_limit_that_has_been_changed_no_longer_counts() {
    let broker = TestEngine::start();
    broker.create("t", &[("retention.bytes", "0"), ("retention.ms", "-1")]).await;
    broker.append("t", plain(&["a"])).await;
    let partition = broker.partition("t").id;
    let start = LogStart { partition, seen: (0, 0), next: (1, 1), limits: (-1, 0), old_bytes: 0 };
    let asker = broker.asker();
    let moves = |start: LogStart| {
        let ask = || asker.ask(|reply| Command::MoveLogStarts { starts: vec![start], reply });
        std::thread::scope(|scope| scope.spawn(ask).join().expect("no panic")).expect("answered")
    };
    let compacts = || {
        let compaction = Compaction::Forget(Vec::new());
        let ask = || asker.ask(|reply| Command::Compact { partition, compaction, reply });
        std::thread::scope(|scope| scope.spawn(ask).join().expect("no panic")).expect("answered")
    };
    let configure = async |policy: &str, bytes: &str| {
        let overrides = [("cleanup.policy", policy), ("retention.ms", "-1"), ("retention.bytes", bytes)];
        let overrides = overrides.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        assert_eq!(broker.engine().set_topic_overrides(broker.no("t"), overrides).await, Ok(Ok(())));
    };
    configure("compact", "0").await;
    assert_eq!(moves(start), [false], "to be deleted no more");
    assert!(compacts());
    configure("delete", "5").await;
    assert_eq!(moves(start), [false], "other limits than those that were looked at");
    assert!(!compacts());
    configure("delete", "0").await;
    assert_eq!(moves(start), [true]);
    assert_eq!(broker.offsets("t").log_start, 1);
}

#[tokio::test]
async fn a_log_start_is_not_moved_by_what_was_looked_at_before_it_moved_or_bytes_went() {
    let broker = TestEngine::start();
    let configs = [("cleanup.policy", "compact,delete"), ("retention.ms", "-1"), ("min.cleanable.dirty.ratio", "0")];
    broker.create("t", &configs).await;
    for _ in 0..3 {
        broker.append("t", BatchBuilder::new().record(START_TIME, Some(b"a"), Some(b"1"))).await;
    }
    compact(&mut broker.cleaner());
    let (partition, size_bytes) = (broker.partition("t").id, broker.partition("t").start_bytes());
    assert!(size_bytes > 0, "one has gone");
    let asker = broker.asker();
    let moves = |seen| {
        let start = LogStart { partition, seen, next: (2, 2 * size_bytes), limits: (-1, -1), old_bytes: 0 };
        let ask = || asker.ask(|reply| Command::MoveLogStarts { starts: vec![start], reply });
        std::thread::scope(|scope| scope.spawn(ask).join().expect("no panic")).expect("answered")
    };
    assert_eq!(moves((0, 0)), [false], "before bytes went");
    assert_eq!(moves((1, size_bytes)), [false], "another log start");
    assert_eq!(broker.offsets("t").log_start, 0);
    assert_eq!(moves((0, size_bytes)), [true]);
    assert_eq!((broker.offsets("t").log_start, broker.partition("t").size_bytes()), (2, size_bytes));
}

#[tokio::test]
async fn bytes_are_counted_by_what_they_went_for() {
    let broker = TestEngine::start();
    let batch = |age_ms| batch_at(broker.time.now() - age_ms, 100);
    let size_bytes = batch(0).build().len() as u64;
    let hour = HOUR.to_string();
    broker.create("t", &[("retention.ms", &hour)]).await;
    for age_ms in [HOUR + 1, HOUR + 1, 0, 0] {
        broker.append("t", batch(age_ms)).await;
    }
    let mut passes = broker.retention();
    for (bytes, log_start, expected) in [("-1", 2, (2, 0)), (&*size_bytes.to_string(), 3, (2, 1))] {
        let overrides = texts(&[("retention.ms", &hour), ("retention.bytes", bytes)]);
        assert_eq!(broker.engine().set_topic_overrides(broker.no("t"), overrides).await, Ok(Ok(())));
        pass(&mut passes);
        assert_eq!(broker.offsets("t").log_start, log_start);
        let topic = broker.started.catalog.topic("t").expect("exists");
        let count = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed) / size_bytes;
        let traffic = &topic.traffic;
        let counts = (count(&traffic.deleted_by_time_bytes), count(&traffic.deleted_by_size_bytes));
        assert_eq!(counts, expected, "{bytes}");
    }
}

#[tokio::test]
async fn what_is_kept_for_longer_than_all_else_survives_a_jump_for_as_long() {
    let month_ms = 30 * 24 * HOUR;
    let broker = TestEngine::start();
    broker.create("t", &[("retention.ms", &month_ms.to_string())]).await;
    let mut passes = broker.retention();
    broker.append("t", batch_at(broker.time.now(), 10)).await;
    broker.time.jump(2 * month_ms);
    // Each day is looked at, as the writer does.
    for _ in 0..29 {
        broker.time.advance(24 * HOUR);
        broker.written().await;
        pass(&mut passes);
        assert_eq!(broker.offsets("t").log_start, 0);
    }
    broker.time.advance(24 * HOUR + 1);
    pass(&mut passes);
    assert_eq!(broker.offsets("t").log_start, 1);
}
