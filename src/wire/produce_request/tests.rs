use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest as CrateRequest, TopicName, TransactionalId};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::prelude::*;

use super::*;

/// More than any of these requests names.
const PARTITIONS_MAX: usize = 1000;

fn request(api_version: i16, body: &[u8]) -> Request {
    let header = RequestHeader { api_key: 0, api_version, correlation_id: 5, client_id: None };
    Request { header, body: BytesMut::from(body), frame_bytes: body.len() + 12 }
}

/// What the crate decodes, in our type.
fn from_crate(body: &[u8], version: i16) -> ProduceRequest {
    let decoded = CrateRequest::decode(&mut Bytes::copy_from_slice(body), version).unwrap();
    let partition = |partition: PartitionProduceData| ProducePartition {
        index: partition.index,
        records: partition.records.map(BytesMut::from),
    };
    let topic = |topic: TopicProduceData| ProduceTopic {
        topic: if version >= 13 { TopicRef::Id(topic.topic_id) } else { TopicRef::Name(topic.name.0.to_string()) },
        partitions: topic.partition_data.into_iter().map(partition).collect(),
    };
    ProduceRequest {
        transactional_id: decoded.transactional_id.map(|id| id.0.to_string()),
        acks: decoded.acks,
        timeout_ms: decoded.timeout_ms,
        topics: decoded.topic_data.into_iter().map(topic).collect(),
    }
}

fn any_request() -> impl Strategy<Value = CrateRequest> {
    let tags = || {
        prop::collection::btree_map(0..1000i32, prop::collection::vec(any::<u8>(), 0..9).prop_map(Bytes::from), 0..3)
    };
    let records = prop::option::of(prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from));
    let partition = (any::<i32>(), records, tags()).prop_map(|(index, records, tags)| {
        PartitionProduceData::default().with_index(index).with_records(records).with_unknown_tagged_fields(tags)
    });
    let topic = ("\\PC{0,20}", any::<u128>(), prop::collection::vec(partition, 0..5), tags()).prop_map(
        |(name, id, partitions, tags)| {
            TopicProduceData::default()
                .with_name(TopicName(StrBytes::from_string(name)))
                .with_topic_id(Uuid::from_u128(id))
                .with_partition_data(partitions)
                .with_unknown_tagged_fields(tags)
        },
    );
    (prop::option::of("[a-z]{0,9}"), any::<i16>(), any::<i32>(), prop::collection::vec(topic, 0..4), tags()).prop_map(
        |(transactional_id, acks, timeout_ms, topics, tags)| {
            CrateRequest::default()
                .with_transactional_id(transactional_id.map(|id| TransactionalId(StrBytes::from_string(id))))
                .with_acks(acks)
                .with_timeout_ms(timeout_ms)
                .with_topic_data(topics)
                .with_unknown_tagged_fields(tags)
        },
    )
}

/// Encodes without the tags where `version` has none: the crate writes none there by itself.
fn encoded(produce: &CrateRequest, version: i16) -> Vec<u8> {
    let mut body = Vec::new();
    produce.encode(&mut body, version).unwrap();
    body
}

proptest! {
    #[test]
    fn equals_the_crates_decoder_at_every_version(produce in any_request()) {
        for version in RECORD_BATCH_FROM..=VERSIONS.1 {
            let body = encoded(&produce, version);
            let (_, decoded) = decode(request(version, &body), PARTITIONS_MAX).unwrap();
            prop_assert_eq!(decoded, from_crate(&body, version), "version {}", version);
        }
    }

    #[test]
    fn every_cut_is_refused(produce in any_request(), version in 3i16..=13, at in any::<prop::sample::Index>()) {
        let body = encoded(&produce, version);
        let cut = at.index(body.len());
        let refused = decode(request(version, &body[..cut]), PARTITIONS_MAX);
        let is_refused = matches!(refused, Err(Close::Decode { api_key: 0, .. }));
        prop_assert!(is_refused, "{:?}", refused);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(body in prop::collection::vec(any::<u8>(), 0..120), version in -1i16..=14) {
        let _ = decode(request(version, &body), PARTITIONS_MAX);
    }
}

#[test]
fn records_stay_in_the_frame_and_can_be_patched() {
    let partition = |index, fill: u8| {
        PartitionProduceData::default().with_index(index).with_records(Some(Bytes::from(vec![fill; 500])))
    };
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(vec![partition(0, 1), partition(1, 2)]);
    for version in [3, 9, 12] {
        let body = encoded(&CrateRequest::default().with_topic_data(vec![topic.clone()]), version);
        let request = request(version, &body);
        let frame = request.body.as_ptr_range();
        let (_, mut decoded) = decode(request, PARTITIONS_MAX).unwrap();
        let partitions = &mut decoded.topics[0].partitions;
        for partition in partitions.iter_mut() {
            let records = partition.records.as_mut().unwrap();
            assert!(frame.contains(&records.as_ptr()), "version {version}: records were copied");
            records[0] = 9;
        }
        let records = partitions[1].records.as_ref().unwrap();
        assert_eq!((records.len(), records[0], records[1]), (500, 9, 2));
    }
}

#[test]
fn hostile_counts_are_refused() {
    // Version 9: no transactional id, acks, timeout, then an array of 2^32 - 2 topics.
    let body = [0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(decode(request(9, &body), PARTITIONS_MAX), Err(Close::Decode { .. })));
    let body = [0xff, 0xff, 0, 1, 0, 0, 0, 9, 0x7f, 0xff, 0xff, 0xff];
    assert!(matches!(decode(request(3, &body), PARTITIONS_MAX), Err(Close::Decode { .. })));
}

#[test]
fn topics_and_all_their_partitions_are_bounded() {
    let topic = |count| TopicProduceData::default().with_partition_data(vec![PartitionProduceData::default(); count]);
    for (partitions, max, fits) in [(vec![2, 1], 3, true), (vec![2, 2], 3, false), (vec![0, 0, 0], 2, false)] {
        let produce = CrateRequest::default().with_topic_data(partitions.iter().map(|count| topic(*count)).collect());
        for version in RECORD_BATCH_FROM..=VERSIONS.1 {
            let decoded = decode(request(version, &encoded(&produce, version)), max);
            assert_eq!(decoded.is_ok(), fits, "{partitions:?} of {max} in version {version}: {decoded:?}");
        }
    }
}

/// acks 1, timeout 9, topic "t" with partition 3 and two bytes of records.
const MESSAGE_SET: [u8; 27] = [0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, 7, 7];

#[test]
fn versions_before_record_batches_are_refused_in_their_own_form() {
    let per_partition = |tail: &[u8]| {
        let mut answer = vec![0, 0, 0, 5, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 3, 0, 43];
        answer.extend_from_slice(&[0xff; 8]);
        answer.extend_from_slice(tail);
        let mut frame = (answer.len() as u32).to_be_bytes().to_vec();
        frame.append(&mut answer);
        frame
    };
    let throttle = [0; 4];
    let append_time_and_throttle = [[0xff; 8].as_slice(), &[0; 4]].concat();
    for (version, tail) in [(0, [].as_slice()), (1, &throttle), (2, &append_time_and_throttle)] {
        let (header, decoded) = decode(request(version, &MESSAGE_SET), PARTITIONS_MAX).unwrap();
        assert_eq!((decoded.acks, decoded.timeout_ms), (1, 9));
        let answer = encode_unsupported_format(&header, &decoded).unwrap().concat();
        assert_eq!(answer, per_partition(tail), "version {version}");
    }
}
