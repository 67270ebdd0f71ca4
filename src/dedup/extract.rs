//! Reads the ids of a batch's records: on the connection that brought it, so that the one writer need not.

mod audit;
mod named;

use std::sync::Arc;

pub use audit::{AUDIT_BYTES_MAX, AuditRecord, AuditRecords, RepeatedRecords};
pub use named::{NamedId, UnfitId};

use super::BatchId;
use super::claim::OfferedClaim;
use super::fingerprint::{self, Fingerprint, Secret};
use super::sealed::SealedFindings;
use super::sender::Sender;
use super::sequences::BatchNumber;
use super::versions::VersionedRecord;
use crate::config::DedupConfig;
use crate::config::dedup::{IdSource, Identity, Namespace, SequenceConfig};
use crate::record::codec::{DecompressError, DecompressionLimits, decompress};
use crate::record::records::{RecordView, RecordsInvalid, records};
use crate::record::validate::{RECORD_ERRORS_MAX, RecordError};
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::types::{ErrorCode, PartitionId, Timestamp};

/// Bytes of a record with nothing in it: its length, and six fields of a byte each.
const RECORD_BYTES_MIN: usize = 7;

/// The ids of a batch, under the settings that they were read by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchIds {
    /// Of the topic when the ids were read.
    pub config: Arc<DedupConfig>,
    /// Who brings the batch.
    pub sender: Arc<Sender>,
    /// Of the records that have one, in their order.
    pub ids: Vec<BatchId>,
    /// In a ledger, one for each id; in other topics none.
    pub claims: Vec<OfferedClaim>,
    /// With `message.dedup.time.source=create`, the time of the record of each id; otherwise none.
    pub times: Vec<Timestamp>,
    /// In mode `sequence`, of the records that are numbered, in their order; in others none.
    pub numbers: Vec<BatchNumber>,
    /// With `message.version.check`, of the records with keys, in their order; otherwise none.
    pub versions: Vec<VersionedRecord>,
    /// Which of `ids` are no longer in memory, as far as somebody looked.
    pub sealed: SealedFindings,
}

impl BatchIds {
    /// Those of records of which none has one.
    fn none(config: &Arc<DedupConfig>, sender: &Arc<Sender>) -> Self {
        Self {
            config: Arc::clone(config),
            sender: Arc::clone(sender),
            ids: Vec::new(),
            claims: Vec::new(),
            times: Vec::new(),
            numbers: Vec::new(),
            versions: Vec::new(),
            sealed: SealedFindings::default(),
        }
    }

    /// Whether they are remembered and not checked.
    pub fn is_bypassed(&self) -> bool {
        self.config.bypasses(&self.sender.principal)
    }

    /// Whether they would be the same under `config`.
    pub fn are_of(&self, config: &Arc<DedupConfig>) -> bool {
        Arc::ptr_eq(&self.config, config)
            || self.config.checks_versions == config.checks_versions
                && self.config.compares_times == config.compares_times
                && self.is_bypassed() == config.bypasses(&self.sender.principal)
                && (&self.config.identity, self.config.needs_id, self.config.is_ledger(), &self.config.sequence)
                    == (&config.identity, config.needs_id, config.is_ledger(), &config.sequence)
    }
}

/// Why the ids of a batch cannot be taken. `Display` is the sentence that the client gets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdsRefused {
    /// The records cannot be read.
    #[error("Record batch does not decode: {0}")]
    Undecodable(#[from] RecordsInvalid),
    /// The offsets of the records are not 0, 1, 2 and so on.
    #[error("Record {index} of the batch has offset {offset_delta}")]
    Offset {
        /// Place of the record.
        index: i32,
        /// As found.
        offset_delta: i32,
    },
    /// `message.dedup.missing.id` is `reject`.
    #[error("One or more records have no message id")]
    Missing {
        /// The first [`RECORD_ERRORS_MAX`] of them.
        records: Vec<RecordError>,
    },
    /// In a ledger.
    #[error("One or more records make no claim")]
    NoClaim {
        /// The first [`RECORD_ERRORS_MAX`] of them.
        records: Vec<RecordError>,
    },
    /// With `message.version.check`.
    #[error("One or more records expect what is no version")]
    NoVersion {
        /// The first [`RECORD_ERRORS_MAX`] of them.
        records: Vec<RecordError>,
    },
    /// In mode `sequence`.
    #[error("One or more records have a name and a number that do not count")]
    NotCounting {
        /// The first [`RECORD_ERRORS_MAX`] of them.
        records: Vec<RecordError>,
    },
    /// `einmal.dedup.id.max.bytes`.
    #[error("One or more records have a message id that is too long")]
    TooLong {
        /// The first [`RECORD_ERRORS_MAX`] of them.
        records: Vec<RecordError>,
    },
}

impl IdsRefused {
    /// Code for the wire. A batch that expands too far may be sent again in smaller ones, which the Java client does by itself.
    pub fn error(&self) -> ErrorCode {
        match self {
            Self::Undecodable(RecordsInvalid::Decompress(DecompressError::TooLarge { .. })) => {
                ErrorCode::MESSAGE_TOO_LARGE
            }
            _ => ErrorCode::INVALID_RECORD,
        }
    }

    /// The single records at fault, where it is single ones.
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            Self::NoVersion { records }
            | Self::Missing { records }
            | Self::TooLong { records }
            | Self::NoClaim { records }
            | Self::NotCounting { records } => records,
            _ => &[],
        }
    }
}

/// Reads ids.
#[derive(Debug, Clone, Copy)]
pub struct Extractor {
    /// Of this data directory.
    pub secret: Secret,
    /// `einmal.dedup.id.max.bytes`.
    pub id_bytes_max: usize,
    /// `einmal.dedup.batch.max.bytes`.
    pub batch_bytes_max: u64,
}

/// What is found where an id belongs.
enum Found {
    Id(Fingerprint),
    Nothing,
    TooLong(usize),
}

impl Extractor {
    /// How far a batch may expand.
    pub fn limits(&self) -> DecompressionLimits {
        DecompressionLimits { bytes_max: self.batch_bytes_max, ratio_max: u64::MAX }
    }

    /// The ids of the batch in `bytes`, a valid one for `partition` that `sender` brings. Of one who is not checked a record may have no
    /// id; what has one must be fit to be remembered.
    ///
    /// # Errors
    /// [`IdsRefused`].
    pub fn ids(
        &self,
        config: &Arc<DedupConfig>,
        sender: &Arc<Sender>,
        partition: PartitionId,
        bytes: &[u8],
        header: &BatchHeader,
    ) -> Result<BatchIds, IdsRefused> {
        let codec = header.codec().map_err(RecordsInvalid::from)?;
        let compressed = bytes.get(HEADER_BYTES..).unwrap_or_default();
        let plain = decompress(codec, compressed, self.limits()).map_err(RecordsInvalid::from)?;
        if let Some(sequence) = &config.sequence {
            let needs_number = config.needs_id && !config.bypasses(&sender.principal);
            let numbers = self.numbers(needs_number, sequence, &plain, header.record_count)?;
            return Ok(BatchIds { numbers, ..BatchIds::none(config, sender) });
        }
        if config.checks_versions {
            let versions = self.versions(&plain, header.record_count)?;
            return Ok(BatchIds { versions, ..BatchIds::none(config, sender) });
        }
        let mut reader = IdReader::new(*self, &config.identity, partition, &sender.principal);
        // As many as there are records, unless the header promises more than can be.
        let records_max = plain.len() / RECORD_BYTES_MIN;
        let mut ids = Vec::with_capacity(usize::try_from(header.record_count).unwrap_or(0).min(records_max));
        let (mut claims, mut times) = (Vec::new(), Vec::new());
        let (mut missing, mut too_long, mut no_claim) = (Vec::new(), Vec::new(), Vec::new());
        let is_ledger = config.is_ledger();
        let is_checked = !config.bypasses(&sender.principal);
        for record in numbered(&plain, header.record_count) {
            let (index, record) = record?;
            match reader.id_of(&record) {
                Found::Id(fingerprint) => {
                    ids.push(BatchId { fingerprint, offset_delta: index.unsigned_abs() });
                    match is_ledger.then(|| OfferedClaim::of(&record, self.secret)) {
                        None => {}
                        Some(Ok(claim)) => claims.push(claim),
                        Some(Err(why)) if is_checked => note(&mut no_claim, index, || why.to_owned()),
                        // There is no claim to remember.
                        Some(Err(_)) => {
                            ids.pop();
                            continue;
                        }
                    }
                    if config.compares_times {
                        times.push(header.base_timestamp.saturating_add(record.timestamp_delta));
                    }
                }
                // Whatever `message.dedup.missing.id` says: a success would tell its sender that it has what it did not name.
                Found::Nothing if is_ledger && is_checked => {
                    note(&mut no_claim, index, || "it has no key that it could claim".to_owned());
                }
                Found::Nothing if config.needs_id && is_checked => {
                    note(&mut missing, index, || "it has no message id".to_owned())
                }
                Found::Nothing => {}
                Found::TooLong(bytes) => {
                    let message = || format!("its message id has {bytes} bytes, more than {}", self.id_bytes_max);
                    note(&mut too_long, index, message);
                }
            }
        }
        if !too_long.is_empty() {
            return Err(IdsRefused::TooLong { records: too_long });
        }
        if !missing.is_empty() {
            return Err(IdsRefused::Missing { records: missing });
        }
        if !no_claim.is_empty() {
            return Err(IdsRefused::NoClaim { records: no_claim });
        }
        Ok(BatchIds { ids, claims, times, ..BatchIds::none(config, sender) })
    }

    /// What the records in `plain` say of versions.
    fn versions(&self, plain: &[u8], record_count: i32) -> Result<Vec<VersionedRecord>, IdsRefused> {
        let mut versions = Vec::new();
        let mut wrong = Vec::new();
        for record in numbered(plain, record_count) {
            let (index, record) = record?;
            match VersionedRecord::of(&record, index.unsigned_abs(), self.secret) {
                Ok(version) => versions.extend(version),
                Err(why) => note(&mut wrong, index, || why.to_owned()),
            }
        }
        if wrong.is_empty() { Ok(versions) } else { Err(IdsRefused::NoVersion { records: wrong }) }
    }

    /// The numbers of the records in `plain`.
    fn numbers(
        &self,
        needs_number: bool,
        sequence: &SequenceConfig,
        plain: &[u8],
        record_count: i32,
    ) -> Result<Vec<BatchNumber>, IdsRefused> {
        let mut numbers: Vec<BatchNumber> = Vec::new();
        let (mut missing, mut wrong) = (Vec::new(), Vec::new());
        for record in numbered(plain, record_count) {
            let (index, record) = record?;
            match self.number_of(sequence, &record) {
                Ok(Some((name, number))) => {
                    // The records of a batch mostly have one name.
                    let known = numbers.last().map(|last| &last.name).filter(|last| &***last == name).cloned();
                    let name = known.unwrap_or_else(|| Arc::from(name));
                    numbers.push(BatchNumber { name, number, offset_delta: index.unsigned_abs() });
                }
                Ok(None) if needs_number => note(&mut missing, index, || "it has no name and number".to_owned()),
                Ok(None) => {}
                Err(why) => note(&mut wrong, index, || why.to_owned()),
            }
        }
        if !wrong.is_empty() {
            return Err(IdsRefused::NotCounting { records: wrong });
        }
        if !missing.is_empty() {
            return Err(IdsRefused::Missing { records: missing });
        }
        Ok(numbers)
    }

    /// Who counted a record, and what; none if neither is there.
    fn number_of<'r>(
        &self,
        sequence: &SequenceConfig,
        record: &RecordView<'r>,
    ) -> Result<Option<(&'r str, u64)>, &'static str> {
        let (mut name, mut number) = (None, None);
        for (header, value) in record.header_pairs() {
            // The last of several counts, as in Kafka's `Headers.lastHeader`.
            if header == sequence.name_header.as_bytes() {
                name = Some(value.unwrap_or_default());
            } else if header == sequence.number_header.as_bytes() {
                number = Some(value.unwrap_or_default());
            }
        }
        let (name, number) = match (name, number) {
            (None, None) => return Ok(None),
            (Some(name), Some(number)) => (name, number),
            _ => return Err("it has a name without a number, or a number without a name"),
        };
        if name.is_empty() || name.len() > self.id_bytes_max {
            return Err("its name is empty or longer than einmal.dedup.id.max.bytes");
        }
        let name = std::str::from_utf8(name).map_err(|_| "its name is not UTF-8")?;
        let number = read_number(number).ok_or("its number is neither decimal text nor 8 bytes of less than 2^61")?;
        Ok(Some((name, number)))
    }
}

/// The records in `plain` with their places, which their offsets have to be.
fn numbered(plain: &[u8], record_count: i32) -> impl Iterator<Item = Result<(i32, RecordView<'_>), IdsRefused>> {
    (0..).zip(records(plain, record_count)).map(|(index, record)| {
        let record = record?;
        if record.offset_delta != index {
            return Err(IdsRefused::Offset { index, offset_delta: record.offset_delta });
        }
        Ok((index, record))
    })
}

/// Digits are text: 8 of them would be a number above 2^61 if they were none.
fn read_number(bytes: &[u8]) -> Option<u64> {
    if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) {
        return std::str::from_utf8(bytes).ok()?.parse().ok();
    }
    let number = u64::from_be_bytes(bytes.try_into().ok()?);
    (number < 1 << 61).then_some(number)
}

fn note(records: &mut Vec<RecordError>, batch_index: i32, message: impl FnOnce() -> String) {
    if records.len() < RECORD_ERRORS_MAX {
        records.push(RecordError { batch_index, message: message() });
    }
}

/// Reads one record after the other.
struct IdReader<'c, 'r> {
    extractor: Extractor,
    identity: &'c Identity,
    /// The sender, where ids of different ones differ.
    principal: Option<&'c str>,
    /// Of the topic's partition, where ids of different ones differ.
    scope: Option<[u8; 4]>,
    /// Whether a UUID may stand for itself.
    is_plain: bool,
    /// Names of the headers that matter: those of all alternatives in order, then that of the namespace.
    names: Vec<&'c [u8]>,
    /// Their values in the record at hand.
    values: Vec<Option<&'r [u8]>>,
}

impl<'c, 'r> IdReader<'c, 'r> {
    fn new(extractor: Extractor, identity: &'c Identity, partition: PartitionId, principal: &'c str) -> Self {
        let alternatives = match &identity.source {
            IdSource::Headers(alternatives) => alternatives.as_slice(),
            _ => &[],
        };
        let namespace = match &identity.namespace {
            Some(Namespace::Header(name)) => Some(name),
            _ => None,
        };
        let names: Vec<_> = alternatives.iter().flatten().chain(namespace).map(|name| name.as_bytes()).collect();
        Self {
            extractor,
            identity,
            principal: (identity.namespace == Some(Namespace::Principal)).then_some(principal),
            scope: identity.is_per_partition.then(|| partition.index.to_be_bytes()),
            is_plain: identity.namespace.is_none() && !identity.is_per_partition,
            values: vec![None; names.len()],
            names,
        }
    }

    fn id_of(&mut self, record: &RecordView<'r>) -> Found {
        self.read_headers(record);
        match &self.identity.source {
            IdSource::Headers(alternatives) => {
                self.header_parts(alternatives).map_or(Found::Nothing, |parts| self.of_header_parts(parts))
            }
            IdSource::Key => match record.key {
                None | Some([]) => Found::Nothing,
                Some(key) => self.of_one(key),
            },
            IdSource::Value => record.value.map_or(Found::Nothing, |value| Found::Id(self.hashed([Some(value)]))),
            IdSource::KeyValue if record.key.is_none() && record.value.is_none() => Found::Nothing,
            IdSource::KeyValue => Found::Id(self.hashed([record.key, record.value])),
        }
    }

    fn read_headers(&mut self, record: &RecordView<'r>) {
        if self.names.is_empty() {
            return;
        }
        self.values.fill(None);
        for (name, value) in record.header_pairs() {
            for (known, found) in self.names.iter().zip(&mut self.values) {
                // The last of several counts, as in Kafka's `Headers.lastHeader`.
                if *known == name {
                    *found = Some(value.unwrap_or_default());
                }
            }
        }
    }

    /// The values of the first alternative of which all headers are there.
    fn header_parts(&self, alternatives: &[Vec<String>]) -> Option<&[Option<&'r [u8]>]> {
        let mut first = 0;
        for alternative in alternatives {
            let parts = &self.values[first..first + alternative.len()];
            if parts.iter().all(Option::is_some) {
                return Some(parts);
            }
            first += alternative.len();
        }
        None
    }

    fn of_header_parts(&self, parts: &[Option<&[u8]>]) -> Found {
        let bytes: usize = parts.iter().flatten().map(|part| part.len()).sum();
        if bytes > self.extractor.id_bytes_max {
            return Found::TooLong(bytes);
        }
        match parts {
            parts if parts.iter().flatten().any(|part| part.is_empty()) => Found::Nothing,
            [Some(id)] => self.of_one(id),
            parts => Found::Id(self.hashed(parts.iter().copied())),
        }
    }

    fn of_one(&self, id: &[u8]) -> Found {
        let uuid = if self.is_plain { fingerprint::uuid(id) } else { None };
        Found::Id(uuid.unwrap_or_else(|| self.hashed([Some(id)])))
    }

    fn hashed<'a>(&'a self, parts: impl IntoIterator<Item = Option<&'a [u8]>>) -> Fingerprint {
        let scope = self.scope.as_ref().map(|scope| Some(&scope[..]));
        let secret = self.extractor.secret;
        match (self.principal, &self.identity.namespace) {
            (Some(principal), _) => secret.fingerprint_of(principal, scope.into_iter().chain(parts)),
            (None, Some(_)) => secret.fingerprint(self.values.last().copied().into_iter().chain(scope).chain(parts)),
            (None, None) => secret.fingerprint(scope.into_iter().chain(parts)),
        }
    }
}

#[cfg(test)]
mod tests;
