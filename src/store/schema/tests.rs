use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::dedup::{BatchId, Claim, Fingerprint, KeptIds, Reached, Sequence};
use crate::producer::{ProducerState, WindowBatch};
use crate::types::{LeaderEpoch, PartitionId, ProducerEpoch, ProducerId, TopicNo, Uuid};

const PARTITION: PartitionId = PartitionId { topic: TopicNo(7), index: 3 };

fn partitions() -> impl Strategy<Value = PartitionId> {
    // Small numbers collide, so that order has to be decided further right; large ones cross byte borders.
    let number = || prop_oneof![0u32..3, 254u32..258, any::<u32>()];
    (number(), number()).prop_map(|(topic, index)| PartitionId { topic: TopicNo(topic), index })
}

fn offsets() -> impl Strategy<Value = i64> {
    prop_oneof![0i64..3, 254i64..258, 0..=i64::MAX - i64::from(u32::MAX)]
}

prop_compose! {
    fn log_keys()(
        partition in partitions(), base_offset in offsets(), last_offset_delta: u32, size_bytes: u32,
        max_timestamp: i64, flags: u8, producer_id: i64, producer_epoch: i16, base_sequence: i32,
    ) -> LogKey {
        LogKey {
            partition, base_offset, last_offset_delta, size_bytes, max_timestamp, flags,
            producer_id: ProducerId(producer_id), producer_epoch: ProducerEpoch(producer_epoch), base_sequence,
        }
    }
}

fn round_trips<V: RowValue + PartialEq + std::fmt::Debug>(value: &V) -> Result<(), TestCaseError> {
    let bytes = value.encode();
    let decoded = V::decode(&bytes);
    prop_assert_eq!(decoded.as_ref(), Ok(value));
    for end in 0..bytes.len() {
        prop_assert!(V::decode(&bytes[..end]).is_err(), "a value cut after {end} bytes is refused");
    }
    let newer = [&[V::VERSION + 1], &bytes[1..]].concat();
    prop_assert_eq!(
        V::decode(&newer).err(),
        Some(RowError::Newer { row: V::NAME, found: V::VERSION + 1, supported: V::VERSION })
    );
    Ok(())
}

proptest! {
    #[test]
    fn log_key_round_trips(key in log_keys()) {
        let bytes = key.encode();
        prop_assert_eq!(bytes.len(), LOG_KEY_BYTES);
        prop_assert_eq!(LogKey::decode(&bytes), Ok(key));
    }

    #[test]
    fn log_key_order_is_log_order(a in log_keys(), b in log_keys()) {
        let place = |key: &LogKey| (key.partition.topic, key.partition.index, key.base_offset);
        prop_assume!(place(&a) != place(&b));
        prop_assert_eq!(a.encode().cmp(&b.encode()), place(&a).cmp(&place(&b)));
    }

    #[test]
    fn seek_key_parts_the_log_at_its_offset(key in log_keys(), offset in offsets()) {
        let seek = log_seek_key(key.partition, offset);
        prop_assert_eq!(key.encode() >= seek, key.base_offset >= offset);
    }

    #[test]
    fn prefix_ends_where_the_next_begins(key in log_keys(), partition in partitions()) {
        let bytes = key.encode();
        let prefix = log_prefix(partition);
        let next = next_prefix(&prefix).expect("log prefixes have a successor");
        prop_assert_eq!(bytes >= prefix && bytes < next, key.partition == partition);
        let (from, to) = topic_log_range(partition.topic);
        prop_assert_eq!(bytes >= from && bytes < to, key.partition.topic == partition.topic);
    }

    #[test]
    fn keys_name_what_they_were_made_of(
        partition in partitions(), number in offsets(), group in "[a-zé]{0,9}", no: u32,
    ) {
        prop_assert_eq!(partition_of_key(&partition_key(partition)), Ok(partition));
        let producer_id = ProducerId(number);
        prop_assert_eq!(producer_of_key(&producer_key(partition, producer_id)), Ok((partition, producer_id)));
        prop_assert_eq!(sparse_of_key(&sparse_key(partition, number)), Ok((partition, number)));
        prop_assert_eq!(aborted_of_key(&aborted_key(partition, number)), Ok((partition, number)));
        for repeated in [None, Some(number)] {
            let key = id_block_key(partition, number, repeated);
            prop_assert_eq!(id_block_of_key(&key), Ok((partition, number, repeated)));
        }
        prop_assert_eq!(topic_of_version_key(&version_key(partition, &Fingerprint([7; 16]))), Ok(partition.topic));
        let sequence = sequence_key(partition, &group);
        prop_assert_eq!(sequence_of_key(&sequence), Ok((partition, group.as_str())));
        prop_assert!(id_block_key(partition, number, Some(number)).starts_with(&id_blocks_prefix(Some(partition.topic))));
        prop_assert!(aborted_key(partition, number).starts_with(&aborted_prefix(partition)));
        prop_assert_eq!(offset_of_key(&offset_key(&group, partition)), Ok((group.clone(), partition)));
        prop_assert_eq!(topic_of_key(&topic_key(TopicNo(no))), Ok(TopicNo(no)));
        prop_assert_eq!(transaction_of_key(&transaction_key(&group)), Ok(group.clone()));
        let pending = pending_offset_key(producer_id, &group, partition);
        prop_assert_eq!(pending_offset_of_key(&pending), Ok((producer_id, group.clone(), partition)));
        prop_assert!(offset_key(&group, partition).starts_with(&offsets_of_group_prefix(&group)));
        let longer = format!("{group}x");
        prop_assert!(!offset_key(&longer, partition).starts_with(&offsets_of_group_prefix(&group)));
    }

    #[test]
    fn values_round_trip(
        numbers in vec(0i64..=i64::MAX, 3), bytes in vec(any::<u64>(), 2), ids in vec(any::<i32>(), 4),
        epochs in vec((any::<i32>(), any::<i64>()), 0..4), window in vec(any::<(i32, i32, i64, i64, bool)>(), 0..=5),
        open in proptest::option::of(0..i64::MAX), text in ".{0,12}", texts in btree_map(".{0,5}", ".{0,5}", 0..4),
        uuid: u128, clean_stop: bool,
    ) {
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        round_trips(&CompactedRow { first_dirty: 1 << 40 })?;
        round_trips(&PartitionRow {
            log_start: sorted[0], last_stable_offset: sorted[1], log_end: sorted[2],
            size_bytes: bytes[0].max(bytes[1]), start_bytes: bytes[0].min(bytes[1]),
            epochs: epochs.into_iter().map(|(epoch, start)| (LeaderEpoch(epoch), start)).collect(),
        })?;
        round_trips(&SparseRow {
            max_timestamp: numbers[0], max_timestamp_offset: numbers[1], cumulative_bytes: bytes[0],
        })?;
        round_trips(&AbortedRow {
            producer_id: ProducerId(numbers[0]), first_offset: numbers[1], last_stable_offset: numbers[2],
        })?;
        let window_len = window.len() as u32;
        round_trips(&ProducerState {
            epoch: ProducerEpoch(ids[0] as i16), coordinator_epoch: ids[1], last_timestamp: numbers[0],
            open_transaction: open,
            window: window.into_iter().map(|(first_sequence, offset_delta, last_offset, timestamp, aborted)| {
                WindowBatch { first_sequence, offset_delta, last_offset, timestamp, aborted }
            }).collect(),
        })?;
        let message_ids = |deltas: std::ops::Range<u32>| deltas.map(|offset_delta| {
            BatchId { fingerprint: Fingerprint(u128::from(offset_delta).wrapping_mul(uuid).to_be_bytes()), offset_delta }
        });
        for deltas in [0..window_len, 1..window_len + 1] {
            let claims: Vec<_> = deltas.clone().map(|delta| Claim { owner: bytes[0], expires: i64::from(delta) }).collect();
            let times: Vec<_> = deltas.clone().map(|delta| numbers[0] - i64::from(delta)).collect();
            for (claims, times) in [(Vec::new(), times.clone()), (claims.clone(), Vec::new()), (claims, times)] {
                let kept = KeptIds { ids: message_ids(deltas.clone()).collect(), claims, times };
                round_trips(&IdBlock { time: numbers[0], transaction: open.map(ProducerId), kept })?;
            }
        }
        round_trips(&KeyVersion(numbers[0]))?;
        let reached = Reached { number: bytes[0], offset: numbers[0], run: uuid as u64 };
        for settled in [None, Some(reached)] {
            for pending in [None, Some((ProducerId(numbers[0]), reached))] {
                round_trips(&Sequence { settled, pending, time: numbers[0] })?;
            }
        }
        round_trips(&MessageIdTime(numbers[0]))?;
        let file = crate::dedup::slice::tests::file_of(&[], 1);
        round_trips(&SliceRow(crate::dedup::slice::SliceHead::read(file.first_chunk().expect("a head")).expect("as it was written")))?;
        round_trips(&MessageIdSecret(uuid.to_be_bytes()))?;
        round_trips(&OffsetRow {
            offset: numbers[0], leader_epoch: LeaderEpoch(ids[2]), metadata: text.clone(),
            commit_timestamp: numbers[1], expire_timestamp: numbers[2], commit_number: bytes[0],
        })?;
        let states = crate::transaction::TransactionState::ALL;
        round_trips(&crate::transaction::TransactionMetadata {
            producer_id: ProducerId(numbers[0]), previous_producer_id: ProducerId(numbers[1] - 1),
            next_producer_id: ProducerId(numbers[2] - 1), producer_epoch: ProducerEpoch(ids[0] as i16),
            last_producer_epoch: ProducerEpoch(ids[1] as i16), timeout_ms: ids[2] as u32,
            state: states[ids[3].unsigned_abs() as usize % states.len()],
            version: if clean_stop { crate::transaction::TransactionVersion::V2 } else { crate::transaction::TransactionVersion::V1 },
            start_time: numbers[1], last_update: numbers[2],
            partitions: ids.iter().map(|id| PartitionId { topic: TopicNo(*id as u32), index: ids[0] as u32 }).collect(),
            groups: texts.keys().map(|text| std::sync::Arc::from(text.as_str())).collect(),
        })?;
        round_trips(&TopicRow {
            no: TopicNo(ids[0] as u32), name: text.clone(), id: Uuid::from_u128(uuid), partitions: ids[1] as u32,
            overrides: texts.clone(),
        })?;
        round_trips(&NextTopicNo(TopicNo(ids[3] as u32)))?;
        round_trips(&ProducerIdBlock { next_block_start: numbers[0] })?;
        round_trips(&IssuedIdBlock { taken_until: numbers[0] })?;
        round_trips(&Identity { cluster_id: text, directory_id: Uuid::from_u128(uuid) })?;
        round_trips(&BrokerEpoch { leader_epoch: LeaderEpoch(ids[0]), clean_stop })?;
        round_trips(&BrokerOverrides(texts))?;
        round_trips(&ExpiryClockRow { wall: numbers[0], jumps: vec![(sorted[0], sorted[1]), (sorted[2], 0)] })?;
    }

    #[test]
    fn arbitrary_bytes_never_panic(prefix in 0x0fu8..0x4a, rest in vec(any::<u8>(), 0..80), version in 0u8..3) {
        let key = [&[prefix], &rest[..]].concat();
        let _ = (LogKey::decode(&key), partition_of_key(&key), producer_of_key(&key), sparse_of_key(&key));
        let _ = (offset_of_key(&key), topic_of_key(&key), aborted_of_key(&key), id_block_of_key(&key));
        let _ = (sequence_of_key(&key), topic_of_version_key(&key), slice_of_key(&key), SliceRow::decode(&key));
        let value = [&[version], &rest[..]].concat();
        let _ = (PartitionRow::decode(&value), SparseRow::decode(&value), ProducerState::decode(&value));
        let _ = (OffsetRow::decode(&value), TopicRow::decode(&value), NextTopicNo::decode(&value));
        let _ = (IssuedIdBlock::decode(&value), ProducerIdBlock::decode(&value), Identity::decode(&value), BrokerEpoch::decode(&value));
        let _ = (BrokerOverrides::decode(&value), ExpiryClockRow::decode(&value));
        let _ = (IdBlock::decode(&value), MessageIdSecret::decode(&value), MessageIdTime::decode(&value));
        let _ = (Sequence::decode(&value), KeyVersion::decode(&value));
    }
}

#[test]
fn hostile_counts_are_refused_before_memory_is_reserved() {
    let mut value = PartitionRow::default().encode();
    let count = value.len() - 4;
    value[count..].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(PartitionRow::decode(&value), Err(RowError::Corrupt { row: "partition", detail: "count too large" }));
}

#[test]
fn offsets_stored_before_they_were_numbered_are_read() {
    let mut row = OffsetRow {
        offset: 7,
        leader_epoch: LeaderEpoch(3),
        metadata: "text".to_owned(),
        commit_timestamp: 100,
        expire_timestamp: -1,
        commit_number: 9,
    };
    let newest = row.encode();
    // Version, offset, epoch and both times stand before the number.
    let first = [&[1], &newest[1..29], &newest[37..]].concat();
    row.commit_number = 0;
    assert_eq!(OffsetRow::decode(&first), Ok(row));
}

#[test]
fn transaction_rows_out_of_order_or_in_no_state_are_refused() {
    let mut transaction = crate::transaction::TransactionMetadata::new(ProducerId(1), 0);
    transaction.partitions.extend([PARTITION, PartitionId { index: 4, ..PARTITION }]);
    let bytes = transaction.encode();
    assert_eq!(crate::transaction::TransactionMetadata::decode(&bytes), Ok(transaction));
    let mut swapped = bytes.clone();
    let (one, other) = (bytes.len() - 20, bytes.len() - 12);
    swapped[one..other].swap_with_slice(&mut bytes.clone()[other..other + 8]);
    swapped[other..other + 8].copy_from_slice(&bytes[one..other]);
    assert!(crate::transaction::TransactionMetadata::decode(&swapped).is_err());
    let mut stateless = bytes;
    // Version, three ids, two epochs and the timeout stand before the state.
    stateless[33] = 6;
    assert!(crate::transaction::TransactionMetadata::decode(&stateless).is_err());
}

#[test]
fn offsets_of_a_partition_row_must_be_in_order() {
    let row = PartitionRow { log_start: 5, log_end: 9, last_stable_offset: 4, ..PartitionRow::default() };
    assert!(matches!(PartitionRow::decode(&row.encode()), Err(RowError::Corrupt { .. })));
}

#[test]
#[should_panic(expected = "negative offset")]
fn negative_base_offset_has_no_key() {
    let _ = LogKey {
        partition: PARTITION,
        base_offset: -1,
        last_offset_delta: 0,
        size_bytes: 0,
        max_timestamp: -1,
        flags: 0,
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        base_sequence: -1,
    }
    .encode();
}

#[test]
fn prefix_of_all_ones_has_no_successor() {
    assert_eq!(next_prefix(&[0xff, 0xff]), None);
    assert_eq!(next_prefix(&[0x10, 0xff]), Some(vec![0x11]));
}
