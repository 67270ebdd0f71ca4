//! Records that were there already, as an audit topic is told of them (`message.dedup.audit.topic`).
//!
//! Each is an object of JSON under the id as its key: what it repeated, what became of it, who sent it, and a copy of it, which shows
//! whether it was a repetition or another message with the same id. Bytes that are no UTF-8 are in hexadecimal digits, in a member
//! whose name says so.

use serde_json::{Map, Value, json};

use super::{Extractor, Found, IdReader, fingerprint};
use crate::config::DedupConfig;
use crate::config::dedup::IdSource;
use crate::dedup::decide::Original;
use crate::dedup::sender::Sender;
use crate::record::codec::decompress;
use crate::record::records::{RecordView, RecordsInvalid, records};
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::types::{PartitionId, ProducerId};

/// What one batch leaves in an audit topic, bytes of keys and values; what would be more is counted and not told.
pub const AUDIT_BYTES_MAX: usize = 512 << 10;
/// Up to here each record is told with its copy, then without: more of them fit.
const COPIED_BYTES_MAX: usize = AUDIT_BYTES_MAX / 2;

/// Records of a batch that were there already.
#[derive(Debug, Clone, Copy)]
pub struct RepeatedRecords<'a> {
    /// The name of the topic.
    pub topic: &'a str,
    /// Where the batch was sent to.
    pub partition: PartitionId,
    /// How the topic recognised them.
    pub config: &'a DedupConfig,
    /// Who sent the batch.
    pub sender: &'a Sender,
    /// Header of the batch.
    pub header: &'a BatchHeader,
    /// The batch as it came.
    pub bytes: &'a [u8],
    /// What became of them.
    pub outcome: &'static str,
    /// What each repeated, by rising offset deltas; an offset below 0 is not known.
    pub originals: &'a [(u32, Original)],
}

/// One record of an audit topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// The id as text.
    pub key: String,
    /// JSON.
    pub value: String,
}

impl AuditRecord {
    /// Bytes of both.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// What a batch leaves in an audit topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditRecords {
    /// In the order of the batch.
    pub records: Vec<AuditRecord>,
    /// Records that there is no room to tell of.
    pub untold: usize,
}

impl Extractor {
    /// What an audit topic is told of `repeated`, in at most [`AUDIT_BYTES_MAX`].
    ///
    /// # Errors
    /// [`RecordsInvalid`] if the records cannot be read.
    pub fn audit(&self, repeated: &RepeatedRecords<'_>) -> Result<AuditRecords, RecordsInvalid> {
        let codec = repeated.header.codec()?;
        let compressed = repeated.bytes.get(HEADER_BYTES..).unwrap_or_default();
        let plain = decompress(codec, compressed, self.limits())?;
        let identity = &repeated.config.identity;
        let mut reader = IdReader::new(*self, identity, repeated.partition, &repeated.sender.principal);
        let mut told = AuditRecords { records: Vec::new(), untold: repeated.originals.len() };
        let mut bytes = 0;
        let mut originals = repeated.originals.iter().peekable();
        for record in records(&plain, repeated.header.record_count) {
            // What comes behind the last of them tells nothing.
            if originals.peek().is_none() {
                break;
            }
            let record = record?;
            let Some((_, original)) = originals.next_if(|(delta, _)| *delta == record.offset_delta.unsigned_abs())
            else {
                continue;
            };
            let id = self.id_told(repeated, &mut reader, &record);
            let short = summary(repeated, &record, *original, &id);
            let mut value = None;
            if bytes + record.raw.len() < COPIED_BYTES_MAX {
                let full = with_copy(short.clone(), repeated.header, &record);
                value = Some(full).filter(|full| bytes + id.text.len() + full.len() <= COPIED_BYTES_MAX);
            }
            let told_record =
                AuditRecord { key: id.text, value: value.unwrap_or_else(|| Value::Object(short).to_string()) };
            // All others are only counted: there may be millions of them.
            if bytes + told_record.bytes() > AUDIT_BYTES_MAX {
                break;
            }
            bytes += told_record.bytes();
            told.untold -= 1;
            told.records.push(told_record);
        }
        Ok(told)
    }

    /// The id of a record as text.
    fn id_told<'r>(
        &self,
        repeated: &RepeatedRecords<'_>,
        reader: &mut IdReader<'_, 'r>,
        record: &RecordView<'r>,
    ) -> ToldId {
        let told = |text, form| ToldId { text, form, number: None };
        if let Some(sequence) = &repeated.config.sequence {
            let counted = self.number_of(sequence, record).ok().flatten();
            let (name, number) = counted.map_or(("", None), |(name, number)| (name, Some(number)));
            return ToldId { number, ..told(name.to_owned(), "text") };
        }
        let fingerprint = reader.id_of(record);
        let parts: Vec<&[u8]> = match &reader.identity.source {
            IdSource::Headers(alternatives) => {
                reader.header_parts(alternatives).unwrap_or_default().iter().flatten().copied().collect()
            }
            IdSource::Key => record.key.into_iter().collect(),
            // The copy has what they are made of.
            IdSource::Value | IdSource::KeyValue => Vec::new(),
        };
        // Forms of one id are one id, and have one key.
        if let [id] = parts.as_slice()
            && reader.is_plain
            && let Some(itself) = fingerprint::uuid(id)
        {
            return told(itself.text(), "text");
        }
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let texts: Option<Vec<&str>> = parts.iter().map(|part| std::str::from_utf8(part).ok()).collect();
        match (texts, fingerprint) {
            (Some(texts), _) if bytes > 0 && bytes <= self.id_bytes_max => told(texts.join("+"), "text"),
            (None, _) if bytes <= self.id_bytes_max => {
                told(parts.iter().map(|part| hex(part)).collect::<Vec<_>>().join("+"), "hex")
            }
            (_, Found::Id(fingerprint)) => told(hex(&fingerprint.0), "hash"),
            // It would not have been recognised.
            _ => told(String::new(), "none"),
        }
    }
}

/// An id for people.
struct ToldId {
    text: String,
    /// What the text is.
    form: &'static str,
    /// In mode `sequence`, where the text is the sender's name.
    number: Option<u64>,
}

/// What is told of a record without its copy.
fn summary(
    repeated: &RepeatedRecords<'_>,
    record: &RecordView<'_>,
    original: Original,
    id: &ToldId,
) -> Map<String, Value> {
    let known = if original.offset >= 0 {
        json!({ "partition": original.partition, "offset": original.offset })
    } else {
        Value::Null
    };
    let producer_id = Some(repeated.header.producer_id).filter(|id| *id != ProducerId::NONE).map(|id| id.0);
    let mut told = Map::new();
    for (name, value) in [
        ("topic", json!(repeated.topic)),
        ("partition", json!(repeated.partition.index)),
        ("outcome", json!(repeated.outcome)),
        ("id", json!(id.text)),
        ("id_form", json!(id.form)),
        ("number", json!(id.number)),
        ("original", known),
        ("client_id", json!(&*repeated.sender.client_id)),
        ("principal", json!(&*repeated.sender.principal)),
        ("producer_id", json!(producer_id)),
        ("in_transaction", json!(repeated.header.is_transactional())),
        ("record_bytes", json!(record.raw.len())),
        ("record", Value::Null),
    ] {
        told.insert(name.to_owned(), value);
    }
    told
}

fn with_copy(mut told: Map<String, Value>, header: &BatchHeader, record: &RecordView<'_>) -> String {
    let mut copy = Map::new();
    let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
    copy.insert("timestamp_ms".to_owned(), json!(timestamp));
    put(&mut copy, "key", record.key);
    put(&mut copy, "value", record.value);
    let headers = record.header_pairs().map(|(name, value)| {
        let mut header = Map::new();
        put(&mut header, "key", Some(name));
        put(&mut header, "value", value);
        Value::Object(header)
    });
    copy.insert("headers".to_owned(), headers.collect());
    told.insert("record".to_owned(), Value::Object(copy));
    Value::Object(told).to_string()
}

/// Text under `name`, other bytes under `<name>_hex`.
fn put(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    let (name, value) = match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| hex(bytes))) {
        None => (name.to_owned(), Value::Null),
        Some(Ok(text)) => (name.to_owned(), json!(text)),
        Some(Err(digits)) => (format!("{name}_hex"), json!(digits)),
    };
    object.insert(name, value);
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests;
