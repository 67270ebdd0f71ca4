use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn fragment(type_byte: u8, payload: &[u8]) -> Vec<u8> {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[type_byte]), payload);
    let mut bytes = crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes().to_vec();
    bytes.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    bytes.push(type_byte);
    bytes.extend_from_slice(payload);
    bytes
}

/// Lays out records as RocksDB's `log::Writer` does; returns the file and where each record begins.
pub(in crate::store::wal) fn log_of(records: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
    let (mut log, mut offsets) = (Vec::new(), Vec::new());
    for record in records {
        let mut rest = &record[..];
        let mut begin = true;
        loop {
            let room = BLOCK_BYTES - log.len() % BLOCK_BYTES;
            if room < FRAGMENT_HEADER_BYTES {
                log.resize(log.len() + room, 0);
                continue;
            }
            if begin {
                offsets.push(log.len() as u64);
            }
            let (payload, after) = rest.split_at(rest.len().min(room - FRAGMENT_HEADER_BYTES));
            rest = after;
            let type_byte = match (begin, rest.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            log.extend(fragment(type_byte, payload));
            begin = false;
            if rest.is_empty() {
                break;
            }
        }
    }
    (log, offsets)
}

fn read(log: &[u8]) -> Vec<Item> {
    let mut reader = RecordReader::new(log, 16);
    let mut items = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        items.push(item);
        assert!(items.len() <= log.len(), "the reader moves on");
    }
    items
}

fn records_of(records: &[Vec<u8>], offsets: &[u64]) -> Vec<Item> {
    let item = |(record, offset): (&Vec<u8>, &u64)| Item::Record {
        offset: *offset,
        head: record[..record.len().min(16)].to_vec(),
    };
    records.iter().zip(offsets).map(item).collect()
}

/// Sizes around a block's border, so that padding and empty first fragments occur.
fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let size = prop_oneof![1usize..60, BLOCK_BYTES - 40..BLOCK_BYTES + 10, Just(2 * BLOCK_BYTES + 100)];
    let record = (size, any::<u8>()).prop_map(|(size, seed)| (0..size).map(|i| (i as u8) ^ seed).collect::<Vec<u8>>());
    vec(record, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whole_log_reads_back(records in records()) {
        let (log, offsets) = log_of(&records);
        prop_assert_eq!(read(&log), records_of(&records, &offsets));
    }

    #[test]
    fn cut_log_reads_as_a_prefix_with_a_torn_end(records in records(), cut in any::<proptest::sample::Index>()) {
        let (log, offsets) = log_of(&records);
        let cut = cut.index(log.len());
        let items = read(&log[..cut]);
        let whole = items.iter().take_while(|item| matches!(item, Item::Record { .. })).count();
        prop_assert_eq!(&items[..whole], &records_of(&records, &offsets)[..whole]);
        match &items[whole..] {
            [] => prop_assert!(cut as u64 <= offsets[whole], "the next record had begun"),
            [Item::Bad { offset, torn: true }] => prop_assert_eq!(*offset, offsets[whole]),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn flipped_bit_is_met_and_the_records_behind_it_are_found(
        records in records(), byte in any::<proptest::sample::Index>(), bit in 0u8..8,
    ) {
        let (mut log, offsets) = log_of(&records);
        let byte = byte.index(log.len());
        log[byte] ^= 1 << bit;
        let whole = records_of(&records, &offsets);
        let items = read(&log);
        // The bit may lie in padding, which nobody reads.
        prop_assume!(items != whole);
        let hit = offsets.iter().rposition(|&offset| offset as usize <= byte).unwrap();
        prop_assert_eq!(&items[..hit], &whole[..hit]);
        prop_assert!(matches!(items[hit], Item::Bad { offset, .. } if offset == offsets[hit]), "{:?}", items[hit]);
        prop_assert!(items.ends_with(&whole[hit + 1..]), "every later record is found");
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        read(&bytes);
        let _ = BatchHead::parse(&bytes);
    }
}

#[test]
fn zeroed_block_is_bad_and_what_follows_is_found() {
    let records: Vec<_> = (1..=12u8).map(|seed| vec![seed; 16 * 1024]).collect();
    let (mut log, offsets) = log_of(&records);
    log[BLOCK_BYTES..2 * BLOCK_BYTES].fill(0);
    let items = read(&log);
    let first_bad = items.iter().position(|item| matches!(item, Item::Bad { .. })).unwrap();
    assert!(matches!(items[first_bad], Item::Bad { torn: false, offset } if offset == offsets[first_bad]));
    assert_eq!(items.last(), records_of(&records, &offsets).last());
}

#[test]
fn mark_is_read_where_a_write_put_it() {
    let mut head = 7u64.to_le_bytes().to_vec();
    head.extend_from_slice(&2u32.to_le_bytes());
    assert_eq!(BatchHead::parse(&head), Some(BatchHead { sequence: 7, count: 2, synced: None }));
    head.extend_from_slice(&[LOG_DATA, MARK_BYTES as u8]);
    head.extend_from_slice(&mark(5));
    assert_eq!(head.len(), BATCH_HEAD_BYTES);
    assert_eq!(BatchHead::parse(&head), Some(BatchHead { sequence: 7, count: 2, synced: Some(5) }));
    assert_eq!(BatchHead::parse(&head[..11]), None);
}
