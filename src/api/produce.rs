//! Produce: batches checked on the connection, appended by the engine, answered at the durability asked for.
//!
//! Mirrors `KafkaApis.handleProduceRequest` and `ReplicaManager.appendRecords` of Kafka. Everything up to the hand-over to the
//! engine happens in the call, not in the future that it answers with, so batches of pipelined requests are appended in the
//! order in which they arrived; idempotent producers with five requests in flight depend on it.

mod arriving;
mod check;
mod encoders;
mod recompress;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::apis::{count_error, frame};
use super::senders::Senders;
use super::told::told;
use super::{Answer, Context, partition_of};
use crate::engine::command::{Acks, AppendBatch, Appended, TransactionProducer};
use crate::log::catalog::{Topic, Topics};
use crate::record::HEADER_BYTES;
use crate::record::validate::RecordError;
use crate::transaction::TransactionVersion;
use crate::types::{Arrival, ErrorCode, Offset};
use crate::wire::produce_request::{
    self, ProduceRequest, ProduceTopic, RECORD_BATCH_FROM, TopicRef, encode_unsupported_format,
};
use crate::wire::{Close, Request, RequestHeader, Segments};
use arriving::Arriving;
use check::Refusal;
pub use recompress::RecompressMemory;

/// First version whose clients know KAFKA_STORAGE_ERROR.
const STORAGE_ERROR_FROM: i16 = 4;

/// First version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 11;
/// First version whose batches add their partition to the transaction (KIP-890).
const ADDS_PARTITIONS_FROM: i16 = 12;

/// Clients of old message formats that are told about, each once; more than these are not worth the lines.
const OLD_CLIENTS_TOLD_MAX: usize = 100;

/// Answers a Produce of version 0 to 13.
pub fn produce(cx: Context, request: Request) -> Answer {
    begin(&cx, request).unwrap_or_else(Answer::Close)
}

fn begin(cx: &Context, request: Request) -> Result<Answer, Close> {
    let frame_bytes = request.frame_bytes;
    // More partitions than there may be are not named by mistake.
    let (header, request) = produce_request::decode(request, cx.broker.config.load().partitions_max)?;
    if header.api_version < RECORD_BATCH_FROM {
        let refused = refuse_old_format(cx, &header, &request)?;
        return Ok(Answer::Pipelined(Box::pin(async move { Ok(Some(refused)) })));
    }
    let topics = cx.broker.catalog.topics();
    if topics.compressing > 0 && recompress::is_wanted(&topics, &request) {
        return Ok(compressing(cx.clone(), header, request, frame_bytes));
    }
    let appending = Appending::begin(cx, &topics, header, request, frame_bytes)?;
    Ok(Answer::Pipelined(Box::pin(appending.answer())))
}

/// The same for batches that are compressed anew, which wait for a slot. What the connection sends behind them waits until they are
/// answered: they are with the engine only when they have been compressed, and nothing may come before them.
fn compressing(cx: Context, header: RequestHeader, request: ProduceRequest, frame_bytes: usize) -> Answer {
    Answer::Serial(Box::pin(async move {
        let slot = cx.broker.recompress_memory.slot().await;
        // What is in force by now.
        let topics = cx.broker.catalog.topics();
        let appending = Appending::begin(&cx, &topics, header, request, frame_bytes)?;
        drop((slot, topics));
        appending.answer().await
    }))
}

/// Versions 0 to 2 carry message formats that are not stored. Kafka 4 closes the connection; a refusal is easier to read.
fn refuse_old_format(cx: &Context, header: &RequestHeader, request: &ProduceRequest) -> Result<Segments, Close> {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let client_id = header.client_id.as_deref().unwrap_or_default();
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < OLD_CLIENTS_TOLD_MAX && told.insert(client_id.to_owned()) {
        tracing::warn!(
            client_id,
            peer = %cx.peer,
            api_version = header.api_version,
            "message format v0/v1 refused, the client must be of 0.11 or newer"
        );
    }
    drop(told);
    let error = ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT;
    for _ in request.topics.iter().flat_map(|topic| &topic.partitions) {
        count_error(header, error);
    }
    match request.acks {
        0 => Err(Close::UnacknowledgedProduceFailed { error }),
        _ => encode_unsupported_format(header, request),
    }
}

/// What a batch keeps in memory is at most this many times its size.
const PINNED_FACTOR_MAX: usize = 8;

/// A request whose batches are with the engine, but for those that were refused before.
struct Appending {
    header: RequestHeader,
    acks: Option<Acks>,
    timeout: Option<Duration>,
    topics: Vec<AppendingTopic>,
    /// Answers in the order of the partitions that were not refused; none if all were.
    appended: Option<oneshot::Receiver<Vec<Appended>>>,
    /// Of batches that were compressed anew, until the request is answered.
    memory: Vec<OwnedSemaphorePermit>,
    senders: Arc<Senders>,
}

struct AppendingTopic {
    named: TopicRef,
    topic: Option<Arc<Topic>>,
    /// Index of each partition, and why it was refused if it was.
    partitions: Vec<(i32, Option<Refusal>)>,
}

impl Appending {
    /// Checks all batches and queues the good ones, in the order of the request.
    ///
    /// # Errors
    /// Of a client that waits for no answer, where it is known before the engine has looked at the batches that one is refused. What
    /// such a client sent behind this request must not be appended, as if this one had been.
    fn begin(
        cx: &Context,
        topics: &Topics,
        header: RequestHeader,
        request: ProduceRequest,
        frame_bytes: usize,
    ) -> Result<Self, Close> {
        let acks = acks_from_wire(request.acks);
        let version = header.api_version;
        let protocol = if version >= ADDS_PARTITIONS_FROM { TransactionVersion::V2 } else { TransactionVersion::V1 };
        let mut arriving = Arriving { cx, header: &header, acks, now: super::now(), memory: Vec::new(), sender: None };
        // Each takes at least its header of the frame.
        let named = request.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
        let mut batches = Vec::with_capacity(named.min(frame_bytes / HEADER_BYTES));
        let mut appending = Vec::with_capacity(request.topics.len());
        for ProduceTopic { topic: named, partitions } in request.topics {
            let topic = find(topics, &named).cloned();
            let partitions = partitions.into_iter().map(|partition| {
                let index = partition.index;
                let checked = match (acks, &topic) {
                    (None, _) => Err(Refusal::of(ErrorCode::INVALID_REQUIRED_ACKS)),
                    (_, None) => Err(Refusal::of(missing(&named))),
                    (_, Some(topic)) => arriving.check(topic, partition),
                };
                match checked {
                    Ok(mut batch) => {
                        if pins_too_much(batch.bytes.len(), frame_bytes) {
                            batch.bytes = BytesMut::from(&batch.bytes[..]);
                        }
                        batches.push(batch);
                        (index, None)
                    }
                    Err(refusal) => (index, Some(refusal)),
                }
            });
            let partitions = partitions.collect();
            appending.push(AppendingTopic { named, topic, partitions });
        }
        let memory = arriving.memory;
        let batches = name_transactions(&mut appending, batches, request.transactional_id.as_deref(), protocol);
        if let Some(acks) = acks {
            metrics::counter!(crate::metrics::PRODUCE_ACKS_TOTAL, "acks" => acks_label(acks)).increment(1);
        }
        let appended = match acks {
            Some(acks) if !batches.is_empty() => Some(cx.broker.engine.append(acks, batches)),
            _ => None,
        };
        let senders = Arc::clone(&cx.broker.senders);
        let timeout = timeout(acks, request.timeout_ms);
        let begun = Self { header, acks, timeout, topics: appending, appended, memory, senders };
        match begun.unacknowledged_refusal() {
            Some(error) => Err(Close::UnacknowledgedProduceFailed { error }),
            None => Ok(begun),
        }
    }

    /// Why the connection of a client that waits for no answer has to end.
    fn unacknowledged_refusal(&self) -> Option<ErrorCode> {
        if self.acks != Some(Acks::None) {
            return None;
        }
        let mut first = None;
        for topic in &self.topics {
            for (index, refusal) in &topic.partitions {
                if let Some(refusal) = refusal {
                    count(&self.header, topic.topic.as_deref(), refused(*index, refusal.clone(), None));
                    first = first.or(Some(refusal.error));
                }
            }
        }
        first
    }

    async fn answer(mut self) -> Result<Option<Segments>, Close> {
        let appended = match self.appended.take() {
            Some(receiver) => wait(receiver, self.timeout).await?,
            None => Some(Vec::new()),
        };
        drop(std::mem::take(&mut self.memory));
        let answers = self.answers(appended);
        if self.acks == Some(Acks::None) {
            let errors = answers.iter().flat_map(|topic| &topic.partition_responses).map(|answer| answer.error_code);
            return match errors.into_iter().find(|error| *error != 0) {
                Some(error) => Err(Close::UnacknowledgedProduceFailed { error: ErrorCode(error) }),
                None => Ok(None),
            };
        }
        frame(&self.header, &ProduceResponse::default().with_responses(answers)).map(Some)
    }

    /// One answer per partition in the request's order; `appended` is none if the engine did not answer in time.
    fn answers(&mut self, appended: Option<Vec<Appended>>) -> Vec<TopicProduceResponse> {
        let header = &self.header;
        let client_id = header.client_id.as_deref().unwrap_or_default();
        let mut appended = appended.map(Vec::into_iter);
        let mut topics = Vec::with_capacity(self.topics.len());
        for topic in self.topics.drain(..) {
            let partitions = topic.partitions.into_iter().map(|(index, refusal)| {
                let answer = match (refusal, &mut appended) {
                    (Some(refusal), _) => {
                        let log = topic.topic.as_deref().filter(|_| refusal.is_by_log);
                        let log_start = log.and_then(|topic| Some(partition_of(topic, index)?.offsets().log_start));
                        refused(index, refusal, log_start)
                    }
                    (None, None) => refused(index, Refusal::of(ErrorCode::REQUEST_TIMED_OUT), None),
                    (None, Some(appended)) => {
                        let appended = appended.next().expect("the engine answers every batch that it was given");
                        if let Some(topic) = &topic.topic {
                            self.senders.note(topic.no, client_id, appended.repeated);
                        }
                        done(header.api_version, index, appended)
                    }
                };
                count(header, topic.topic.as_deref(), answer)
            });
            let answer = TopicProduceResponse::default().with_partition_responses(partitions.collect());
            topics.push(match topic.named {
                TopicRef::Name(name) => answer.with_name(StrBytes::from_string(name).into()),
                TopicRef::Id(id) => answer.with_topic_id(id),
            });
        }
        topics
    }
}

fn acks_from_wire(acks: i16) -> Option<Acks> {
    match acks {
        -1 => Some(Acks::All),
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        _ => None,
    }
}

fn acks_label(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "0",
        Acks::Leader => "1",
        Acks::All => "all",
    }
}

/// How long the client waits for durability. Kafka answers acks=all at once where the leader alone is in sync, so a timeout of 0
/// never fails there; taken literally it would refuse every write here.
fn timeout(acks: Option<Acks>, timeout_ms: i32) -> Option<Duration> {
    let timeout_ms = u64::try_from(timeout_ms).ok().filter(|timeout_ms| *timeout_ms > 0)?;
    (acks == Some(Acks::All)).then(|| Duration::from_millis(timeout_ms))
}

/// None if the answer is not there in time; the write itself goes on.
async fn wait(
    receiver: oneshot::Receiver<Vec<Appended>>,
    timeout: Option<Duration>,
) -> Result<Option<Vec<Appended>>, Close> {
    let answered = match timeout {
        Some(timeout) => match tokio::time::timeout(timeout, receiver).await {
            Ok(answered) => answered,
            Err(_) => return Ok(None),
        },
        None => receiver.await,
    };
    answered.map(Some).map_err(|_| Close::Ending)
}

fn find<'a>(topics: &'a Topics, named: &TopicRef) -> Option<&'a Arc<Topic>> {
    match named {
        TopicRef::Name(name) => topics.by_name.get(name.as_str()),
        TopicRef::Id(id) => topics.by_id.get(id),
    }
}

fn missing(named: &TopicRef) -> ErrorCode {
    match named {
        TopicRef::Name(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        TopicRef::Id(_) => ErrorCode::UNKNOWN_TOPIC_ID,
    }
}

/// Whether a batch has to leave its frame. A batch in the tail cache keeps all of its frame in memory, and counts there by its own
/// size: without this a small one beside much that was refused would hold any number of bytes for nothing.
fn pins_too_much(batch_bytes: usize, frame_bytes: usize) -> bool {
    batch_bytes.saturating_mul(PINNED_FACTOR_MAX) < frame_bytes
}

/// Says of batches of transactions whose they are, which is told from their headers whatever the request says. One without a
/// transactional id spoils the whole request, as in Kafka (TRANSACTIONAL_ID_AUTHORIZATION_FAILED, CVE-2018-17196), and so do two
/// producers in one request (INVALID_PRODUCER_ID_MAPPING). Answers the batches that are left.
fn name_transactions(
    topics: &mut [AppendingTopic],
    mut batches: Vec<AppendBatch>,
    transactional_id: Option<&str>,
    version: TransactionVersion,
) -> Vec<AppendBatch> {
    let mut transactional = batches.iter_mut().filter(|batch| batch.header.is_transactional()).peekable();
    let Some(first) = transactional.peek() else { return batches };
    let (producer_id, producer_epoch) = (first.header.producer_id, first.header.producer_epoch);
    let Some(transactional_id) = transactional_id else {
        refuse_all(topics, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
        return Vec::new();
    };
    let transactional_id = Arc::from(transactional_id);
    // Of no meaning here: a late batch is told by its sequence.
    let arrival = Arrival::default();
    let producer = TransactionProducer { transactional_id, producer_id, producer_epoch, version, arrival };
    let producer = Arc::new(producer);
    for batch in transactional {
        if (batch.header.producer_id, batch.header.producer_epoch) != (producer_id, producer_epoch) {
            refuse_all(topics, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
            return Vec::new();
        }
        batch.transaction = Some(Arc::clone(&producer));
    }
    batches
}

fn refuse_all(topics: &mut [AppendingTopic], error: ErrorCode) {
    for (_, refusal) in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        *refusal = Some(Refusal::of(error));
    }
}

/// The code of an append in the words of the request's version. What an end that is under way holds up is to be tried again:
/// clients of version 1 do not expect CONCURRENT_TRANSACTIONS from Produce.
fn in_version(version: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::TRANSACTION_ABORTABLE if version < ABORTABLE_FROM => ErrorCode::INVALID_TXN_STATE,
        ErrorCode::CONCURRENT_TRANSACTIONS if version < ADDS_PARTITIONS_FROM => ErrorCode::NOT_ENOUGH_REPLICAS,
        error => error,
    }
}

fn refused(index: i32, refusal: Refusal, log_start: Option<Offset>) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(refusal.error.0)
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(log_start.unwrap_or(-1))
        .with_record_errors(record_errors(refusal.records))
        .with_error_message(refusal.message.map(told))
}

fn done(version: i16, index: i32, appended: Appended) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(in_version(version, appended.error).0)
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.log_append_time)
        .with_log_start_offset(appended.log_start_offset)
        .with_record_errors(record_errors(appended.record_errors))
        .with_error_message(appended.message.map(told))
}

fn record_errors(errors: Vec<RecordError>) -> Vec<BatchIndexAndErrorMessage> {
    // As nearly always.
    if errors.is_empty() {
        return Vec::new();
    }
    let answers = errors.into_iter().map(|error| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(error.batch_index)
            .with_batch_index_error_message(Some(told(error.message)))
    });
    answers.collect()
}

fn count(
    header: &RequestHeader,
    topic: Option<&Topic>,
    mut answer: PartitionProduceResponse,
) -> PartitionProduceResponse {
    if answer.error_code == ErrorCode::KAFKA_STORAGE_ERROR.0 && header.api_version < STORAGE_ERROR_FROM {
        answer.error_code = ErrorCode::NOT_LEADER_OR_FOLLOWER.0;
    }
    let error = ErrorCode(answer.error_code);
    count_error(header, error);
    if let Some(topic) = topic
        && !error.is_none()
    {
        topic.traffic.produce_failed.fetch_add(1, Relaxed);
    }
    answer
}

#[cfg(test)]
mod tests;
