use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::list_offsets_request::ListOffsetsTopic;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::watch;

use super::*;
use crate::api::testing::{TestBroker, batch, decode};
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::store::layer::as_below;
use crate::store::memory::MemoryStore;
use crate::store::schema::LogKey;
use crate::store::{Store, StoreError};
use crate::types::PartitionId;

#[test]
fn sentinels_are_known_from_their_version_on() {
    use Spec::*;
    let refused = Err(ErrorCode::UNSUPPORTED_VERSION);
    for (timestamp, version, expected) in [
        (0, 1, Ok(At(0))),
        (i64::MAX, 1, Ok(At(i64::MAX))),
        (-1, 1, Ok(Latest)),
        (-2, 1, Ok(Earliest)),
        (-3, 6, refused),
        (-3, 7, Ok(MaxTimestamp)),
        (-4, 7, refused),
        (-4, 8, Ok(Earliest)),
        (-5, 8, refused),
        (-5, 9, Ok(LatestTiered)),
        (-6, 10, refused),
        (i64::MIN, 10, refused),
    ] {
        assert_eq!(Spec::from_wire(timestamp, version), expected, "{timestamp} in version {version}");
    }
}

#[test]
fn earliest_offset_carries_the_epoch_it_was_written_in() {
    // Epoch 2 began at offset 10, epoch 5 at 20; the log ends at 30.
    let end_of = |epoch: LeaderEpoch| match epoch.0 {
        0..2 => (epoch, 10),
        2..5 => (LeaderEpoch(2), 20),
        5 => (LeaderEpoch(5), 30),
        _ => (LeaderEpoch(-1), -1),
    };
    for (offset, expected) in [(10, 2), (19, 2), (20, 5), (29, 5), (30, 5)] {
        assert_eq!(epoch_at(offset, LeaderEpoch(5), end_of), LeaderEpoch(expected), "offset {offset}");
    }
}

/// Asks for one partition of `t` by each of `timestamps`; code, offset, timestamp and epoch of each answer.
async fn ask(broker: &TestBroker, version: i16, index: i32, timestamp: i64) -> (i16, i64, i64, i32) {
    let answer = broker.call(version, &request(vec![(index, timestamp)])).await;
    let answer = &answer.topics[0].partitions[0];
    assert_eq!(answer.partition_index, index);
    (answer.error_code, answer.offset, answer.timestamp, answer.leader_epoch)
}

fn request(partitions: Vec<(i32, i64)>) -> ListOffsetsRequest {
    let partitions = partitions.into_iter().map(|(index, timestamp)| {
        ListOffsetsPartition::default().with_partition_index(index).with_timestamp(timestamp)
    });
    let topic = ListOffsetsTopic::default()
        .with_name(StrBytes::from_static_str("t").into())
        .with_partitions(partitions.collect());
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

#[tokio::test]
async fn readers_of_committed_records_are_shown_nothing_beyond_the_last_stable_offset() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    broker.append(&topic, 0, batch(500, &["a"])).await;
    // At 2000 ms, in the middle of an open transaction.
    broker.append_transactional(&topic, 2, 0, &["b"]).await;
    broker.append(&topic, 0, batch(3_000, &["c"])).await;
    let ask = async |timestamp, isolation| {
        let answer = broker.call(7, &request(vec![(0, timestamp)]).with_isolation_level(isolation)).await;
        let answer = &answer.topics[0].partitions[0];
        (answer.error_code, answer.offset, answer.timestamp)
    };
    let asked = [-1, -3, 400, 600, 2_500];
    for (timestamp, uncommitted, committed) in [
        (-1, (0, 3, -1), (0, 1, -1)),
        (-3, (0, 2, 3_000), (0, 0, 500)),
        (400, (0, 0, 500), (0, 0, 500)),
        (600, (0, 1, 2_000), (0, -1, -1)),
        (2_500, (0, 2, 3_000), (0, -1, -1)),
    ] {
        assert_eq!(ask(timestamp, 0).await, uncommitted, "{timestamp}");
        assert_eq!(ask(timestamp, 1).await, committed, "{timestamp}");
    }
    broker.end_transaction(&topic, 2, crate::types::TransactionResult::Commit).await;
    for timestamp in asked {
        assert_eq!(ask(timestamp, 0).await, ask(timestamp, 1).await, "{timestamp}");
    }
    assert_eq!(ask(-1, 1).await, (0, 4, -1), "behind the marker");
}

#[tokio::test]
async fn positions_and_times_are_found_in_every_version() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 2).await;
    for timestamp in [100, 300, 200] {
        broker.append(&topic, 0, batch(timestamp, &["a", "b"])).await;
    }
    broker.cx.broker.engine.delete_records(topic.partitions[0].id, 1).await.unwrap().unwrap();
    let epoch = topic.partitions[0].leader_epoch().0;
    for version in 1..=10 {
        let since = |first: i16, answer| if version >= first { answer } else { (35, -1, -1, -1) };
        let not_found = (0, -1, -1, -1);
        let found = |offset, timestamp| (0, offset, timestamp, if version >= 4 { epoch } else { -1 });
        for (index, timestamp, expected) in [
            (0, -1, found(6, -1)),
            (0, -2, found(1, -1)),
            (0, -3, since(7, found(2, 300))),
            (0, -4, since(8, found(1, -1))),
            (0, -5, since(9, not_found)),
            (0, -6, since(11, not_found)),
            (0, 0, found(1, 100)),
            (0, 101, found(2, 300)),
            (0, 300, found(2, 300)),
            (0, 301, not_found),
            (1, -1, found(0, -1)),
            (1, -2, found(0, -1)),
            (1, -3, since(7, not_found)),
            (1, 0, not_found),
            (2, -1, (3, -1, -1, -1)),
            (-1, -1, (3, -1, -1, -1)),
        ] {
            let answer = ask(&broker, version, index, timestamp).await;
            assert_eq!(answer, expected, "version {version} partition {index} timestamp {timestamp}");
        }
    }
}

#[tokio::test]
async fn partition_named_twice_is_refused_once_and_others_are_answered() {
    let broker = TestBroker::start();
    broker.create_topic("t", 2).await;
    let answer = broker.call(5, &request(vec![(0, -1), (1, -1), (0, -2)])).await;
    let answered = |partition: &ListOffsetsPartitionResponse| (partition.partition_index, partition.error_code);
    assert_eq!(answer.topics[0].partitions.iter().map(answered).collect::<Vec<_>>(), [(0, 42), (1, 0)]);
    let mut twice = request(vec![(0, -1)]);
    twice.topics.push(twice.topics[0].clone());
    let answer = broker.call(5, &twice).await;
    assert_eq!(answer.topics.len(), 1, "in two entries of one topic");
    assert_eq!(answer.topics[0].partitions.iter().map(answered).collect::<Vec<_>>(), [(0, 42)]);
}

#[tokio::test]
async fn epoch_that_is_not_ours_is_refused() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    let ours = topic.partitions[0].leader_epoch().0;
    for (epoch, error) in [(-1, 0), (ours, 0), (ours + 1, 75)] {
        let mut request = request(vec![(0, -1)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let answer = broker.call(4, &request).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, error, "epoch {epoch}");
    }
}

/// A batch of one record at time 100 that expands to `bytes`, whose header tells a time of 900.
fn lying(bytes: usize) -> BytesMut {
    let mut batch = BatchBuilder::new().codec(Codec::Zstd).record(100, None, Some(&vec![0; bytes])).build();
    batch[35..43].copy_from_slice(&900i64.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[tokio::test]
async fn headers_that_lie_about_their_times_are_looked_behind_only_so_often() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 2).await;
    let epoch = topic.partitions[0].leader_epoch().0;
    for _ in 0..3 {
        broker.append(&topic, 0, lying(15 << 20)).await;
    }
    broker.append(&topic, 0, batch(500, &["a"])).await;
    assert_eq!(ask(&broker, 7, 0, 200).await, (0, 3, 500, epoch), "a few lies change nothing");
    for _ in 0..9 {
        broker.append(&topic, 0, lying(15 << 20)).await;
        broker.append(&topic, 1, lying(15 << 20)).await;
    }
    for index in [0, 1] {
        broker.append(&topic, index, batch(700, &["a"])).await;
    }
    assert_eq!(ask(&broker, 7, 0, 600).await, (0, 13, 700, epoch), "of one partition they can be afforded");
    assert_eq!(ask(&broker, 7, 1, 600).await, (0, 9, 700, epoch));
    // 256 MiB hold seventeen of the twenty-one, and the partitions of a request share them.
    let answer = broker.call(7, &request(vec![(0, 600), (1, 600)])).await;
    let found = |index: usize| {
        let answer = &answer.topics[0].partitions[index];
        (answer.error_code, answer.offset, answer.timestamp)
    };
    let is_believed = |found: (i16, i64, i64), honest: i64| found.0 == 0 && found.1 < honest && found.2 == 900;
    assert!(is_believed(found(0), 13) || is_believed(found(1), 9), "{answer:?}");
    assert_eq!(ask(&broker, 7, 0, 901).await, (0, -1, -1, -1));
}

/// Rows in memory whose log, once it is told so, has no end for those who look at its keys.
#[derive(Default)]
struct EndlessLog {
    rows: MemoryStore,
    is_endless: AtomicBool,
    /// How many looks have begun, and how many of them have ended.
    looks: watch::Sender<(usize, usize)>,
}

impl EndlessLog {
    async fn looks_are(&self, expected: (usize, usize)) {
        let mut looks = self.looks.subscribe();
        let seen = tokio::time::timeout(Duration::from_secs(60), looks.wait_for(|looks| *looks == expected)).await;
        seen.expect("in time").expect("the store is there");
    }
}

impl Store for EndlessLog {
    as_below!(
        rows: write, sync, sequence, get, scan, scan_range, last_before, read_log, reclaim_log_range, move_log_range,
        move_oldest_batches, batch_space, slices, disk_space, stats, close,
    );

    fn scan_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        visit: &mut dyn FnMut(LogKey) -> bool,
    ) -> Result<(), StoreError> {
        if !self.is_endless.load(SeqCst) {
            return self.rows.scan_log(partition, from, to, visit);
        }
        let mut first = None;
        self.rows.scan_log(partition, from, to, &mut |key| {
            first = Some(key);
            false
        })?;
        self.looks.send_modify(|looks| looks.0 += 1);
        while first.is_some_and(&mut *visit) {}
        self.looks.send_modify(|looks| looks.1 += 1);
        Ok(())
    }
}

#[tokio::test]
async fn search_by_time_ends_with_who_asked_for_it_and_with_the_broker() {
    for timestamp in [200, -3] {
        let store = Arc::new(EndlessLog::default());
        let broker = TestBroker::over(store.clone(), &[]);
        let topic = broker.create_topic("t", 1).await;
        broker.append(&topic, 0, batch(100, &["a"])).await;
        store.is_endless.store(true, SeqCst);
        let begun = || tokio::spawn(broker.send(7, &request(vec![(0, timestamp)])));
        let asked = begun();
        store.looks_are((1, 0)).await;
        asked.abort();
        store.looks_are((1, 1)).await;

        let asked = begun();
        store.looks_are((2, 1)).await;
        broker.stop();
        let asked = tokio::time::timeout(Duration::from_secs(60), asked).await.expect("in time");
        let answer = asked.expect("no panic").expect("answered").expect("not silent");
        let answer = decode::<ListOffsetsRequest>(7, answer);
        assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER.0);
        store.looks_are((2, 2)).await;
    }
}
