//! Topics that remember message ids, as clients see them: `message.dedup.*` over the wire, also across SIGKILL.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;

use bytes::{Bytes, BytesMut};
use einmal::record::build::BatchBuilder;
use einmal::record::codec::{Codec, DecompressionLimits, decompress};
use einmal::record::{BatchHeader, HEADER_BYTES};
use einmal::types::{ProducerEpoch, ProducerId};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{CreateTopicsRequest, DescribeConfigsRequest, FetchRequest, ProduceRequest};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use support::groups::text;
use support::requests::{
    FETCH_VERSION, PRODUCE_VERSION, Producer, create_topic_with, fetch, fetch_request, produce, produce_request,
    topic_name,
};
use support::transactions::{Protocol, TransactionalProducer};
use support::{TestClient, TestServer};

const NONE: i16 = 0;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC_EXCEPTION: i16 = 17;
const NOT_ENOUGH_REPLICAS: i16 = 19;
const INVALID_RECORD: i16 = 87;
const INVALID_CONFIG: i16 = 40;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// The code that creating `topic` with these `message.dedup.*` is answered with.
fn create(client: &mut TestClient, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> i16 {
    let configs = settings.iter().map(|(name, value)| {
        let name = text(&format!("message.dedup.{name}"));
        CreatableTopicConfig::default().with_name(name).with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(topic_name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.collect());
    let answer = client.call(&CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000), 6);
    answer.topics[0].error_code
}

/// Records with an id as header, which is also their value; an empty one has none.
fn records(producer: Producer, sequence: i32, ids: &[&str], codec: Codec) -> Bytes {
    if codec != Codec::None {
        return compressed(producer, sequence, ids, codec);
    }
    let record = |(index, id): (usize, &&str)| {
        let header = (!id.is_empty()).then(|| (text("message-id"), Some(Bytes::copy_from_slice(id.as_bytes()))));
        Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            timestamp_type: TimestampType::Creation,
            offset: index as i64,
            sequence: sequence.wrapping_add(index as i32),
            timestamp: 1_700_000_000_000,
            key: None,
            value: Some(Bytes::copy_from_slice(id.as_bytes())),
            headers: header.into_iter().collect::<IndexMap<StrBytes, Option<Bytes>>>(),
        }
    };
    let records: Vec<Record> = ids.iter().enumerate().map(record).collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("plain records encode");
    bytes.freeze()
}

/// The same, compressed, which the crate of the stock encoding is built without.
fn compressed(producer: Producer, sequence: i32, ids: &[&str], codec: Codec) -> Bytes {
    let mut batch = BatchBuilder::new().codec(codec);
    if producer.id >= 0 {
        batch = batch.producer(ProducerId(producer.id), ProducerEpoch(producer.epoch), sequence);
    }
    let batch = ids.iter().fold(batch, |batch, id| {
        let header = [(&b"message-id"[..], Some(id.as_bytes()))];
        batch.record_with_headers(1_700_000_000_000, None, Some(id.as_bytes()), &header)
    });
    batch.build().freeze()
}

/// Offsets and values of the records of whole batches.
fn decode(mut batches: Bytes) -> Vec<(i64, String)> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("text");
    let mut found = Vec::new();
    while !batches.is_empty() {
        let length = batches.get(8..12).map(|length| u32::from_be_bytes(length.try_into().expect("four bytes")));
        let mut batch = batches.split_to(12 + length.expect("whole batches") as usize);
        let header = BatchHeader::parse(&batch).expect("a batch");
        match header.codec().expect("known") {
            _ if header.is_control() => {}
            Codec::None => {
                let sets = RecordBatchDecoder::decode_all(&mut batch).expect("stored batches decode");
                let records = sets.into_iter().flat_map(|set| set.records);
                found.extend(records.map(|record| (record.offset, text(&record.value.unwrap_or_default()))));
            }
            codec => {
                let plain = decompress(codec, &batch[HEADER_BYTES..], DecompressionLimits::default()).expect("expands");
                for record in einmal::record::records::records(&plain, header.record_count) {
                    let record = record.expect("well-formed");
                    let offset = header.base_offset + i64::from(record.offset_delta);
                    found.push((offset, text(record.value.unwrap_or_default())));
                }
            }
        }
    }
    found
}

/// Code and base offset.
fn send(client: &mut TestClient, topic: &str, ids: &[&str]) -> (i16, i64) {
    send_batch(client, topic, records(Producer::NONE, -1, ids, Codec::None))
}

fn send_batch(client: &mut TestClient, topic: &str, records: Bytes) -> (i16, i64) {
    let answer = produce(client, topic, 0, records);
    (answer.error_code, answer.base_offset)
}

/// Records of a topic that were known, by what: batch, open, sealed, sequence, pending.
fn known(server: &TestServer, topic: &str) -> [f64; 5] {
    let topic = format!("topic=\"{topic}\"");
    ["batch", "open", "sealed", "sequence", "pending"].map(|reason| {
        let labels = [topic.as_str(), &format!("reason=\"{reason}\"")];
        server.metric("einmal_dedup_duplicates_total", &labels).unwrap_or(-1.0)
    })
}

/// Offsets and values from `from` on, read by one fetch.
fn read_from(client: &mut TestClient, topic: &str, from: i64) -> Vec<(i64, String)> {
    let data = fetch(client, topic, 0, from);
    assert_eq!(data.error_code, NONE, "Fetch from {from}");
    decode(data.records.unwrap_or_default())
}

fn expect_log(client: &mut TestClient, topic: &str, expected: &[(i64, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect();
    assert_eq!(read_from(client, topic, 0), expected);
}

#[test]
fn message_that_is_sent_again_is_answered_with_its_first_offset_and_stored_once() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    assert_eq!(create(&mut client, "once", 1, &[("mode", "window")]), NONE);
    assert_eq!(send(&mut client, "once", &["a", "b", "c"]), (NONE, 0));
    assert_eq!(send(&mut client, "once", &["b"]), (NONE, 1));
    assert_eq!(server.metric("einmal_dedup_checked_records_total", &["topic=\"once\""]), Some(4.0));
    assert_eq!(known(&server, "once"), [0.0, 1.0, 0.0, 0.0, 0.0]);
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    let other = Producer::init(&mut client);
    for (sequence, codec) in (0..).zip(CODECS) {
        let again = records(other, sequence * 3, &["a", "b", "c"], codec);
        assert_eq!(send_batch(&mut client, "once", again.clone()), (NONE, 0), "another producer");
        assert_eq!(send_batch(&mut client, "once", again), (NONE, 0), "and its retry");
    }
    assert_eq!(send_batch(&mut client, "once", records(other, 15, &["d"], Codec::None)), (NONE, 3));
    expect_log(&mut client, "once", &[(0, "a"), (1, "b"), (2, "c"), (3, "d")]);
}

#[test]
fn batches_with_holes_are_read_by_every_codec_and_from_every_offset() {
    for codec in CODECS {
        let server = TestServer::start();
        let mut client = TestClient::connect(&server);
        create(&mut client, "once", 1, &[("mode", "window")]);
        let producer = Producer::init(&mut client);
        let mut sequence = 0;
        for (ids, base_offset) in
            [(&["a", "b"][..], 0), (&["b", "c", "d"], 2), (&["e", "a", "f"], 5), (&["g", "b", "a"], 8)]
        {
            let batch = records(producer, sequence, ids, codec);
            assert_eq!(send_batch(&mut client, "once", batch), (NONE, base_offset), "{ids:?}");
            sequence += ids.len() as i32;
        }
        let log = [(0, "a"), (1, "b"), (3, "c"), (4, "d"), (5, "e"), (7, "f"), (8, "g")];
        expect_log(&mut client, "once", &log);
        for from in 0..=11 {
            let left = read_from(&mut client, "once", from);
            // Whole batches come back: a client leaves out what it did not ask for, and must get on by the rest.
            let wanted: Vec<_> = left.iter().filter(|(offset, _)| *offset >= from).map(|(offset, _)| *offset).collect();
            let expected: Vec<_> = log.iter().map(|(offset, _)| *offset).filter(|offset| *offset >= from).collect();
            assert_eq!(wanted, expected, "from {from}");
            assert!(left.is_empty() == expected.is_empty(), "a batch that has nothing for {from}: {left:?}");
        }
    }
}

#[test]
fn a_long_poll_behind_the_last_record_waits_for_the_next_one() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 1, &[("mode", "window")]);
    send(&mut client, "once", &["a"]);
    assert_eq!(send(&mut client, "once", &["b", "a", "a"]), (NONE, 1));
    let polls = [2, 3].map(|from| {
        let mut reader = TestClient::connect(&server);
        let request = fetch_request("once", 0, from).with_max_wait_ms(30_000).with_min_bytes(1);
        let correlation_id = reader.send(&request, FETCH_VERSION);
        (reader, correlation_id)
    });
    // Answered by what is appended now, not before: an empty answer would have come first.
    assert_eq!(send(&mut client, "once", &["c"]), (NONE, 4));
    for (mut reader, correlation_id) in polls {
        let mut answer = reader.receive::<FetchRequest>(correlation_id, FETCH_VERSION);
        let found = decode(answer.responses.remove(0).partitions.remove(0).records.expect("records"));
        assert_eq!(found, [(4, "c".to_owned())]);
    }
}

#[test]
fn two_producers_that_send_the_same_ids_at_once_have_each_stored_once() {
    const ROUNDS: usize = 100;
    const IDS_PER_ROUND: usize = 100;
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 2, &[("mode", "window")]);
    let round_begins = Barrier::new(2);
    // Both to one partition in the first half of the rounds, each to its own in the second.
    let send_all = |mut client: TestClient, own_partition: i32| {
        let mut offsets = Vec::new();
        for round in 0..ROUNDS {
            let partition = if round < ROUNDS / 2 { 0 } else { own_partition };
            let requests: Vec<_> = (0..IDS_PER_ROUND)
                .map(|number| {
                    let id = format!("{round}-{number}");
                    produce_request("once", partition, -1, records(Producer::NONE, -1, &[&id], Codec::None))
                })
                .collect();
            round_begins.wait();
            let sent: Vec<_> = requests.iter().map(|request| client.send(request, PRODUCE_VERSION)).collect();
            for correlation_id in sent {
                let answer = client.receive::<ProduceRequest>(correlation_id, PRODUCE_VERSION);
                let answer = &answer.responses[0].partition_responses[0];
                assert_eq!(answer.error_code, NONE, "round {round}");
                offsets.push(answer.base_offset);
            }
        }
        offsets
    };
    let clients = [TestClient::connect(&server), TestClient::connect(&server)];
    let (first, second) = std::thread::scope(|scope| {
        let [one, other] = clients;
        let other = scope.spawn(|| send_all(other, 1));
        (send_all(one, 0), other.join().expect("the other producer ends"))
    });
    let half = ROUNDS * IDS_PER_ROUND / 2;
    assert_eq!(first[..half], second[..half], "both are told where the one record is");
    let mut stored = Vec::new();
    for partition in [0, 1] {
        let mut from = 0;
        loop {
            let data = fetch(&mut client, "once", partition, from);
            let found = decode(data.records.unwrap_or_default());
            let Some((last, _)) = found.last() else { break };
            from = last + 1;
            stored.extend(found.into_iter().map(|(_, id)| id));
        }
    }
    assert_eq!(stored.len(), ROUNDS * IDS_PER_ROUND);
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>().len(), ROUNDS * IDS_PER_ROUND);
}

#[test]
fn bad_ids_are_refused_with_the_records_named() {
    let server = TestServer::start_with(&["einmal.dedup.id.max.bytes=20", "einmal.dedup.batch.max.bytes=100000"]);
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 1, &[("mode", "window"), ("missing.id", "reject")]);
    let longest = "x".repeat(20);
    assert_eq!(send(&mut client, "once", &["1", &longest]), (NONE, 0));
    let too_long = "x".repeat(21);
    for ids in [["2", &too_long, "3"], ["2", "", "3"]] {
        let answer = produce(&mut client, "once", 0, records(Producer::NONE, -1, &ids, Codec::None));
        assert_eq!((answer.error_code, answer.base_offset, answer.log_start_offset), (INVALID_RECORD, -1, 0));
        let named: Vec<_> = answer.record_errors.iter().map(|record| record.batch_index).collect();
        assert_eq!(named, [1], "{ids:?}");
        assert!(answer.error_message.is_some_and(|message| message.contains("message id")));
    }
    let bomb = vec!["2"; 20_000];
    let bomb = records(Producer::NONE, -1, &bomb, Codec::Gzip);
    assert!(bomb.len() < 100_000);
    assert_eq!(send_batch(&mut client, "once", bomb), (MESSAGE_TOO_LARGE, -1));
    assert_eq!(send(&mut client, "once", &["2"]), (NONE, 2), "nothing of it was remembered");
}

#[test]
fn claim_and_version_that_are_refused_are_named_among_their_neighbours() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "ledger", 1, &[("mode", "window"), ("id.source", "key"), ("on.duplicate", "reject")]);
    assert_eq!(claim(&mut client, ("job1", "ada"), ("", "")), (NONE, 0));
    let of_bob = ["job2", "job1", "job3"]
        .iter()
        .fold(BatchBuilder::new(), |batch, job| batch.record(1, Some(job.as_bytes()), Some(b"bob")));
    let refused = produce(&mut client, "ledger", 0, of_bob.build().freeze());
    create_topic_with(&mut client, "versioned", 1, &[("cleanup.policy", "compact"), ("message.version.check", "true")]);
    let expecting = [&b"none"[..], b"7"].iter().fold(BatchBuilder::new(), |batch, version| {
        batch.record_with_headers(1, Some(b"k"), Some(b"v"), &[(b"expected-version", Some(version))])
    });
    let outdated = produce(&mut client, "versioned", 0, expecting.build().freeze());
    for (answer, sentence) in [(refused, "it is at offset 0 of partition 0"), (outdated, "expects version 7")] {
        assert_eq!((answer.error_code, answer.base_offset), (INVALID_RECORD, -1));
        let [record] = &answer.record_errors[..] else { panic!("one record: {answer:?}") };
        assert_eq!(record.batch_index, 1);
        for message in [&record.batch_index_error_message, &answer.error_message] {
            assert!(message.as_ref().is_some_and(|message| message.contains(sentence)), "{answer:?}");
        }
    }
}

/// A batch of one record with these headers.
fn with_headers(headers: &[(&str, &[u8])], codec: Codec) -> Bytes {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), Some(*value))).collect();
    BatchBuilder::new().codec(codec).record_with_headers(1, None, Some(b"v"), &headers).build().freeze()
}

#[test]
fn whatever_is_wrong_with_ids_has_its_code_and_nothing_is_stored_or_remembered() {
    let server = TestServer::start_with(&["einmal.dedup.batch.max.bytes=100000"]);
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 1, &[("mode", "window"), ("missing.id", "reject"), ("id.headers", "message-id,a+b")]);
    let (longest, too_long, bomb) = ([b'x'; 512], [b'x'; 513], vec![0; 10 << 20]);
    for codec in CODECS {
        for (what, headers, code) in [
            ("empty", &[("message-id", &b""[..])][..], INVALID_RECORD),
            ("too long", &[("message-id", &too_long)], INVALID_RECORD),
            ("too long in two parts", &[("a", &longest), ("b", b"x")], INVALID_RECORD),
            ("half of an id", &[("a", b"x")], INVALID_RECORD),
            ("a part of it empty", &[("a", b"x"), ("b", b"")], INVALID_RECORD),
            ("an empty one last", &[("message-id", b"x"), ("message-id", b"")], INVALID_RECORD),
            ("too long a one last", &[("message-id", b"x"), ("message-id", &too_long)], INVALID_RECORD),
            ("another name", &[("Message-Id", b"x"), ("message-id ", b"x"), ("", b"x")], INVALID_RECORD),
        ] {
            let refused = send_batch(&mut client, "once", with_headers(headers, codec));
            assert_eq!(refused, (code, -1), "{what}, {codec}");
        }
        if codec != Codec::None {
            // A thousandth as long on the wire, behind a good id and as the id itself.
            for headers in [&[("message-id", &b"x"[..]), ("bomb", &bomb)][..], &[("message-id", &bomb)]] {
                let bytes = with_headers(headers, codec);
                assert!(bytes.len() < 1_000_000, "{} bytes, {codec}", bytes.len());
                assert_eq!(send_batch(&mut client, "once", bytes), (MESSAGE_TOO_LARGE, -1), "{codec}");
            }
        }
    }
    let mut damaged = BytesMut::from(&with_headers(&[("message-id", b"x")], Codec::None)[..]);
    damaged.truncate(damaged.len() - 1);
    assert_ne!(send_batch(&mut client, "once", damaged.freeze()).0, NONE);
    // Of several headers the last counts, and nothing of the above is known.
    let several = with_headers(&[("message-id", &too_long), ("message-id", b""), ("message-id", b"x")], Codec::None);
    assert_eq!(send_batch(&mut client, "once", several), (NONE, 0));
    assert_eq!(send_batch(&mut client, "once", with_headers(&[("message-id", b"x")], Codec::Zstd)), (NONE, 0));
    assert_eq!(send_batch(&mut client, "once", with_headers(&[("message-id", &longest)], Codec::None)), (NONE, 1));
    assert_eq!(server.metric("einmal_dedup_checked_records_total", &["topic=\"once\""]), Some(3.0));
}

#[test]
fn headers_name_a_namespace_only_where_the_topic_lets_them() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let of = |tenant: &[u8]| with_headers(&[("message-id", b"x"), ("tenant", tenant)], Codec::None);
    for (topic, namespace, expected) in
        [("open", "header:tenant", [0, 1, 2, 1]), ("closed", "principal", [0; 4]), ("none", "none", [0; 4])]
    {
        assert_eq!(create(&mut client, topic, 1, &[("mode", "window"), ("namespace", namespace)]), NONE);
        let tenants = [&b"a"[..], b"User:ANONYMOUS", b"", b"User:ANONYMOUS"];
        let offsets = tenants.map(|tenant| send_batch(&mut client, topic, of(tenant)));
        assert_eq!(offsets, expected.map(|offset| (NONE, offset)), "{namespace}");
    }
}

#[test]
fn everybody_is_anonymous_and_passes_unchecked_where_the_topic_says_so_also_after_sigkill() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let refused = create(&mut client, "bad", 1, &[("mode", "window"), ("bypass.principals", "mirror")]);
    assert_eq!(refused, INVALID_CONFIG);
    create(&mut client, "other", 1, &[("mode", "window"), ("bypass.principals", "User:mirror")]);
    create(&mut client, "open", 1, &[("mode", "window"), ("bypass.principals", "User:mirror;User:ANONYMOUS")]);
    for (again, offset) in [(false, 0), (true, 1)] {
        assert_eq!(send(&mut client, "other", &["x"]), (NONE, 0), "again: {again}");
        assert_eq!(send(&mut client, "open", &["x"]), (NONE, offset));
    }
    assert_eq!(server.metric("einmal_dedup_bypassed_total", &["topic=\"open\""]), Some(2.0));
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    assert_eq!(send(&mut client, "open", &["x"]), (NONE, 2));
    expect_log(&mut client, "open", &[(0, "x"), (1, "x"), (2, "x")]);
}

#[test]
fn requests_without_acknowledgement_are_checked_as_well() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 1, &[("mode", "window")]);
    for ids in [&["a"][..], &["a", "b"], &["b"]] {
        client.send(&produce_request("once", 0, 0, records(Producer::NONE, -1, ids, Codec::None)), PRODUCE_VERSION);
    }
    assert_eq!(send(&mut client, "once", &["b", "a"]), (NONE, 2));
    expect_log(&mut client, "once", &[(0, "a"), (2, "b")]);
}

#[test]
fn ids_of_a_transaction_are_undecided_while_it_is_open_and_free_after_its_abort() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 1, &[("mode", "window"), ("id.source", "value-hash")]);
    let mut transaction = TransactionalProducer::init(&mut client, Protocol::V2, "payments");
    assert_eq!(transaction.send(&mut client, "once", 0, &["a", "b"]), (NONE, 0));
    assert_eq!(send(&mut client, "once", &["b"]).0, NOT_ENOUGH_REPLICAS);
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    assert_eq!(send(&mut client, "once", &["b"]).0, NOT_ENOUGH_REPLICAS, "still open");
    assert_eq!(transaction.end(&mut client, false), NONE);
    assert_eq!(send(&mut client, "once", &["b"]), (NONE, 3));
    assert_eq!(transaction.send(&mut client, "once", 0, &["a", "b"]), (NONE, 4));
    assert_eq!(transaction.end(&mut client, true), NONE);
    assert_eq!(send(&mut client, "once", &["a"]), (NONE, 4));
    assert_eq!(support::transactions::drain_committed(&mut client, "once", 0), ["b", "a"]);
}

/// A claim of `key` by `owner` with one more header.
fn claim(client: &mut TestClient, (key, owner): (&str, &str), header: (&str, &str)) -> (i16, i64) {
    let header = [(header.0.as_bytes(), Some(header.1.as_bytes()))];
    let batch = BatchBuilder::new();
    let batch = batch.record_with_headers(1, Some(key.as_bytes()), Some(owner.as_bytes()), &header);
    send_batch(client, "ledger", batch.build().freeze())
}

#[test]
fn claim_is_its_owners_across_sigkill_until_another_takes_over_what_expired() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "ledger", 1, &[("mode", "window"), ("id.source", "key"), ("on.duplicate", "reject")]);
    let nothing = ("note", "");
    assert_eq!(claim(&mut client, ("job", "ada"), ("claim-expires", "3600000")), (NONE, 0));
    assert_eq!(claim(&mut client, ("short", "ada"), ("claim-expires", "1")), (NONE, 1));
    for header in [("claim-expires", "0"), ("claim-expires", "x"), ("claim-takes-over", "")] {
        assert_eq!(claim(&mut client, ("new", "ada"), header), (INVALID_RECORD, -1), "{header:?}");
    }
    server.kill9();
    let mut server = server.restart();
    let mut client = TestClient::connect(&server);
    assert_eq!(claim(&mut client, ("job", "bob"), nothing), (INVALID_RECORD, -1));
    assert_eq!(claim(&mut client, ("job", "bob"), ("claim-takes-over", "ada")), (INVALID_RECORD, -1));
    assert_eq!(claim(&mut client, ("job", "ada"), nothing), (NONE, 0));
    assert_eq!(claim(&mut client, ("short", "bob"), nothing), (INVALID_RECORD, -1));
    assert_eq!(claim(&mut client, ("short", "bob"), ("claim-takes-over", "eve")), (INVALID_RECORD, -1));
    // Its millisecond may not be over yet.
    let takeovers = std::iter::repeat_with(|| claim(&mut client, ("short", "bob"), ("claim-takes-over", "ada")));
    assert_eq!(takeovers.take(100_000).find(|answer| answer.0 == NONE), Some((NONE, 2)));
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    assert_eq!(claim(&mut client, ("short", "ada"), nothing), (INVALID_RECORD, -1));
    assert_eq!(claim(&mut client, ("short", "bob"), nothing), (NONE, 2));
    assert_eq!(claim(&mut client, ("new", "ada"), nothing), (NONE, 3), "what was refused was not remembered");
    expect_log(&mut client, "ledger", &[(0, "ada"), (1, "ada"), (2, "bob"), (3, "ada")]);
}

/// Sends records with these numbers of one sender.
fn count(client: &mut TestClient, partition: i32, name: &str, numbers: &[&[u8]]) -> (i16, i64) {
    let batch = numbers.iter().fold(BatchBuilder::new(), |batch, number| {
        let headers = [(&b"producer-name"[..], Some(name.as_bytes())), (&b"producer-sequence"[..], Some(*number))];
        batch.record_with_headers(1, None, Some(b"x"), &headers)
    });
    let answer = produce(client, "counted", partition, batch.build().freeze());
    (answer.error_code, answer.base_offset)
}

/// What the topic of numbers says last of each partition and name.
fn published(client: &mut TestClient) -> BTreeMap<String, String> {
    let mut batches = fetch(client, "__einmal_sequences", 0, 0).records.unwrap_or_default();
    let sets = RecordBatchDecoder::decode_all(&mut batches).expect("stored batches decode");
    let text = |bytes: Option<Bytes>| String::from_utf8(bytes.expect("present").to_vec()).expect("text");
    let records = sets.into_iter().flat_map(|set| set.records);
    let published = records.map(|record| {
        let key = text(record.key);
        let [topic, id, rest] = key.splitn(3, '/').collect::<Vec<_>>().try_into().expect("topic, id and the rest");
        assert_eq!((topic, id.len()), ("counted", 22));
        (rest.to_owned(), text(record.value))
    });
    published.collect()
}

#[test]
fn sender_that_counts_resumes_after_sigkill_from_the_number_that_any_client_reads() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    assert_eq!(create(&mut client, "counted", 2, &[("mode", "sequence")]), NONE);
    assert_eq!(count(&mut client, 0, "outbox", &[b"1", b"2", b"5"]), (NONE, 0));
    assert_eq!(count(&mut client, 1, "outbox", &[&7_u64.to_be_bytes()]), (NONE, 0));
    assert_eq!(count(&mut client, 0, "other", &[b"2"]), (NONE, 3));
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    let told = published(&mut client);
    let told: Vec<_> = told.iter().map(|(name, number)| (name.as_str(), number.as_str())).collect();
    assert_eq!(told, [("0/other", "2"), ("0/outbox", "5"), ("1/outbox", "7")]);
    assert_eq!(count(&mut client, 0, "outbox", &[b"5"]), (NONE, 2), "a retry");
    assert_eq!(count(&mut client, 0, "outbox", &[b"3"]), (NONE, -1), "below, where nothing was stored");
    assert_eq!(count(&mut client, 1, "outbox", &[b"6", b"8"]), (NONE, 1));
    assert_eq!(published(&mut client)["1/outbox"], "8");
    for number in [&b""[..], b"-1", b"1 ", &[0x20; 8]] {
        assert_eq!(count(&mut client, 0, "outbox", &[number]), (INVALID_RECORD, -1), "{number:?}");
    }
    assert_eq!(count(&mut client, 0, "", &[b"9"]), (INVALID_RECORD, -1));
    let own = produce(&mut client, "__einmal_sequences", 0, records(Producer::NONE, -1, &["x"], Codec::None));
    assert_eq!(own.error_code, INVALID_TOPIC_EXCEPTION, "nobody else tells numbers");
}

#[test]
fn record_that_expects_another_version_of_its_key_is_refused_also_after_sigkill() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic_with(&mut client, "locked", 1, &[("cleanup.policy", "compact"), ("message.version.check", "true")]);
    let write = |client: &mut TestClient, key: &str, expected: &str| {
        let header = [(&b"expected-version"[..], Some(expected.as_bytes()))];
        let batch = BatchBuilder::new().record_with_headers(1, Some(key.as_bytes()), Some(b"v"), &header);
        send_batch(client, "locked", batch.build().freeze())
    };
    assert_eq!(write(&mut client, "stock", "none"), (NONE, 0));
    assert_eq!(write(&mut client, "stock", "none"), (INVALID_RECORD, -1));
    assert_eq!(write(&mut client, "stock", "0"), (NONE, 1));
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    assert_eq!(write(&mut client, "stock", "0"), (INVALID_RECORD, -1));
    assert_eq!(write(&mut client, "stock", "1x"), (INVALID_RECORD, -1));
    assert_eq!(write(&mut client, "other", "none"), (NONE, 2));
    assert_eq!(write(&mut client, "stock", "1"), (NONE, 3));
}

#[test]
fn what_became_of_repeated_messages_is_counted_by_topic() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "dropped", 1, &[("mode", "window"), ("window.max.ids", "4")]);
    create(&mut client, "refused", 1, &[("mode", "window"), ("on.duplicate", "reject")]);
    create(&mut client, "marked", 1, &[("mode", "window"), ("on.duplicate", "mark"), ("id.source", "value-hash")]);
    for ids in [&["a", "b", ""][..], &["a", "b"], &["a", "c", "b", "d"], &["e", "f"]] {
        assert_eq!(send(&mut client, "dropped", ids).0, NONE);
        send(&mut client, "refused", ids);
    }
    let mut transaction = TransactionalProducer::init(&mut client, Protocol::V2, "payments");
    assert_eq!(transaction.send(&mut client, "marked", 0, &["a"]).0, NONE);
    assert_eq!(send(&mut client, "marked", &["a"]).0, NOT_ENOUGH_REPLICAS);
    assert_eq!(transaction.end(&mut client, true), NONE);
    assert_eq!(send(&mut client, "marked", &["a"]).0, NONE);
    let counted = |topic: &str| {
        let labels = format!("topic=\"{topic}\"");
        let families = [
            "missing_id",
            "holes_records",
            "rewritten_batches",
            "suppressed_batches",
            "rejected",
            "pending_conflicts",
            "evicted",
        ];
        families.map(|name| server.metric(&format!("einmal_dedup_{name}_total"), &[&labels]).unwrap_or(-1.0))
    };
    assert_eq!(counted("dropped"), [1.0, 2.0, 1.0, 1.0, 0.0, 0.0, 2.0]);
    assert_eq!(counted("refused"), [1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]);
    assert_eq!(counted("marked"), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn what_is_remembered_is_shown_and_by_what_messages_were_known() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 1, &[("mode", "window")]);
    create(&mut client, "few", 1, &[("mode", "window"), ("window.max.ids", "4"), ("id.source", "value-hash")]);
    create(&mut client, "any", 1, &[]);
    let of = |server: &TestServer, name: &str, topic: &str| {
        server.metric(&format!("einmal_dedup_{name}"), &[&format!("topic=\"{topic}\"")])
    };
    assert_eq!(of(&server, "live_ids", "once"), Some(0.0));
    assert_eq!(server.metric("einmal_dedup_index_bytes", &[]), Some(0.0));
    for ids in [&["a", "b", "c"][..], &["a", "d", "d"], &["b"]] {
        assert_eq!(send(&mut client, "once", ids).0, NONE);
        assert_eq!(send(&mut client, "any", ids).0, NONE);
    }
    for id in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(send(&mut client, "few", &[id]).0, NONE);
    }
    let mut transaction = TransactionalProducer::init(&mut client, Protocol::V2, "payments");
    for _ in 0..2 {
        assert_eq!(transaction.send(&mut client, "few", 0, &["x"]).0, NONE);
    }
    assert_eq!(transaction.end(&mut client, true), NONE);
    assert_eq!(known(&server, "once"), [1.0, 2.0, 0.0, 0.0, 0.0]);
    assert_eq!(known(&server, "few"), [0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(known(&server, "any"), [-1.0; 5], "it does not look");
    assert_eq!(of(&server, "live_ids", "any"), None);
    assert_eq!([of(&server, "live_ids", "once"), of(&server, "live_ids", "few")], [Some(4.0); 2]);
    let bytes = server.metric("einmal_dedup_index_bytes", &[]);
    assert!(bytes > Some(100.0), "{bytes:?}");
    assert_eq!(server.metric("einmal_dedup_scan_seconds_count", &[]), Some(11.0));
    server.kill9();
    let server = server.restart();
    assert_eq!([of(&server, "live_ids", "once"), of(&server, "live_ids", "few")], [Some(4.0); 2], "from the start on");
    assert!(of(&server, "oldest_id_age_seconds", "once").is_some());
    assert!(server.metric("einmal_dedup_recovery_seconds", &[]) > Some(0.0));
}

#[test]
fn settings_are_checked_when_they_are_given_and_shown() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    for (name, value) in [("mode", "always"), ("id.headers", "+"), ("namespace", "principals"), ("window.ms", "0")] {
        assert_eq!(create(&mut client, "bad", 1, &[(name, value)]), INVALID_CONFIG, "{name}={value}");
    }
    create(&mut client, "once", 1, &[("mode", "window"), ("id.headers", "id")]);
    let resource = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("once"));
    let answer = client.call(&DescribeConfigsRequest::default().with_resources(vec![resource]), 4);
    let shown = |name: &str| {
        let config = answer.results[0].configs.iter().find(|config| config.name.as_str() == name);
        config.and_then(|config| config.value.as_ref()).map(|value| value.to_string())
    };
    assert_eq!(shown("message.dedup.mode").as_deref(), Some("window"));
    assert_eq!(shown("message.dedup.id.headers").as_deref(), Some("id"));
    assert_eq!(shown("message.dedup.window.ms").as_deref(), Some("3600000"));
}

/// Values of a topic's settings with the code of where they come from.
fn described(client: &mut TestClient, topic: &str, name: &str) -> (Option<String>, i8) {
    let resource = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text(topic));
    let answer = client.call(&DescribeConfigsRequest::default().with_resources(vec![resource]), 4);
    let config = answer.results[0].configs.iter().find(|config| config.name.as_str() == name).expect(name);
    (config.value.as_ref().map(ToString::to_string), config.config_source)
}

#[test]
fn topics_have_the_brokers_defaults_by_their_names() {
    let server = TestServer::start_with(&["einmal.message.dedup.topics=order*", "einmal.message.dedup.mode=window"]);
    let mut client = TestClient::connect(&server);
    for (topic, settings) in [("orders", &[][..]), ("payments", &[]), ("orders-raw", &[("mode", "none")])] {
        assert_eq!(create(&mut client, topic, 1, settings), NONE, "{topic}");
        assert_eq!(send(&mut client, topic, &["a"]), (NONE, 0), "{topic}");
    }
    let mut again = |topic: &str| send(&mut client, topic, &["a"]);
    assert_eq!([again("orders"), again("payments"), again("orders-raw")], [(NONE, 0), (NONE, 1), (NONE, 1)]);
    let (static_broker, default, topic) = (4, 5, 1);
    let mut mode = |topic: &str| described(&mut client, topic, "message.dedup.mode");
    assert_eq!(mode("orders"), (Some("window".to_owned()), static_broker));
    assert_eq!(mode("payments"), (Some("none".to_owned()), default));
    assert_eq!(mode("orders-raw"), (Some("none".to_owned()), topic));
}

#[test]
fn changes_of_keys_that_get_lost_are_warned_of() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let settings = [("message.dedup.mode", "window"), ("message.dedup.id.source", "key")];
    create_topic_with(&mut client, "claims", 1, &settings);
    let compacted = [settings[0], settings[1], ("cleanup.policy", "compact")];
    create_topic_with(&mut client, "changes", 1, &compacted);
    let log = server.log_with(&["are lost"]);
    let warned: Vec<&str> = log.lines().filter(|line| line.contains("are lost")).collect();
    assert!(warned.len() == 1 && warned[0].contains("changes"), "{log}");
    assert!(!warned[0].contains("claims"), "{log}");
}

#[test]
fn topic_that_throttles_leaves_memory_for_the_ids_of_another_also_after_sigkill() {
    let mut server = TestServer::start_with(&["einmal.dedup.memory.bytes=131072"]);
    let mut client = TestClient::connect(&server);
    create(&mut client, "waits", 1, &[("mode", "window"), ("overflow", "throttle")]);
    create(&mut client, "goes", 1, &[("mode", "window")]);
    let batch = |number: i64, ids: i64| {
        let names: Vec<_> = (0..ids).map(|id| format!("{number}-{id}")).collect();
        records(Producer::NONE, -1, &names.iter().map(String::as_str).collect::<Vec<_>>(), Codec::None)
    };
    let mut taken = 0;
    for round in 0..2 {
        while taken < 1_000 && send_batch(&mut client, "waits", batch(taken, 100)) == (NONE, taken * 100) {
            taken += 1;
        }
        assert_eq!(send_batch(&mut client, "waits", batch(taken, 100)), (NOT_ENOUGH_REPLICAS, -1));
        for number in round * 20..round * 20 + 20 {
            assert_eq!(send_batch(&mut client, "goes", batch(number, 100)), (NONE, number * 100));
            assert_eq!(send_batch(&mut client, "goes", batch(number, 100)), (NONE, number * 100), "it is remembered");
        }
        for number in 0..taken {
            assert_eq!(send_batch(&mut client, "waits", batch(number, 100)), (NONE, number * 100), "and so are these");
        }
        assert_eq!(send_batch(&mut client, "goes", batch(1_000_000, 3000)), (INVALID_RECORD, -1), "never fits");
        assert!(server.metric("einmal_dedup_index_bytes", &[]).is_some_and(|bytes| bytes <= 131_072.0));
        server.kill9();
        server = server.restart();
        client = TestClient::connect(&server);
    }
}

#[test]
fn ids_are_taken_up_to_the_limit_and_longer_ones_leave_nothing_behind() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "lengths", 1, &[("mode", "window")]);
    let (shortest, longest, too_long) = ("a", "b".repeat(512), "c".repeat(513));
    assert_eq!(send(&mut client, "lengths", &[&too_long]), (INVALID_RECORD, -1));
    assert_eq!(send(&mut client, "lengths", &["x", &too_long]), (INVALID_RECORD, -1), "with what was sent beside it");
    // Nothing was stored and no id was remembered: the first offset is free, and so is x.
    assert_eq!(send(&mut client, "lengths", &["x"]), (NONE, 0));
    for (id, offset) in [(shortest, 1), (longest.as_str(), 2)] {
        assert_eq!(send(&mut client, "lengths", &[id]), (NONE, offset));
        assert_eq!(send(&mut client, "lengths", &[id]), (NONE, offset));
    }
    // A record without one is taken unchecked unless the topic says otherwise.
    assert_eq!([send(&mut client, "lengths", &[""]), send(&mut client, "lengths", &[""])], [(NONE, 3), (NONE, 4)]);
    create(&mut client, "strict", 1, &[("mode", "window"), ("missing.id", "reject")]);
    assert_eq!(send(&mut client, "strict", &[""]), (INVALID_RECORD, -1));
}
