//! Transactions against a list: whatever several producers write and end over two partitions, and wherever the power goes, a reader of
//! committed records sees what a walk over the list says, and no transaction is torn.

use proptest::prelude::*;

use super::harness::*;
use crate::engine::command::Acks;
use crate::engine::settings::Settings;
use crate::transaction::TransactionVersion;
use crate::types::{Offset, TransactionResult};

const TOPICS: [&str; 2] = ["a", "b"];
const PRODUCERS: i64 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A batch of so many records, as part of a transaction or not.
    Append {
        topic: usize,
        producer: i64,
        records: usize,
        transactional: bool,
    },
    /// A marker in both partitions, whether there is data or not.
    End {
        producer: i64,
        result: TransactionResult,
    },
    /// Deletes up to a place in the log, given in per mille.
    DeleteRecords {
        topic: usize,
        before: usize,
    },
    /// Reads from a place in the log, given in per mille.
    Read {
        topic: usize,
        from: usize,
    },
    HoldSyncs,
    OpenSyncs,
    Restart,
    /// A power cut that leaves so many of the unsynced writes.
    PowerCut {
        keep: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let result = prop_oneof![Just(TransactionResult::Commit), Just(TransactionResult::Abort)];
    prop_oneof![
        8 => (0..2usize, 0..PRODUCERS, 1usize..4, prop::bool::weighted(0.8)).prop_map(
            |(topic, producer, records, transactional)| Step::Append { topic, producer, records, transactional }
        ),
        4 => (0..PRODUCERS, result).prop_map(|(producer, result)| Step::End { producer, result }),
        1 => (0..2usize, 0usize..1001).prop_map(|(topic, before)| Step::DeleteRecords { topic, before }),
        2 => (0..2usize, 0usize..1000).prop_map(|(topic, from)| Step::Read { topic, from }),
        1 => Just(Step::HoldSyncs),
        1 => Just(Step::OpenSyncs),
        1 => Just(Step::Restart),
        2 => (0usize..6).prop_map(|keep| Step::PowerCut { keep }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Data { transactional: bool, epoch: i16 },
    Marker(TransactionResult),
}

/// One batch of the list.
#[derive(Debug, Clone, Copy)]
struct Entry {
    base_offset: Offset,
    records: usize,
    producer: i64,
    what: What,
}

impl Entry {
    fn end(&self) -> Offset {
        self.base_offset + self.records as Offset
    }
}

#[derive(Debug, Default)]
struct Log {
    entries: Vec<Entry>,
    log_start: Offset,
}

impl Log {
    fn end(&self) -> Offset {
        self.entries.last().map_or(0, Entry::end)
    }

    fn push(&mut self, producer: i64, records: usize, what: What) {
        self.entries.push(Entry { base_offset: self.end(), records, producer, what });
    }

    /// How the transaction ended that the batch at `index` belongs to; none while it is open.
    fn outcome(&self, index: usize) -> Option<TransactionResult> {
        let producer = self.entries[index].producer;
        self.entries[index..].iter().filter(|entry| entry.producer == producer).find_map(|entry| match entry.what {
            What::Marker(result) => Some(result),
            What::Data { .. } => None,
        })
    }

    fn is_of_transaction(&self, index: usize) -> bool {
        matches!(self.entries[index].what, What::Data { transactional: true, .. })
    }

    fn is_open(&self, producer: i64) -> bool {
        let mut own = self.entries.iter().enumerate().filter(|(_, entry)| entry.producer == producer);
        own.any(|(index, _)| self.is_of_transaction(index) && self.outcome(index).is_none())
    }

    fn last_stable_offset(&self) -> Offset {
        let open =
            (0..self.entries.len()).find(|index| self.is_of_transaction(*index) && self.outcome(*index).is_none());
        open.map_or(self.end(), |index| self.entries[index].base_offset).max(self.log_start)
    }

    /// Base offsets of what counts in `[from, to)`.
    fn committed(&self, from: Offset, to: Offset) -> Vec<Offset> {
        let counts = |index: usize| match self.entries[index].what {
            What::Marker(_) => false,
            What::Data { transactional: false, .. } => true,
            What::Data { .. } => self.outcome(index) == Some(TransactionResult::Commit),
        };
        let entries = self.entries.iter().enumerate();
        let within = entries.filter(|(_, entry)| entry.end() > from && entry.end() <= to);
        within.filter(|(index, _)| counts(*index)).map(|(_, entry)| entry.base_offset).collect()
    }
}

struct Model {
    broker: TestEngine,
    version: TransactionVersion,
    logs: [Log; 2],
    held: bool,
    ending: Vec<tokio::task::JoinHandle<()>>,
}

impl Model {
    async fn new(tail_cache_bytes: usize, version: TransactionVersion) -> Self {
        let broker = TestEngine::start_with(Settings { tail_cache_bytes, ..settings() });
        for topic in TOPICS {
            broker.create(topic, &[]).await;
        }
        Self { broker, version, logs: Default::default(), held: false, ending: Vec::new() }
    }

    /// Version 2 raises it with each end.
    fn epoch(&self, producer: i64) -> i16 {
        let ends = self.logs[0].entries.iter().filter(|entry| entry.producer == producer);
        let ends = ends.filter(|entry| matches!(entry.what, What::Marker(_))).count();
        if self.version == TransactionVersion::V2 { i16::try_from(ends).expect("few") } else { 0 }
    }

    fn next_sequence(&self, topic: usize, producer: i64) -> i32 {
        let current = self.epoch(producer);
        let sent = self.logs[topic].entries.iter().filter(|entry| entry.producer == producer);
        let sent = sent.filter(|entry| matches!(entry.what, What::Data { epoch, .. } if epoch == current));
        i32::try_from(sent.map(|entry| entry.records).sum::<usize>()).expect("small")
    }

    fn place(&self, topic: usize, per_mille: usize) -> Offset {
        let records = usize::try_from(self.logs[topic].end()).expect("not negative");
        Offset::try_from(records * per_mille / 1000).expect("small").max(self.logs[topic].log_start)
    }

    async fn open_syncs(&mut self) {
        self.held = false;
        self.broker.store.syncs.open();
        // A round trip that waits for a sync: all that was written before is seen now.
        self.broker.engine().init_producer_id().await.expect("answered");
        for ending in self.ending.drain(..) {
            ending.await.expect("answered");
        }
    }

    async fn append(&mut self, topic: usize, producer: i64, records: usize, transactional: bool) {
        // Only as the protocol allows: what it refuses is tested as a table.
        let transactional = transactional || self.logs[topic].is_open(producer);
        let (epoch, sequence) = (self.epoch(producer), self.next_sequence(topic, producer));
        let values = vec!["value"; records];
        let batch = super::harness::transactional(producer, epoch, sequence, &values);
        let batch = if transactional {
            batch
        } else {
            plain(&values).producer(producer_id(producer), epoch_of(epoch), sequence)
        };
        let base_offset = self.logs[topic].end();
        for _ in 0..2 {
            // The second time it is a retry.
            let answer = self.broker.send(TOPICS[topic], Acks::Leader, batch.clone()).await.expect("answered");
            assert_eq!((answer[0].error.0, answer[0].base_offset), (0, base_offset));
        }
        self.logs[topic].push(producer, records, What::Data { transactional, epoch });
    }

    async fn end(&mut self, producer: i64, result: TransactionResult) {
        let epoch = self.epoch(producer) + i16::from(self.version == TransactionVersion::V2);
        let partitions = TOPICS.map(|topic| self.broker.partition(topic).id).to_vec();
        let engine = self.broker.engine().clone();
        let end = marker(producer, epoch, result, self.version);
        self.ending.push(tokio::spawn(async move {
            // After a power cut nobody answers.
            if let Ok(refused) = engine.write_markers(end, partitions).await {
                assert!(refused.is_empty(), "{refused:?}");
            }
        }));
        tokio::task::yield_now().await;
        self.broker.written().await;
        self.logs.iter_mut().for_each(|log| log.push(producer, 1, What::Marker(result)));
    }

    async fn run(mut self, step: Step) -> Self {
        match step {
            Step::Append { topic, producer, records, transactional } => {
                self.append(topic, producer, records, transactional).await;
            }
            Step::End { producer, result } => self.end(producer, result).await,
            Step::DeleteRecords { topic, before } => {
                self.open_syncs().await;
                let before = self.place(topic, before);
                let id = self.broker.partition(TOPICS[topic]).id;
                assert_eq!(self.broker.engine().delete_records(id, before).await, Ok(Ok(before)));
                self.logs[topic].log_start = before;
                self.broker.idle_round();
            }
            Step::Read { topic, from } => self.check_read(topic, self.place(topic, from)).await,
            Step::HoldSyncs => {
                self.held = true;
                self.broker.store.syncs.hold();
            }
            Step::OpenSyncs => self.open_syncs().await,
            Step::Restart => {
                self.open_syncs().await;
                self.broker = self.broker.restart().await;
            }
            Step::PowerCut { keep } => {
                let seen = TOPICS.map(|topic| self.broker.offsets(topic));
                self.held = false;
                self.ending.drain(..).for_each(|ending| ending.abort());
                self.broker = self.broker.crash(keep);
                for ((log, topic), seen) in self.logs.iter_mut().zip(TOPICS).zip(seen) {
                    let offsets = self.broker.offsets(topic);
                    assert!(offsets.last_stable_offset >= seen.last_stable_offset, "what was stable stays so");
                    assert!(offsets.high_watermark >= seen.high_watermark);
                    log.entries.retain(|entry| entry.end() <= offsets.log_end);
                    assert_eq!(log.end(), offsets.log_end, "the log ends between batches");
                }
                self.check_not_torn();
            }
        }
        if !self.held {
            self.open_syncs().await;
            for (log, topic) in self.logs.iter().zip(TOPICS) {
                let offsets = self.broker.offsets(topic);
                let expected = (log.log_start, log.last_stable_offset(), log.end());
                assert_eq!((offsets.log_start, offsets.last_stable_offset, offsets.high_watermark), expected);
            }
        }
        for topic in 0..TOPICS.len() {
            self.check_read(topic, self.logs[topic].log_start).await;
        }
        self
    }

    /// Markers of one end are in both partitions or in none.
    fn check_not_torn(&self) {
        let markers = |log: &Log| {
            let markers = log.entries.iter().filter(|entry| matches!(entry.what, What::Marker(_)));
            markers.map(|entry| (entry.producer, format!("{:?}", entry.what))).collect::<Vec<_>>()
        };
        assert_eq!(markers(&self.logs[0]), markers(&self.logs[1]));
    }

    async fn check_read(&self, topic: usize, from: Offset) {
        let end = self.broker.offsets(TOPICS[topic]).last_stable_offset;
        assert!(end <= self.logs[topic].last_stable_offset());
        let read = self.broker.read_committed(TOPICS[topic], from).await;
        assert_eq!(read, self.logs[topic].committed(from, end), "{} from {from} to {end}", TOPICS[topic]);
    }
}

fn producer_id(producer: i64) -> crate::types::ProducerId {
    crate::types::ProducerId(producer)
}

fn epoch_of(epoch: i16) -> crate::types::ProducerEpoch {
    crate::types::ProducerEpoch(epoch)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn committed_view_is_what_a_walk_over_all_transactions_says(
        tail_cache_bytes in prop_oneof![Just(0usize), Just(600), Just(1 << 20)],
        is_v2 in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let version = if is_v2 { TransactionVersion::V2 } else { TransactionVersion::V1 };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new(tail_cache_bytes, version).await;
            for step in steps {
                model = model.run(step).await;
            }
            model.open_syncs().await;
        });
    }
}
