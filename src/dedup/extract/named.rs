//! Ids that somebody names who has no record with them.

use super::{Extractor, Found, IdReader};
use crate::config::dedup::{IdSource, Identity, Namespace};
use crate::dedup::fingerprint::Fingerprint;
use crate::dedup::sender::Sender;
use crate::types::PartitionId;

/// An id as it is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedId {
    /// The values that it is made of, in the order of the settings: those of the headers of one alternative, or key, or value, or both.
    pub parts: Vec<Vec<u8>>,
    /// What separates the ids of different writers, where the topic has something for it: the header's value, or the principal.
    pub namespace: Option<Vec<u8>>,
}

/// No record of the topic can have such an id. `Display` is for whoever named it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitId {
    /// Not as many as an id is made of.
    #[error("an id of this topic has {expected}, not {found}")]
    Parts {
        /// What it takes.
        expected: String,
        /// How many there are.
        found: usize,
    },
    /// A record without it counts as one without an id.
    #[error("an empty text is no id")]
    Empty,
    /// `einmal.dedup.id.max.bytes`.
    #[error("the id has {0} bytes, more than einmal.dedup.id.max.bytes")]
    TooLong(usize),
    /// The topic has no namespaces.
    #[error("the ids of this topic have no namespace (message.dedup.namespace)")]
    NoNamespace,
    /// Principals are text.
    #[error("the namespace is no principal such as User:shop")]
    NoPrincipal,
}

impl Extractor {
    /// What a record with this id, sent to `partition`, is remembered by.
    ///
    /// # Errors
    /// [`UnfitId`].
    pub fn named(&self, identity: &Identity, partition: PartitionId, id: &NamedId) -> Result<Fingerprint, UnfitId> {
        let principal = match (&identity.namespace, &id.namespace) {
            (None, Some(_)) => return Err(UnfitId::NoNamespace),
            (Some(Namespace::Principal), Some(name)) => std::str::from_utf8(name).map_err(|_| UnfitId::NoPrincipal)?,
            _ => Sender::ANONYMOUS,
        };
        let mut reader = IdReader::new(*self, identity, partition, principal);
        if matches!(identity.namespace, Some(Namespace::Header(_)))
            && let Some(value) = reader.values.last_mut()
        {
            *value = id.namespace.as_deref();
        }
        let parts: Vec<_> = id.parts.iter().map(|part| Some(part.as_slice())).collect();
        let counts: Vec<usize> = match &identity.source {
            IdSource::Headers(alternatives) => alternatives.iter().map(Vec::len).collect(),
            IdSource::Key | IdSource::Value => vec![1],
            IdSource::KeyValue => vec![2],
        };
        if !counts.contains(&parts.len()) {
            return Err(UnfitId::Parts { expected: told(&identity.source), found: parts.len() });
        }
        let found = match &identity.source {
            IdSource::Headers(_) => reader.of_header_parts(&parts),
            IdSource::Key => match &id.parts[0] {
                key if key.is_empty() => Found::Nothing,
                key => reader.of_one(key),
            },
            IdSource::Value | IdSource::KeyValue => Found::Id(reader.hashed(parts.iter().copied())),
        };
        match found {
            Found::Id(fingerprint) => Ok(fingerprint),
            Found::Nothing => Err(UnfitId::Empty),
            Found::TooLong(bytes) => Err(UnfitId::TooLong(bytes)),
        }
    }
}

/// What an id of this source takes.
fn told(source: &IdSource) -> String {
    match source {
        IdSource::Headers(alternatives) => {
            let alternatives: Vec<String> = alternatives.iter().map(|names| names.join("+")).collect();
            format!("the values of {}", alternatives.join(" or of "))
        }
        IdSource::Key => "one part, the key".to_owned(),
        IdSource::Value => "one part, the value".to_owned(),
        IdSource::KeyValue => "two parts, key and value".to_owned(),
    }
}
