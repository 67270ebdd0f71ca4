use bytes::BytesMut;

use super::*;
use crate::config::dedup::OnDuplicate;
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::types::TopicNo;

const UUID: &[u8] = b"0190163D-8694-739b-aea5-966c26f8ad91";

type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// Key, value, headers.
type Record<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [Header<'a>]);

pub(super) fn config(source: IdSource) -> DedupConfig {
    DedupConfig {
        identity: Identity { source, namespace: None, is_per_partition: false },
        window_ms: 1,
        refresh_ms: None,
        compares_times: false,
        window_ids_max: 1,
        throttles: false,
        needs_id: false,
        on_duplicate: OnDuplicate::Drop,
        bypass_principals: Vec::new(),
        audit_topic: None,
        sequence: None,
        checks_versions: false,
    }
}

pub(super) fn headers(alternatives: &[&[&str]]) -> IdSource {
    let names = |parts: &&[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    IdSource::Headers(alternatives.iter().map(names).collect())
}

pub(super) fn usual() -> DedupConfig {
    config(headers(&[&["message-id"], &["ce_source", "ce_id"]]))
}

pub(super) fn anonymous() -> Arc<Sender> {
    Arc::new(Sender::anonymous("test"))
}

pub(super) fn extractor() -> Extractor {
    Extractor { secret: Secret::new([7; 16]), id_bytes_max: 512, batch_bytes_max: 1 << 20 }
}

pub(super) fn batch(records: &[Record<'_>], codec: Codec) -> BytesMut {
    let batch = BatchBuilder::new().codec(codec);
    records
        .iter()
        .fold(batch, |batch, (key, value, headers)| batch.record_with_headers(5, *key, *value, headers))
        .build()
}

fn read_in(
    config: DedupConfig,
    partition: u32,
    records: &[Record<'_>],
    codec: Codec,
) -> Result<Vec<BatchId>, IdsRefused> {
    let bytes = batch(records, codec);
    let header = BatchHeader::parse(&bytes).expect("a batch");
    let partition = PartitionId { topic: TopicNo(1), index: partition };
    extractor().ids(&Arc::new(config), &anonymous(), partition, &bytes, &header).map(|ids| ids.ids)
}

fn read(config: DedupConfig, records: &[Record<'_>]) -> Vec<BatchId> {
    read_in(config, 0, records, Codec::None).expect("readable")
}

/// The fingerprint of the one record's id; none if it has no id.
fn one(config: DedupConfig, record: Record<'_>) -> Option<Fingerprint> {
    read(config, &[record]).first().map(|id| id.fingerprint)
}

#[test]
fn records_are_told_by_their_headers_whatever_the_codec() {
    let records: &[Record<'_>] = &[
        (None, None, &[(b"message-id", Some(UUID))]),
        (None, Some(b"no id"), &[(b"id", Some(b"1")), (b"Message-Id", Some(b"1")), (b"message-id2", Some(b"1"))]),
        (None, None, &[(b"ce_id", Some(b"17")), (b"ce_source", Some(b"/orders"))]),
    ];
    let plain = read(usual(), records);
    assert_eq!(plain.iter().map(|id| id.offset_delta).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(plain[0].fingerprint, fingerprint::uuid(UUID).expect("a UUID"));
    let joined = extractor().secret.fingerprint([Some(&b"/orders"[..]), Some(b"17")]);
    assert_eq!(plain[1].fingerprint, joined);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        assert_eq!(read_in(usual(), 0, records, codec).as_ref(), Ok(&plain), "{codec}");
    }
}

#[test]
fn first_alternative_with_all_its_headers_wins_and_the_last_header_of_a_name() {
    let id = |id: &'static [u8]| one(usual(), (None, None, &[(b"message-id", Some(id))]));
    let both: &[Header<'_>] = &[(b"ce_source", Some(b"s")), (b"ce_id", Some(b"i")), (b"message-id", Some(b"m"))];
    assert_eq!(one(usual(), (None, None, both)), id(b"m"));
    let twice: &[Header<'_>] = &[(b"message-id", Some(b"x")), (b"message-id", Some(b"m"))];
    assert_eq!(one(usual(), (None, None, twice)), id(b"m"));
    let half: &[Header<'_>] = &[(b"ce_source", Some(b"s"))];
    assert_eq!(one(usual(), (None, None, half)), None);
}

#[test]
fn empty_ids_are_none() {
    for value in [Some(&b""[..]), None] {
        assert_eq!(one(usual(), (None, None, &[(b"message-id", value)])), None);
        assert_eq!(one(usual(), (None, None, &[(b"ce_source", Some(b"s")), (b"ce_id", value)])), None);
        assert_eq!(one(config(IdSource::Key), (value, None, &[])), None);
    }
    assert_eq!(one(config(IdSource::Value), (Some(b"k"), None, &[])), None);
    assert_eq!(one(config(IdSource::KeyValue), (None, None, &[])), None);
}

#[test]
fn keys_and_values_can_be_ids() {
    let key = |key: &'static [u8]| one(config(IdSource::Key), (Some(key), Some(b"v"), &[]));
    assert_eq!(key(b"claim"), one(usual(), (None, None, &[(b"message-id", Some(b"claim"))])));
    assert_eq!(key(UUID), fingerprint::uuid(UUID));
    let value = |value: &'static [u8]| one(config(IdSource::Value), (None, Some(value), &[]));
    assert!(value(b"a").is_some() && value(b"a") != value(b"b") && value(b"").is_some());
    // Sixteen bytes of content are no UUID.
    assert_ne!(value(&[7; 16]), fingerprint::uuid(&[7; 16]));
    let both = |key, value| one(config(IdSource::KeyValue), (key, value, &[]));
    let distinct =
        [both(Some(b"ab"), Some(b"c")), both(Some(b"a"), Some(b"bc")), both(None, Some(b"c")), both(Some(b"c"), None)];
    for (place, one) in distinct.iter().enumerate() {
        assert!(one.is_some() && !distinct[..place].contains(one), "{place}");
    }
}

#[test]
fn namespaces_and_partitions_keep_ids_apart() {
    let in_namespace = || DedupConfig {
        identity: Identity { namespace: Some(Namespace::Header("tenant".to_owned())), ..usual().identity },
        ..usual()
    };
    let of = |tenant: Option<&'static [u8]>| {
        let headers: Vec<Header<'_>> = tenant
            .map(|tenant| (&b"tenant"[..], Some(tenant)))
            .into_iter()
            .chain([(&b"message-id"[..], Some(UUID))])
            .collect();
        one(in_namespace(), (None, None, &headers))
    };
    let per_partition = || DedupConfig { identity: Identity { is_per_partition: true, ..usual().identity }, ..usual() };
    let within = |partition| {
        read_in(per_partition(), partition, &[(None, None, &[(b"message-id", Some(UUID))])], Codec::None)
            .expect("readable")
            .first()
            .map(|id| id.fingerprint)
    };
    let distinct =
        [of(Some(b"a")), of(Some(b"b")), of(Some(b"")), of(None), within(0), within(1), fingerprint::uuid(UUID)];
    for (place, one) in distinct.iter().enumerate() {
        assert!(one.is_some() && !distinct[..place].contains(one), "{place}");
    }
    assert_eq!(of(Some(b"a")), of(Some(b"a")));
    assert_eq!(within(1), within(1));
}

#[test]
fn ids_are_taken_up_to_the_limit_and_not_cut() {
    let longest = [b'x'; 512];
    let longer = [b'x'; 513];
    assert!(one(usual(), (None, None, &[(b"message-id", Some(&longest))])).is_some());
    let good: Record<'_> = (None, None, &[(b"message-id", Some(b"1"))]);
    let refused = |records: &[Record<'_>]| {
        let refused = read_in(usual(), 0, records, Codec::None).expect_err("refused");
        assert_eq!(refused.error(), ErrorCode::INVALID_RECORD);
        refused.record_errors().iter().map(|record| record.batch_index).collect::<Vec<_>>()
    };
    assert_eq!(refused(&[good, (None, None, &[(b"message-id", Some(&longer))]), good]), [1]);
    assert_eq!(refused(&[(None, None, &[(b"ce_source", Some(&longest)), (b"ce_id", Some(b"1"))])]), [0]);
    // Keys and values may have any length.
    assert!(one(config(IdSource::Key), (Some(&longer), None, &[])).is_some());
}

#[test]
fn records_without_an_id_are_named_where_they_are_not_taken() {
    let strict = DedupConfig { needs_id: true, ..usual() };
    let good: Record<'_> = (None, None, &[(b"message-id", Some(b"1"))]);
    let bad: Record<'_> = (None, None, &[(b"message-id", None)]);
    let refused = read_in(strict, 0, &[good, bad, good, bad], Codec::None).expect_err("refused");
    assert_eq!(refused.record_errors().iter().map(|record| record.batch_index).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(refused.error(), ErrorCode::INVALID_RECORD);
}

#[test]
fn batch_that_expands_too_far_is_too_large() {
    let value = vec![0; (1 << 20) + 1];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let refused = read_in(usual(), 0, &[(None, Some(&value), &[])], codec).expect_err("refused");
        assert_eq!(refused.error(), ErrorCode::MESSAGE_TOO_LARGE, "{codec}");
    }
}

#[test]
fn records_that_are_none_or_out_of_order_are_refused() {
    let mut bytes = batch(&[(None, None, &[]), (None, None, &[])], Codec::None);
    let header = BatchHeader::parse(&bytes).expect("a batch");
    let partition = PartitionId { topic: TopicNo(1), index: 0 };
    let ids = |bytes: &[u8]| extractor().ids(&Arc::new(usual()), &anonymous(), partition, bytes, &header);
    // Length, attributes, time, then the offset of the second record.
    let second_offset = HEADER_BYTES + 7 + 3;
    assert_eq!(bytes[second_offset], 2);
    bytes[second_offset] = 0;
    assert_eq!(ids(&bytes), Err(IdsRefused::Offset { index: 1, offset_delta: 0 }));
    bytes[second_offset + 1] = 40;
    assert!(matches!(ids(&bytes), Err(IdsRefused::Undecodable(_))));
}

fn read_numbers(headers: &[Header<'_>]) -> Result<Vec<(String, u64)>, IdsRefused> {
    let names = ("producer-name".to_owned(), "producer-sequence".to_owned());
    let sequence = SequenceConfig { name_header: names.0, number_header: names.1, retention_ms: None };
    let config = Arc::new(DedupConfig { sequence: Some(sequence), ..usual() });
    let bytes = batch(&[(None, None, headers)], Codec::None);
    let header = BatchHeader::parse(&bytes).expect("a batch");
    let read = extractor().ids(&config, &anonymous(), PartitionId { topic: TopicNo(1), index: 0 }, &bytes, &header)?;
    assert!(read.ids.is_empty());
    Ok(read.numbers.iter().map(|number| (number.name.to_string(), number.number)).collect())
}

#[test]
fn numbers_are_text_or_eight_bytes() {
    let binary = |number: u64| number.to_be_bytes();
    for (bytes, expected) in [
        (&b"0"[..], Some(0)),
        (b"0012345678", Some(12_345_678)),
        (b"12345678", Some(12_345_678)),
        (b"18446744073709551615", Some(u64::MAX)),
        (b"18446744073709551616", None),
        (&binary(7), Some(7)),
        (&binary((1 << 61) - 1), Some((1 << 61) - 1)),
        (&binary(1 << 61), None),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1234567", Some(1_234_567)),
        (b"123456x", None),
    ] {
        let read = read_numbers(&[(b"producer-name", Some(b"ada")), (b"producer-sequence", Some(bytes))]);
        match (expected, read) {
            (Some(number), Ok(read)) => assert_eq!(read, [("ada".to_owned(), number)]),
            (None, Err(IdsRefused::NotCounting { .. })) => {}
            (expected, read) => panic!("{bytes:?}: {expected:?} {read:?}"),
        }
    }
}

#[test]
fn names_without_numbers_and_names_that_are_none_are_refused() {
    let number: Header<'_> = (b"producer-sequence", Some(b"1"));
    assert_eq!(read_numbers(&[]), Ok(Vec::new()));
    let longest = [b'x'; 512];
    assert!(read_numbers(&[(b"producer-name", Some(&longest)), number]).is_ok());
    for headers in [
        &[number][..],
        &[(b"producer-name", Some(b"ada"))],
        &[(b"producer-name", None), number],
        &[(b"producer-name", Some(b"\xff")), number],
        &[(b"producer-name", Some(&[b'x'; 513])), number],
    ] {
        assert!(matches!(read_numbers(headers), Err(IdsRefused::NotCounting { .. })), "{headers:?}");
    }
}

#[test]
fn ids_read_under_other_settings_are_read_again() {
    let config = Arc::new(usual());
    let ids = BatchIds {
        config: Arc::clone(&config),
        sender: anonymous(),
        ids: Vec::new(),
        claims: Vec::new(),
        times: Vec::new(),
        numbers: Vec::new(),
        versions: Vec::new(),
        sealed: SealedFindings::default(),
    };
    assert!(ids.are_of(&config));
    let bypass = |principal: &str| DedupConfig { bypass_principals: vec![principal.to_owned()], ..usual() };
    assert!(ids.are_of(&Arc::new(bypass("User:mirror"))), "that is another");
    assert!(!ids.are_of(&Arc::new(DedupConfig { compares_times: true, ..usual() })));
    assert!(!ids.are_of(&Arc::new(bypass(Sender::ANONYMOUS))));
    assert!(ids.are_of(&Arc::new(DedupConfig { window_ms: 7, ..usual() })), "how long is another matter");
    assert!(!ids.are_of(&Arc::new(DedupConfig { needs_id: true, ..usual() })));
    assert!(!ids.are_of(&Arc::new(DedupConfig {
        identity: Identity { is_per_partition: true, ..usual().identity },
        ..usual()
    })));
}
