//! Topics with a `compression.type` of their own, as clients see them: stored and fetched with the topic's codec, and nothing else
//! of a record or of its producer changed.

mod support;

use bytes::Bytes;
use einmal::record::build::BatchBuilder;
use einmal::record::codec::{Codec, DecompressionLimits, decompress};
use einmal::record::validate::check_client_batch;
use einmal::record::{BatchHeader, HEADER_BYTES};
use einmal::types::{ProducerEpoch, ProducerId};
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use support::groups::text;
use support::requests::{Producer, create_topic_with, fetch, produce};
use support::{TestClient, TestServer};

const CODECS: [(&str, Codec); 5] = [
    ("uncompressed", Codec::None),
    ("gzip", Codec::Gzip),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("zstd", Codec::Zstd),
];
const TIME: i64 = 1_700_000_000_000;

const NONE: i16 = 0;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_RECORD: i16 = 87;

fn set(client: &mut TestClient, resource_type: i8, resource: &str, name: &str, value: &str) {
    let config =
        AlterableConfig::default().with_name(text(name)).with_config_operation(0).with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(resource))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(&request, 1);
    assert_eq!(answer.responses[0].error_code, NONE, "{:?}", answer.responses[0].error_message);
}

/// 50 records with keys, times that rise and fall, and headers.
fn batch(codec: Codec, producer: Producer, sequence: i32) -> BatchBuilder {
    let mut batch = BatchBuilder::new().codec(codec);
    if producer.id >= 0 {
        batch = batch.producer(ProducerId(producer.id), ProducerEpoch(producer.epoch), sequence);
    }
    (0..50).fold(batch, |batch, index: i64| {
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"1")), (b"h", None)];
        let value = index.to_string().repeat(20);
        batch.record_with_headers(TIME + (index * 7) % 10, Some(&index.to_be_bytes()), Some(value.as_bytes()), headers)
    })
}

fn plain(batch: &[u8]) -> Vec<u8> {
    let codec = BatchHeader::parse(batch).expect("a batch").codec().expect("known");
    decompress(codec, &batch[HEADER_BYTES..], DecompressionLimits::default()).expect("expands").into_owned()
}

/// The batch that a fetch from `offset` begins with.
fn stored(client: &mut TestClient, topic: &str, offset: i64) -> Bytes {
    let mut batches = fetch(client, topic, 0, offset).records.expect("records");
    let length = u32::from_be_bytes(batches[8..12].try_into().expect("four bytes"));
    batches.split_to(12 + length as usize)
}

#[test]
fn batches_are_stored_with_the_topics_codec_and_nothing_else_of_them_changes() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let producer = Producer::init(&mut client);
    let expected_records = plain(&batch(Codec::None, producer, 0).build());
    for (name, _) in CODECS {
        create_topic_with(&mut client, name, 1, &[("compression.type", name)]);
        for (round, (_, from)) in (0..).zip(CODECS) {
            let sent = batch(from, producer, round * 50).build().freeze();
            let base_offset = i64::from(round) * 50;
            for _ in ["first", "sent again"] {
                let answer = produce(&mut client, name, 0, sent.clone());
                assert_eq!((answer.error_code, answer.base_offset), (NONE, base_offset), "{from} to {name}");
            }
        }
    }
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    for (name, to) in CODECS {
        for (round, (_, from)) in (0..).zip(CODECS) {
            let sent = batch(from, producer, round * 50).build();
            let found = stored(&mut client, name, i64::from(round) * 50);
            let header = BatchHeader::parse(&found).expect("a batch");
            let expected = BatchHeader {
                base_offset: i64::from(round) * 50,
                size_bytes: found.len() as u32,
                leader_epoch: header.leader_epoch,
                crc: header.crc,
                attributes: header.attributes,
                ..BatchHeader::parse(&sent).expect("a batch")
            };
            assert_eq!((header, header.codec()), (expected, Ok(to)), "{from} to {name}");
            let mut at_zero = found.to_vec();
            at_zero[..8].fill(0);
            assert!(check_client_batch(&at_zero).is_ok(), "{from} to {name}: the crc is right");
            assert_eq!(from == to, found[17..] == sent[17..], "{from} to {name}: same codec, same bytes");
            assert!(plain(&found) == expected_records, "{from} to {name}");
        }
        // Five batches of 50 and no second copy of one that was sent again.
        assert_eq!(fetch(&mut client, name, 0, 0).high_watermark, 250, "{name}");
    }
}

#[test]
fn setting_is_in_force_for_the_next_batch_and_falls_back_to_the_brokers() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic_with(&mut client, "t", 1, &[]);
    let mut next = 0;
    let mut codec_of_next = |client: &mut TestClient| {
        let answer = produce(client, "t", 0, batch(Codec::Snappy, Producer::NONE, -1).build().freeze());
        assert_eq!((answer.error_code, answer.base_offset), (NONE, next));
        let codec = BatchHeader::parse(&stored(client, "t", next)).expect("a batch").codec().expect("known");
        next += 50;
        codec
    };
    assert_eq!(codec_of_next(&mut client), Codec::Snappy);
    set(&mut client, 4, "", "compression.type", "lz4");
    assert_eq!(codec_of_next(&mut client), Codec::Lz4);
    set(&mut client, 2, "t", "compression.type", "gzip");
    assert_eq!(codec_of_next(&mut client), Codec::Gzip);
    set(&mut client, 2, "t", "compression.type", "producer");
    assert_eq!(codec_of_next(&mut client), Codec::Snappy);
}

#[test]
fn broker_stamps_compressed_anew_batches_too() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic_with(
        &mut client,
        "t",
        1,
        &[("compression.type", "zstd"), ("message.timestamp.type", "LogAppendTime")],
    );
    let answer = produce(&mut client, "t", 0, batch(Codec::Gzip, Producer::NONE, -1).build().freeze());
    assert_eq!(answer.error_code, NONE);
    let header = BatchHeader::parse(&stored(&mut client, "t", 0)).expect("a batch");
    assert!(header.is_log_append_time());
    assert_eq!((header.codec(), header.max_timestamp), (Ok(Codec::Zstd), answer.log_append_time_ms));
}

#[test]
fn what_becomes_too_large_or_is_no_record_is_refused_and_nothing_is_stored() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic_with(&mut client, "t", 1, &[("compression.type", "uncompressed"), ("max.message.bytes", "10000")]);
    let large = BatchBuilder::new().codec(Codec::Zstd).record(TIME, None, Some(&[0; 20_000])).build().freeze();
    assert_eq!(produce(&mut client, "t", 0, large).error_code, MESSAGE_TOO_LARGE);
    // Two records as the header says, three as they are.
    let mut miscounted = BatchBuilder::new().codec(Codec::Gzip);
    for _ in 0..3 {
        miscounted = miscounted.record(TIME, None, Some(b"v"));
    }
    let mut miscounted = miscounted.build();
    miscounted[23..27].copy_from_slice(&1_i32.to_be_bytes());
    miscounted[57..61].copy_from_slice(&2_i32.to_be_bytes());
    let crc = crc32c::crc32c(&miscounted[21..]);
    miscounted[17..21].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(produce(&mut client, "t", 0, miscounted.freeze()).error_code, INVALID_RECORD);
    assert_eq!(fetch(&mut client, "t", 0, 0).high_watermark, 0);
}
