//! The log against a `Vec`: whatever is done to one partition, it reads like the list of batches that were accepted.

use proptest::prelude::*;

use super::harness::*;
use crate::engine::command::Acks;
use crate::engine::settings::Settings;
use crate::log::partition::Offsets;
use crate::types::{ErrorCode, Offset};

#[derive(Debug, Clone)]
enum Step {
    /// A batch of so many records.
    Append {
        records: usize,
        acks_all: bool,
    },
    /// Reads from a place in the log, given in per mille, with a limit of bytes.
    Read {
        from: usize,
        bytes_max: usize,
    },
    /// Deletes up to a place in the log, given in per mille.
    DeleteRecords {
        before: usize,
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
    prop_oneof![
        6 => (1usize..5, any::<bool>()).prop_map(|(records, acks_all)| Step::Append { records, acks_all }),
        4 => (0usize..1000, 0usize..2000).prop_map(|(from, bytes_max)| Step::Read { from, bytes_max }),
        1 => (0usize..1000).prop_map(|before| Step::DeleteRecords { before }),
        2 => Just(Step::HoldSyncs),
        2 => Just(Step::OpenSyncs),
        1 => Just(Step::Restart),
        1 => (0usize..4).prop_map(|keep| Step::PowerCut { keep }),
    ]
}

/// A batch that was accepted.
#[derive(Debug, Clone, PartialEq)]
struct Accepted {
    base_offset: Offset,
    last_offset: Offset,
    sent: Vec<u8>,
}

struct Model {
    broker: TestEngine,
    log: Vec<Accepted>,
    log_start: Offset,
    sequence: i32,
    held: bool,
    /// Batches answered to acks=all; no power cut takes them.
    acked: usize,
    pending: Vec<(usize, tokio::sync::oneshot::Receiver<Vec<crate::engine::command::Appended>>)>,
}

impl Model {
    async fn new(tail_cache_bytes: usize) -> Self {
        let broker = TestEngine::start_with(Settings { tail_cache_bytes, ..settings() });
        broker.create("t", &[]).await;
        Self { broker, log: Vec::new(), log_start: 0, sequence: 0, held: false, acked: 0, pending: Vec::new() }
    }

    fn log_end(&self) -> Offset {
        self.log.last().map_or(0, |batch| batch.last_offset + 1)
    }

    fn place(&self, per_mille: usize) -> Offset {
        let records = usize::try_from(self.log_end()).expect("not negative");
        Offset::try_from(records * per_mille / 1000).expect("small")
    }

    async fn open_syncs(&mut self) {
        self.held = false;
        self.broker.store.syncs.open();
        for (count, answer) in self.pending.drain(..) {
            assert!(answer.await.expect("answered")[0].error.is_none());
            self.acked = self.acked.max(count);
        }
    }

    async fn run(mut self, step: Step) -> Self {
        match step {
            Step::Append { records, acks_all } => {
                let values = vec!["value"; records];
                let batch = idempotent(1, self.sequence, &values);
                let sent = batch.build().to_vec();
                let base_offset = self.log_end();
                let acks = if acks_all { Acks::All } else { Acks::Leader };
                let answer = self.broker.send("t", acks, batch);
                self.log.push(Accepted { base_offset, last_offset: base_offset + records as Offset - 1, sent });
                self.sequence += i32::try_from(records).expect("small");
                if acks_all {
                    self.pending.push((self.log.len(), answer));
                    self.broker.written().await;
                    if !self.held {
                        self.open_syncs().await;
                    }
                } else {
                    assert_eq!(answer.await.expect("answered")[0].base_offset, base_offset);
                }
            }
            Step::Read { from, bytes_max } => self.check_read(self.place(from).max(self.log_start), bytes_max).await,
            Step::DeleteRecords { before } => {
                self.open_syncs().await;
                // A round trip that waits for a sync: all that was written before is readable now.
                self.broker.engine().init_producer_id().await.expect("answered");
                let before = self.place(before);
                let deleted = self.broker.engine().delete_records(self.broker.partition("t").id, before).await;
                self.log_start = self.log_start.max(before);
                assert_eq!(deleted, Ok(Ok(self.log_start)));
                self.acked = self.log.len();
            }
            Step::HoldSyncs => {
                self.held = true;
                self.broker.store.syncs.hold();
            }
            Step::OpenSyncs => self.open_syncs().await,
            Step::Restart => {
                self.open_syncs().await;
                self.broker = self.broker.restart().await;
                self.acked = self.log.len();
            }
            Step::PowerCut { keep } => {
                let seen = self.broker.offsets("t").high_watermark;
                self.pending.clear();
                self.held = false;
                self.broker = self.broker.crash(keep);
                let end = self.broker.offsets("t").log_end;
                let left = self.log.iter().take_while(|batch| batch.last_offset < end).count();
                assert!(left >= self.acked, "{left} batches are left of {} that were acknowledged", self.acked);
                assert!(end >= seen, "records up to {seen} were seen, the log ends at {end}");
                self.log.truncate(left);
                assert_eq!(self.log_end(), end, "the log ends between batches");
                self.check_retry_of_the_newest().await;
            }
        }
        self.check_offsets();
        self
    }

    fn check_offsets(&self) {
        let Offsets { log_start, last_stable_offset, high_watermark, log_end } = self.broker.offsets("t");
        assert_eq!((log_start, log_end), (self.log_start, self.log_end()));
        assert!(log_start <= last_stable_offset && last_stable_offset <= high_watermark && high_watermark <= log_end);
        assert!(
            self.log
                .get(..self.acked)
                .is_some_and(|acked| acked.last().is_none_or(|batch| batch.last_offset < high_watermark))
        );
        let durable = self.broker.store.memory.crash(0);
        let id = self.broker.partition("t").id;
        use crate::store::Store;
        use crate::store::schema::{PartitionRow, RowValue, partition_key};
        let row = durable.get(&partition_key(id)).expect("reads");
        let durable_end = row.map_or(0, |row| PartitionRow::decode(&row).expect("decodes").log_end);
        assert!(high_watermark <= durable_end, "{high_watermark} is seen, {durable_end} is synced");
    }

    async fn check_read(&self, from: Offset, bytes_max: usize) {
        let partition = self.broker.partition("t");
        let end = partition.offsets().high_watermark;
        let read = self.broker.started.reader.read(&partition, from, end, bytes_max).await.expect("reads");
        let readable = self.log.iter().filter(|batch| batch.last_offset >= from && batch.last_offset < end);
        let mut bytes = 0;
        let expected: Vec<_> = readable
            .enumerate()
            .take_while(|(index, batch)| {
                bytes += batch.sent.len();
                *index == 0 || bytes <= bytes_max
            })
            .map(|(_, batch)| batch.clone())
            .collect();
        let found: Vec<_> = read
            .iter()
            .map(|batch| Accepted {
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
                sent: unstamped(&batch.bytes),
            })
            .collect();
        assert_eq!(found, expected, "from {from} to {end}");
    }

    /// The client does not know which of its batches are lost. It sends the newest that is not again, and gets its old place.
    async fn check_retry_of_the_newest(&mut self) {
        let records = |batch: &Accepted| i32::try_from(batch.last_offset - batch.base_offset + 1).expect("small");
        self.sequence = self.log.iter().map(records).sum();
        let Some(newest) = self.log.last() else { return };
        let values = vec!["value"; usize::try_from(records(newest)).expect("small")];
        let base_offset = newest.base_offset;
        let retried = self.broker.append("t", idempotent(1, self.sequence - records(newest), &values)).await;
        assert_eq!((retried.error, retried.base_offset), (ErrorCode::NONE, base_offset));
        self.acked = self.log.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn log_reads_like_the_list_of_accepted_batches(
        tail_cache_bytes in prop_oneof![Just(0usize), Just(600), Just(1 << 20)],
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new(tail_cache_bytes).await;
            for step in steps {
                model = model.run(step).await;
            }
            model.open_syncs().await;
        });
    }
}
