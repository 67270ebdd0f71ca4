//! What the connection does with one batch before the engine has it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::check::{self, Refusal};
use super::recompress;
use crate::api::{Context, aside, partition_of, topic_name};
use crate::dedup::{BatchIds, Sender};
use crate::engine::command::{Acks, AppendBatch, Refused};
use crate::log::catalog::Topic;
use crate::record::codec::Codec;
use crate::types::{ErrorCode, PartitionId, Timestamp};
use crate::wire::RequestHeader;
use crate::wire::produce_request::ProducePartition;

/// A request whose batches are being checked.
pub(super) struct Arriving<'r> {
    pub cx: &'r Context,
    pub header: &'r RequestHeader,
    /// None if they are none.
    pub acks: Option<Acks>,
    pub now: Timestamp,
    /// Of batches that were compressed anew, until the request is answered.
    pub memory: Vec<OwnedSemaphorePermit>,
    /// Who sends it, once a topic has asked.
    pub sender: Option<Arc<Sender>>,
}

impl Arriving<'_> {
    /// Checks a batch, and does with it what need not be done by the one writer.
    pub fn check(&mut self, topic: &Topic, named: ProducePartition) -> Result<AppendBatch, Refusal> {
        let Self { now, .. } = *self;
        let partition =
            partition_of(topic, named.index).ok_or_else(|| Refusal::of(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
        // Clients that got hold of the name must not think that they wrote offsets or transactions.
        if topic_name::is_internal(&topic.name) {
            return Err(Refusal::of(ErrorCode::INVALID_TOPIC_EXCEPTION));
        }
        let bytes = named.records.unwrap_or_default();
        let name = format_args!("{}-{}", topic.name, named.index);
        let check = || check::check_batch(&topic.config, &name, &bytes, self.header.api_version, now);
        let header = if check::may_expand(&topic.config, &bytes, now) { aside(check) } else { check() }?;
        let mut batch =
            AppendBatch { partition: partition.id, header, bytes, transaction: None, ids: None, refused: None };
        if let Err(refusal) = self.prepare(topic, &mut batch) {
            batch.refused = Some(self.to_come_again(refusal)?);
        }
        Ok(batch)
    }

    /// Compresses it as the topic is, and reads its message ids where the topic remembers some.
    fn prepare(&mut self, topic: &Topic, batch: &mut AppendBatch) -> Result<(), Refusal> {
        let cx = self.cx;
        if let Some(to) = batch.header.codec().ok().and_then(|codec| recompress::target(&topic.config, codec)) {
            let budget = &cx.broker.recompress_memory;
            let made = aside(|| recompress::recompressed(&batch.bytes, &batch.header, to, &topic.config, budget))?;
            (batch.bytes, batch.header) = (made.bytes, made.header);
            self.memory.push(made.permit);
        }
        if let Some(dedup) = &topic.config.dedup {
            let sender = self.sender();
            let read = || cx.broker.extractor.ids(dedup, &sender, batch.partition, &batch.bytes, &batch.header);
            let began = Instant::now();
            let mut ids = if batch.header.codec() == Ok(Codec::None) { read() } else { aside(read) }?;
            cx.broker.id_scan_duration.record(began.elapsed());
            look_up_sealed(cx, topic, batch.partition, &mut ids)?;
            batch.ids = Some(Box::new(ids));
        }
        Ok(())
    }

    fn sender(&mut self) -> Arc<Sender> {
        let client_id = self.header.client_id.as_deref().unwrap_or_default();
        Arc::clone(self.sender.get_or_insert_with(|| Arc::new(Sender::anonymous(client_id))))
    }

    /// The refusal of a batch that may come again, for the engine to answer: what its producer has sent behind it has to wait for it. Who
    /// waits for no answer is refused before anything that it has sent behind.
    ///
    /// # Errors
    /// Of one that is final.
    fn to_come_again(&self, refusal: Refusal) -> Result<Box<Refused>, Refusal> {
        match refusal.error {
            ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::KAFKA_STORAGE_ERROR if self.acks != Some(Acks::None) => {
                Ok(Box::new(Refused::new(refusal.error, refusal.message.unwrap_or_default())))
            }
            _ => Err(refusal),
        }
    }
}

/// Looks up which ids of the batch are no longer in memory, so that the one writer need not.
fn look_up_sealed(cx: &Context, topic: &Topic, partition: PartitionId, ids: &mut BatchIds) -> Result<(), Refusal> {
    let perhaps = cx.broker.sealed_ids.ask(topic.no, &ids.ids);
    let is_none = perhaps.is_none();
    let read = || perhaps.read(&ids.ids);
    // Of a cold file a read takes as long as the disk does.
    let found = if is_none { read() } else { aside(read) };
    ids.sealed = found.map_err(|error| {
        tracing::error!(topic = &*topic.name, partition = partition.index, %error, "message ids cannot be looked up");
        let message = "the message ids of the topic cannot be read".to_owned();
        Refusal::saying(ErrorCode::KAFKA_STORAGE_ERROR, message)
    })?;
    Ok(())
}
