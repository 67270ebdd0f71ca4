use std::sync::Arc;

use super::super::tests::{anonymous, batch, config, extractor, headers, usual};
use super::*;
use crate::config::dedup::{IdSource, Identity, SequenceConfig};
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::types::TopicNo;

type Header<'a> = (&'a [u8], Option<&'a [u8]>);
type Record<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [Header<'a>]);

/// What is told of all of these records as repetitions of those at offsets from 40 on.
fn told(config: &DedupConfig, records: &[Record<'_>]) -> AuditRecords {
    let bytes = batch(records, Codec::Zstd);
    let header = BatchHeader::parse(&bytes).expect("a batch");
    let originals: Vec<_> = (0..records.len() as u32)
        .map(|delta| (delta, Original { partition: 3, offset: 40 + i64::from(delta) }))
        .collect();
    let repeated = RepeatedRecords {
        topic: "orders",
        partition: PartitionId { topic: TopicNo(1), index: 7 },
        config,
        sender: &anonymous(),
        header: &header,
        bytes: &bytes,
        outcome: "dropped",
        originals: &originals,
    };
    extractor().audit(&repeated).expect("readable")
}

fn json_of(record: &AuditRecord) -> Value {
    serde_json::from_str(&record.value).expect("JSON")
}

#[test]
fn record_is_told_whole_with_what_it_repeated_and_who_sent_it() {
    let record: Record<'_> =
        (Some(b"k\xff"), Some(b"{\"amount\":5}"), &[(b"message-id", Some(b"order 1")), (b"h", None)]);
    let told = told(&usual(), &[record]);
    assert_eq!((told.records.len(), told.untold, told.records[0].key.as_str()), (1, 0, "order 1"));
    let expected = json!({
        "topic": "orders", "partition": 7, "outcome": "dropped", "id": "order 1", "id_form": "text", "number": null,
        "original": { "partition": 3, "offset": 40 }, "client_id": "test", "principal": "User:ANONYMOUS", "producer_id": null,
        "in_transaction": false, "record_bytes": json_of(&told.records[0])["record_bytes"],
        "record": {
            "timestamp_ms": 5, "key_hex": "6bff", "value": "{\"amount\":5}",
            "headers": [{ "key": "message-id", "value": "order 1" }, { "key": "h", "value": null }],
        },
    });
    assert_eq!(json_of(&told.records[0]), expected);
}

#[test]
fn key_is_the_id_as_the_topic_makes_it() {
    let uuid = [0x01, 0x90, 0x16, 0x3d, 0x86, 0x94, 0x73, 0x9b, 0xae, 0xa5, 0x96, 0x6c, 0x26, 0xf8, 0xad, 0x91];
    let two = headers(&[&["a", "b"]]);
    let long = [b'x'; 600];
    let check = |source: IdSource, record: Record<'_>, expected: (&str, &str)| {
        let told = told(&config(source), &[record]).records.remove(0);
        let form = json_of(&told)["id_form"].clone();
        assert_eq!((told.key.as_str(), form), (expected.0, json!(expected.1)));
    };
    check(two.clone(), (None, None, &[(b"b", Some(b"2")), (b"a", Some(b"1"))]), ("1+2", "text"));
    check(two, (None, None, &[(b"b", Some(b"\xfe")), (b"a", Some(b"1"))]), ("31+fe", "hex"));
    let usual_form = "0190163d-8694-739b-aea5-966c26f8ad91";
    for form in [&uuid[..], usual_form.as_bytes(), usual_form.to_ascii_uppercase().as_bytes()] {
        check(headers(&[&["a"]]), (None, None, &[(b"a", Some(form))]), (usual_form, "text"));
        check(IdSource::Key, (Some(form), None, &[]), (usual_form, "text"));
    }
    check(IdSource::Key, (Some(b"order-0000000017"), None, &[]), ("order-0000000017", "text"));
    // Where forms are other ids, each is told as it was sent.
    let apart =
        DedupConfig { identity: Identity { is_per_partition: true, ..config(IdSource::Key).identity }, ..usual() };
    assert_eq!(told(&apart, &[(Some(&uuid), None, &[])]).records[0].key, "0190163d8694739baea5966c26f8ad91");
    check(IdSource::Key, (Some(b"k"), Some(b"v"), &[]), ("k", "text"));
    for (source, record) in
        [(IdSource::Value, (None, Some(&b"v"[..]), &[][..])), (IdSource::Key, (Some(&long[..]), None, &[]))]
    {
        let told = told(&config(source), &[record]).records.remove(0);
        assert_eq!((told.key.len(), &json_of(&told)["id_form"]), (32, &json!("hash")));
    }
    let sequence =
        SequenceConfig { name_header: "name".to_owned(), number_header: "number".to_owned(), retention_ms: None };
    let counted = DedupConfig { sequence: Some(sequence), ..usual() };
    let record: Record<'_> = (None, None, &[(b"name", Some(b"relay")), (b"number", Some(b"18446744073709551615"))]);
    let told = told(&counted, &[record]).records.remove(0);
    assert_eq!((told.key.as_str(), &json_of(&told)["number"]), ("relay", &json!(u64::MAX)));
}

#[test]
fn what_a_batch_leaves_is_bounded_and_copies_go_first() {
    let values: Vec<Vec<u8>> = (0..2_000).map(|number: u32| format!("{number:0>400}").into_bytes()).collect();
    let ids: Vec<Vec<u8>> = (0..2_000).map(|number: u32| number.to_string().into_bytes()).collect();
    let headers: Vec<[Header<'_>; 1]> = ids.iter().map(|id| [(&b"message-id"[..], Some(id.as_slice()))]).collect();
    let records: Vec<Record<'_>> =
        values.iter().zip(&headers).map(|(value, headers)| (None, Some(value.as_slice()), &headers[..])).collect();
    let AuditRecords { records: all, untold } = told(&usual(), &records);
    assert_eq!(all.len() + untold, 2_000);
    let bytes: usize = all.iter().map(AuditRecord::bytes).sum();
    assert!(bytes <= AUDIT_BYTES_MAX && bytes + 1_000 > AUDIT_BYTES_MAX, "{bytes}");
    let has_copy = |told: &AuditRecord| !json_of(told)["record"].is_null();
    let copied = all.iter().take_while(|told| has_copy(told)).count();
    assert!((COPIED_BYTES_MAX / 900..all.len()).contains(&copied), "{copied} of {}", all.len());
    assert!(!all[copied..].iter().any(has_copy));
    // One that is too large for a copy is told all the same.
    let large = vec![b'x'; COPIED_BYTES_MAX];
    let record: Record<'_> = (None, Some(&large), &[(b"message-id", Some(b"1"))]);
    let told = told(&usual(), &[record, records[5]]);
    assert_eq!(json_of(&told.records[0])["record"], Value::Null);
    assert!(json_of(&told.records[0])["record_bytes"].as_u64() > Some(large.len() as u64));
    assert_ne!(json_of(&told.records[1])["record"], Value::Null);
}

#[test]
fn copy_has_the_records_own_time() {
    let batch = [5, 3, 9].iter().fold(BatchBuilder::new(), |batch, time| batch.record(*time, Some(b"a"), Some(b"v")));
    let bytes = batch.build();
    let header = BatchHeader::parse(&bytes).expect("a batch");
    let repeated = RepeatedRecords {
        topic: "orders",
        partition: PartitionId { topic: TopicNo(1), index: 7 },
        config: &config(IdSource::Key),
        sender: &anonymous(),
        header: &header,
        bytes: &bytes,
        outcome: "dropped",
        originals: &[0, 1, 2].map(|delta| (delta, Original { partition: 7, offset: 1 })),
    };
    let told = extractor().audit(&repeated).expect("readable").records;
    let times: Vec<_> = told.iter().map(|told| json_of(told)["record"]["timestamp_ms"].clone()).collect();
    assert_eq!(times, [5, 3, 9]);
}

#[test]
fn only_what_was_repeated_is_told() {
    let bytes = batch(&[(Some(b"a"), None, &[]), (Some(b"b"), None, &[]), (Some(b"c"), None, &[])], Codec::None);
    let header = BatchHeader::parse(&bytes).expect("a batch");
    let repeated = RepeatedRecords {
        topic: "orders",
        partition: PartitionId { topic: TopicNo(1), index: 7 },
        config: &config(IdSource::Key),
        sender: &Arc::new(Sender::anonymous("")),
        header: &header,
        bytes: &bytes,
        outcome: "marked",
        originals: &[(1, Original { partition: 7, offset: -1 })],
    };
    let told = extractor().audit(&repeated).expect("readable").records;
    assert_eq!((told.len(), told[0].key.as_str(), &json_of(&told[0])["original"]), (1, "b", &Value::Null));
}
