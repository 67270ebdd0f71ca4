//! Bytes from a hostile peer, made by mutating good ones: an error or an answer, never a panic, and what is accepted keeps its
//! promises. A plain `cargo test` tries a few thousand; `make fuzz` goes on for as long as it is told, from a new seed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use einmal::api::APIS;
use einmal::api::fetch_session::{Asked, FetchSessions, NO_SESSION, Outcome, PartitionKey, SessionRequest, TopicKey};
use einmal::record::build::BatchBuilder;
use einmal::record::codec::{Codec, DecompressionLimits};
use einmal::record::validate::check_client_batch;
use einmal::record::{HEADER_BYTES, records};
use einmal::types::{ProducerEpoch, ProducerId};
use einmal::wire::frame::FrameCutter;
use einmal::wire::header::{HeaderVersion, parse};
use einmal::wire::{RequestHeader, message, produce_request};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;

// As the broker has it: what a decoder reserves for a hostile count stays a reservation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Numbers from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is above 0.
    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    /// A few changes of the kinds that break parsers: bits, bytes, lengths, cuts, repetitions.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][self.below(6)],
                2 => bytes.insert(at, self.roll() as u8),
                3 => bytes.truncate(at),
                4 if at + 4 <= bytes.len() => {
                    let number = [0, 1, -1, i32::MAX, i32::MIN, 100, 1 << 20][self.below(7)];
                    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
                }
                _ => {
                    let end = (at + self.below(16)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
    }
}

/// Runs `case` on seed after seed: a fixed few thousand, or new ones for `FUZZ_SECONDS`. The seed of a failure is printed, and
/// `FUZZ_SEED` tries that one alone.
fn fuzz(count: u64, case: impl Fn(&mut Dice)) {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
    let run = |seed: u64| {
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&mut Dice(seed))));
        assert!(shown.is_ok(), "seed {seed} fails: FUZZ_SEED={seed} tries it again");
    };
    match (number("FUZZ_SEED"), number("FUZZ_SECONDS")) {
        (Some(seed), _) => run(seed),
        (None, Some(seconds)) => {
            let (end, start) =
                (Instant::now() + Duration::from_secs(seconds), getrandom::u64().expect("the system has some"));
            let tried = (0..).take_while(|step| {
                run(start.wrapping_add(*step));
                Instant::now() < end
            });
            println!("{} cases from seed {start}", tried.count());
        }
        (None, None) => (0..count).for_each(run),
    }
}

/// Decodes a body as its handler does.
type Decode = fn(&RequestHeader, &mut Bytes);

fn decoder<R: Request>() -> (i16, Decode) {
    (R::KEY, |header, body| drop(message::decode::<R>(header, body)))
}

fn decoders() -> BTreeMap<i16, Decode> {
    BTreeMap::from([
        decoder::<FetchRequest>(),
        decoder::<ListOffsetsRequest>(),
        decoder::<MetadataRequest>(),
        decoder::<OffsetCommitRequest>(),
        decoder::<OffsetFetchRequest>(),
        decoder::<JoinGroupRequest>(),
        decoder::<SyncGroupRequest>(),
        decoder::<HeartbeatRequest>(),
        decoder::<LeaveGroupRequest>(),
        decoder::<DescribeGroupsRequest>(),
        decoder::<ListGroupsRequest>(),
        decoder::<DeleteGroupsRequest>(),
        decoder::<OffsetDeleteRequest>(),
        decoder::<FindCoordinatorRequest>(),
        decoder::<ApiVersionsRequest>(),
        decoder::<CreateTopicsRequest>(),
        decoder::<DeleteTopicsRequest>(),
        decoder::<DeleteRecordsRequest>(),
        decoder::<InitProducerIdRequest>(),
        decoder::<AddPartitionsToTxnRequest>(),
        decoder::<AddOffsetsToTxnRequest>(),
        decoder::<EndTxnRequest>(),
        decoder::<WriteTxnMarkersRequest>(),
        decoder::<TxnOffsetCommitRequest>(),
        decoder::<DescribeTransactionsRequest>(),
        decoder::<ListTransactionsRequest>(),
        decoder::<OffsetForLeaderEpochRequest>(),
        decoder::<DescribeConfigsRequest>(),
        decoder::<AlterConfigsRequest>(),
        decoder::<DescribeLogDirsRequest>(),
        decoder::<CreatePartitionsRequest>(),
        decoder::<IncrementalAlterConfigsRequest>(),
        decoder::<DescribeClusterRequest>(),
        decoder::<DescribeProducersRequest>(),
        decoder::<ConsumerGroupHeartbeatRequest>(),
        decoder::<ConsumerGroupDescribeRequest>(),
        decoder::<DescribeAclsRequest>(),
        decoder::<CreateAclsRequest>(),
        decoder::<DeleteAclsRequest>(),
        decoder::<AlterReplicaLogDirsRequest>(),
        decoder::<ElectLeadersRequest>(),
        decoder::<AlterPartitionReassignmentsRequest>(),
        decoder::<ListPartitionReassignmentsRequest>(),
        decoder::<DescribeClientQuotasRequest>(),
        decoder::<DescribeUserScramCredentialsRequest>(),
        decoder::<DescribeQuorumRequest>(),
        decoder::<UpdateFeaturesRequest>(),
        decoder::<UnregisterBrokerRequest>(),
        decoder::<ListConfigResourcesRequest>(),
        decoder::<DescribeTopicPartitionsRequest>(),
    ])
}

#[test]
fn every_api_is_fuzzed() {
    let decoders = decoders();
    assert!(APIS.iter().all(|api| api.name == "Produce" || decoders.contains_key(&api.key)));
}

#[test]
fn frames_headers_and_bodies() {
    let decoders = decoders();
    fuzz(20_000, |dice| {
        let api = &APIS[dice.below(APIS.len())];
        let version = api.versions.0 + dice.below((api.versions.1 - api.versions.0 + 1) as usize) as i16;
        // Small numbers are counts, lengths and booleans to some field or other: so decoders come deep.
        let mut body: Vec<u8> = (0..dice.below(120)).map(|_| [0, 0, 0, 1, 2, 3, 4, b'a'][dice.below(8)]).collect();
        dice.mutate(&mut body);
        let mut payload = Vec::new();
        payload.put_i16(api.key);
        payload.put_i16(version);
        payload.put_i32(7);
        payload.put_slice(&[0, 1, b'x', 0][..if version >= api.flexible_from { 4 } else { 3 }]);
        payload.extend(body);
        if dice.below(4) == 0 {
            dice.mutate(&mut payload);
        }
        let mut stream = (payload.len() as u32).to_be_bytes().to_vec();
        stream.extend(payload);
        if dice.below(8) == 0 {
            dice.mutate(&mut stream);
        }
        let mut cutter = FrameCutter::new(1 << 20);
        let split = dice.below(stream.len() + 1);
        for mut part in [&stream[..split], &stream[split..]] {
            while let Ok(Some(frame)) = cutter.push(&mut part, |_, _, _| Ok(())) {
                request(&decoders, frame);
            }
            assert!(cutter.held_bytes() <= (2 * stream.len()).max(einmal::wire::frame::STEP_BYTES));
        }
    });
}

fn request(decoders: &BTreeMap<i16, Decode>, frame: BytesMut) {
    let Some((key, version)) = einmal::wire::header::peek(&frame) else { return };
    let Some(api) = APIS.iter().find(|api| api.key == key) else { return };
    if !(api.versions.0..=api.versions.1).contains(&version) {
        return;
    }
    let form = if version >= api.flexible_from { HeaderVersion::V2 } else { HeaderVersion::V1 };
    let Ok(request) = parse(frame, form) else { return };
    match decoders.get(&key) {
        Some(decode) => decode(&request.header, &mut request.body.freeze()),
        None => drop(produce_request::decode(request, 1000)),
    }
}

#[test]
fn batches_that_pass_can_be_read() {
    fuzz(20_000, |dice| {
        let codec = [Codec::None, Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd][dice.below(6)];
        let mut builder = BatchBuilder::new().codec(codec).producer(ProducerId(1), ProducerEpoch(0), 0);
        for index in 0..=dice.below(4) {
            let value = vec![b'v'; dice.below(200)];
            builder = builder.record(index as i64, (index % 2 == 0).then_some(b"key"), Some(&value));
        }
        let mut bytes = builder.build().to_vec();
        dice.mutate(&mut bytes);
        if bytes.len() >= HEADER_BYTES && dice.below(4) != 0 {
            // A peer can compute a CRC and a length, too.
            let length = (bytes.len() - 12) as u32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            let crc = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        let checked = check_client_batch(&bytes);
        if let Ok(times) = records::times(&bytes, DecompressionLimits::default()) {
            times.for_each(drop);
        }
        let Ok(header) = checked else { return };
        assert_eq!((header.base_offset, header.size_bytes as usize), (0, bytes.len()));
        assert_eq!(header.last_offset_delta, header.record_count - 1);
        if header.codec() == Ok(Codec::None) {
            let ends = records::records(&bytes[HEADER_BYTES..], header.record_count);
            let trailing = ends.filter(|record| matches!(record, Err(records::RecordsInvalid::TrailingBytes { .. })));
            assert_eq!(trailing.count(), 0, "records end where the batch ends");
        }
    });
}

#[test]
fn fetch_sessions_stay_within_their_limits() {
    const SLOTS: usize = 3;
    const PARTITIONS_MAX: usize = 10;
    fuzz(2_000, |dice| {
        let sessions = FetchSessions::new(SLOTS, PARTITIONS_MAX);
        let (mut now, mut drawn) = (Instant::now(), 0);
        for _ in 0..60 {
            now += Duration::from_secs(dice.below(100) as u64);
            let key = |index| PartitionKey { topic: TopicKey::Name("t".into()), index };
            let keys = |dice: &mut Dice| (0..dice.below(5)).map(|_| key(dice.below(12) as i32)).collect::<Vec<_>>();
            let asked = Asked { fetch_offset: 0, bytes_max: 1, current_leader_epoch: -1, last_fetched_epoch: -1 };
            let named: Vec<_> = keys(dice).into_iter().map(|key| (key, asked)).collect();
            let request = SessionRequest {
                id: dice.below(drawn as usize + 2) as i32,
                epoch: [-1, 0, 0, 1, 2, 3, i32::MAX, i32::MIN][dice.below(8)],
                by_topic_id: dice.below(10) == 0,
            };
            let forgotten = keys(dice);
            let Ok(fetching) = sessions.begin(now, request, named, &forgotten) else { continue };
            assert!(fetching.partitions.len() <= PARTITIONS_MAX);
            let outcomes = fetching.partitions.iter().map(|_| Outcome {
                has_records: dice.below(2) == 0,
                is_error: dice.below(4) == 0,
                is_diverging: dice.below(8) == 0,
                high_watermark: dice.below(3) as i64,
                log_start: 0,
            });
            let outcomes: Vec<_> = outcomes.collect();
            let finished = sessions.finish(now, &fetching, &outcomes, || {
                drawn += 1;
                Some(drawn)
            });
            if let Ok(finished) = finished {
                assert_eq!(finished.listed.len(), fetching.partitions.len());
                assert!(finished.session_id >= NO_SESSION);
            }
            assert!(sessions.count() <= SLOTS);
        }
    });
}
