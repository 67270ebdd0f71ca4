//! `message.dedup.*` of a topic: how messages are recognised that are sent again, and for how long.
//!
//! Kafka has no such settings. They are given per topic and change while the broker runs; a change holds for what is appended
//! after it and forgets no id.

mod defaults;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::table::{self, InvalidSetting, list, number};
use crate::types::Timestamp;

pub use defaults::DedupDefaults;

const MODE: &str = "message.dedup.mode";
const ID_SOURCE: &str = "message.dedup.id.source";
const ID_HEADERS: &str = "message.dedup.id.headers";
const NAMESPACE: &str = "message.dedup.namespace";
const BYPASS_PRINCIPALS: &str = "message.dedup.bypass.principals";
/// The setting that names the topic which is told of repeated records.
pub const AUDIT_TOPIC: &str = "message.dedup.audit.topic";
const SCOPE: &str = "message.dedup.scope";
const TIME_SOURCE: &str = "message.dedup.time.source";
const WINDOW_REFRESH: &str = "message.dedup.window.refresh";
const WINDOW_MS: &str = "message.dedup.window.ms";
const WINDOW_MAX_IDS: &str = "message.dedup.window.max.ids";
const OVERFLOW: &str = "message.dedup.overflow";
const MISSING_ID: &str = "message.dedup.missing.id";
const ON_DUPLICATE: &str = "message.dedup.on.duplicate";
/// Not one of `message.dedup.*`: what it checks are no repetitions. It shares their way to the engine.
const VERSION_CHECK: &str = "message.version.check";
const SEQUENCE_HEADERS: &str = "message.dedup.sequence.headers";
const SEQUENCE_RETENTION_MS: &str = "message.dedup.sequence.retention.ms";

/// Headers that `message.dedup.id.headers` names, those of all its alternatives together: each header of each record is compared with
/// each of them, also on the one writer where an audit topic is told.
pub const ID_HEADERS_MAX: usize = 32;

/// How often in a window repeats extend the life of an id at the most: what they cost is bounded by it.
const REFRESHES_PER_WINDOW: Timestamp = 8;

/// How a topic recognises repeated messages (`message.dedup.mode` other than `none`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupConfig {
    /// What the id of a record is made of.
    pub identity: Identity,
    /// `message.dedup.window.ms`: how long an id is remembered unless there is no room, ≥ 1.
    pub window_ms: Timestamp,
    /// With `message.dedup.window.refresh`: a repeat extends the life of its id if the last one that did is longer ago than this, ms.
    pub refresh_ms: Option<Timestamp>,
    /// `message.dedup.time.source` is `create`: only records whose own times are within a window of each other are the same message.
    pub compares_times: bool,
    /// `message.dedup.window.max.ids`, ≥ 1.
    pub window_ids_max: usize,
    /// `message.dedup.overflow` is `throttle`: a full window refuses new ids instead of forgetting the oldest.
    pub throttles: bool,
    /// `message.dedup.missing.id` is `reject`.
    pub needs_id: bool,
    /// `message.dedup.on.duplicate`.
    pub on_duplicate: OnDuplicate,
    /// `message.dedup.bypass.principals`: what these send is remembered, not checked.
    pub bypass_principals: Vec<String>,
    /// `message.dedup.audit.topic`: the topic that is told of repeated records.
    pub audit_topic: Option<Arc<str>>,
    /// For `message.dedup.mode=sequence`, where records are told apart by numbers and not by ids.
    pub sequence: Option<SequenceConfig>,
    /// `message.version.check`: records may say which version their key must have. Nothing else is looked at then.
    pub checks_versions: bool,
}

/// How a topic recognises messages by their senders' numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceConfig {
    /// First of `message.dedup.sequence.headers`: the header that says who counts.
    pub name_header: String,
    /// The second one: the header that holds the number.
    pub number_header: String,
    /// `message.dedup.sequence.retention.ms`: how long an idle name is remembered, ≥ 1; none: for ever.
    pub retention_ms: Option<Timestamp>,
}

/// What two records must have in common to be the same message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `message.dedup.id.source` with `message.dedup.id.headers`.
    pub source: IdSource,
    /// `message.dedup.namespace`: what separates the ids of different writers.
    pub namespace: Option<Namespace>,
    /// `message.dedup.scope` is `partition`: the same id in another partition is another message.
    pub is_per_partition: bool,
}

/// What separates the ids of different writers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespace {
    /// Who sends them, as the broker knows it: nobody can claim another's.
    Principal,
    /// The value of this header, which every sender can claim.
    Header(String),
}

/// Where the id of a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdSource {
    /// In headers, no more than [`ID_HEADERS_MAX`]: the first alternative counts of which all headers are present. None is empty.
    Headers(Vec<Vec<String>>),
    /// In its key.
    Key,
    /// Its value is its id.
    Value,
    /// Key and value are.
    KeyValue,
}

/// What happens to a record whose id is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// It is left out, and its producer is told that it is there.
    Drop,
    /// Its batch is refused.
    Reject,
    /// It is stored with a header that names the first one.
    Mark,
}

impl DedupConfig {
    /// How long an id is remembered, ms: the window, and as much longer as a repeat may have counted for nothing.
    pub fn kept_ms(&self) -> Timestamp {
        self.window_ms.saturating_add(self.refresh_ms.unwrap_or(0))
    }

    /// Whether what this principal sends is remembered and not checked.
    pub fn bypasses(&self, principal: &str) -> bool {
        self.bypass_principals.iter().any(|name| name == principal)
    }

    /// Whether it matters who sends a batch.
    pub fn asks_for_principal(&self) -> bool {
        !self.bypass_principals.is_empty() || self.identity.namespace == Some(Namespace::Principal)
    }

    /// `message.dedup.mode`, or what is looked at in its place.
    pub fn mode(&self) -> &'static str {
        match (&self.sequence, self.checks_versions) {
            (Some(_), _) => "sequence",
            (None, true) => VERSION_CHECK,
            (None, false) => "window",
        }
    }

    /// In mode `window`, how long ids are remembered, ms, and how many.
    pub fn window(&self) -> Option<(Timestamp, usize)> {
        (self.mode() == "window").then_some((self.window_ms, self.window_ids_max))
    }

    /// Whether records are claims of their keys by the owners that their values name: `message.dedup.on.duplicate=reject` with
    /// `message.dedup.id.source=key`.
    pub fn is_ledger(&self) -> bool {
        self.sequence.is_none()
            && !self.checks_versions
            && self.on_duplicate == OnDuplicate::Reject
            && self.identity.source == IdSource::Key
    }

    /// Whether changes of a key's value get lost: each is the same message as the first by its key, and a topic whose log is compacted
    /// is one of such changes.
    pub fn loses_changes(&self, is_compacted: bool) -> bool {
        is_compacted
            && self.sequence.is_none()
            && !self.checks_versions
            && self.on_duplicate == OnDuplicate::Drop
            && self.identity.source == IdSource::Key
    }

    /// What the settings of a topic say, which have been checked one by one; none for `message.dedup.mode=none`.
    ///
    /// # Errors
    /// [`InvalidSetting`] for header names that are none.
    pub fn of(overrides: &BTreeMap<String, String>) -> Result<Option<Self>, InvalidSetting> {
        // Most topics have none of these.
        if !overrides.keys().any(|name| table::is_own(name)) {
            return Ok(None);
        }
        let text = |name: &str| match overrides.get(name) {
            Some(text) => text.as_str(),
            None => table::topic(name).and_then(|setting| setting.default).unwrap_or_default(),
        };
        // Read in any mode, so that what could not be used later is refused when it is set.
        let headers = headers(text(ID_HEADERS))?;
        let namespace = namespace(text(NAMESPACE))?;
        let source = match text(ID_SOURCE) {
            "key" => IdSource::Key,
            "value-hash" => IdSource::Value,
            "key-value-hash" => IdSource::KeyValue,
            _ => IdSource::Headers(headers),
        };
        let (name_header, number_header) = sequence_headers(text(SEQUENCE_HEADERS))?;
        let retention_ms = Some(number(SEQUENCE_RETENTION_MS, text(SEQUENCE_RETENTION_MS))?).filter(|ms| *ms >= 0);
        let sequence = SequenceConfig { name_header, number_header, retention_ms };
        let window_ms: Timestamp = number(WINDOW_MS, text(WINDOW_MS))?;
        let dedup = Self {
            identity: Identity { source, namespace, is_per_partition: text(SCOPE) == "partition" },
            window_ms,
            refresh_ms: (text(WINDOW_REFRESH) == "true").then_some(window_ms / REFRESHES_PER_WINDOW),
            compares_times: text(TIME_SOURCE) == "create",
            window_ids_max: number(WINDOW_MAX_IDS, text(WINDOW_MAX_IDS))?,
            throttles: text(OVERFLOW) == "throttle",
            needs_id: text(MISSING_ID) == "reject",
            on_duplicate: match text(ON_DUPLICATE) {
                "reject" => OnDuplicate::Reject,
                "mark" => OnDuplicate::Mark,
                _ => OnDuplicate::Drop,
            },
            bypass_principals: principals(text(BYPASS_PRINCIPALS))?,
            audit_topic: Some(text(AUDIT_TOPIC).trim()).filter(|name| !name.is_empty()).map(Arc::from),
            sequence: (text(MODE) == "sequence").then_some(sequence),
            checks_versions: text(VERSION_CHECK) == "true",
        };
        if dedup.checks_versions && text(MODE) != "none" {
            return Err(InvalidSetting {
                name: VERSION_CHECK.to_owned(),
                reason: format!("{VERSION_CHECK}=true goes with {MODE}=none only"),
            });
        }
        Ok((text(MODE) != "none" || dedup.checks_versions).then_some(dedup))
    }
}

/// Refuses `message.dedup.id.headers` with more names than [`ID_HEADERS_MAX`], unless it is what `current` has: from a time without
/// this limit, as [`DedupConfig::of`] does with as many as it takes.
pub(super) fn check_id_headers(
    current: &BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
) -> Result<(), InvalidSetting> {
    let Some(text) = given.get(ID_HEADERS).filter(|text| current.get(ID_HEADERS) != Some(text)) else { return Ok(()) };
    let names = list(text).flat_map(|alternative| alternative.split('+')).count();
    if names <= ID_HEADERS_MAX {
        return Ok(());
    }
    Err(InvalidSetting {
        name: ID_HEADERS.to_owned(),
        reason: format!("Invalid value for configuration {ID_HEADERS}: {names} names are more than {ID_HEADERS_MAX}"),
    })
}

/// The alternatives that go with the first [`ID_HEADERS_MAX`] names; those behind are looked for in no record.
fn headers(text: &str) -> Result<Vec<Vec<String>>, InvalidSetting> {
    let refuse = || InvalidSetting {
        name: ID_HEADERS.to_owned(),
        reason: format!(
            "Invalid value {text} for configuration {ID_HEADERS}: must be header names with commas between alternatives and + \
             between the headers of one"
        ),
    };
    let mut alternatives = Vec::new();
    for alternative in list(text) {
        let parts: Vec<_> = alternative.split('+').map(|part| part.trim().to_owned()).collect();
        if parts.iter().any(String::is_empty) {
            return Err(refuse());
        }
        alternatives.push(parts);
    }
    if alternatives.is_empty() {
        return Err(refuse());
    }
    let mut names = 0;
    let fitting = alternatives.iter().take_while(|parts| {
        names += parts.len();
        names <= ID_HEADERS_MAX
    });
    let fitting = fitting.count();
    alternatives.truncate(fitting);
    Ok(alternatives)
}

fn sequence_headers(text: &str) -> Result<(String, String), InvalidSetting> {
    let mut names = list(text);
    match (names.next(), names.next(), names.next()) {
        (Some(name), Some(number), None) if name != number => Ok((name.to_owned(), number.to_owned())),
        _ => Err(InvalidSetting {
            name: SEQUENCE_HEADERS.to_owned(),
            reason: format!(
                "Invalid value {text} for configuration {SEQUENCE_HEADERS}: must be two header names, that of the name and that of the \
                 number"
            ),
        }),
    }
}

fn namespace(text: &str) -> Result<Option<Namespace>, InvalidSetting> {
    match text.strip_prefix("header:").map(str::trim) {
        None if text == "none" => Ok(None),
        None if text == "principal" => Ok(Some(Namespace::Principal)),
        Some(name) if !name.is_empty() => Ok(Some(Namespace::Header(name.to_owned()))),
        _ => Err(InvalidSetting {
            name: NAMESPACE.to_owned(),
            reason: format!(
                "Invalid value {text} for configuration {NAMESPACE}: must be none, principal or header:<name>"
            ),
        }),
    }
}

/// Names of principals have commas in them where they come from certificates, so that they are parted as in Kafka's `super.users`.
fn principals(text: &str) -> Result<Vec<String>, InvalidSetting> {
    let names: Vec<_> = text.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let is_principal =
        |name: &String| name.split_once(':').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
    if names.iter().all(is_principal) {
        return Ok(names);
    }
    Err(InvalidSetting {
        name: BYPASS_PRINCIPALS.to_owned(),
        reason: format!(
            "Invalid value {text} for configuration {BYPASS_PRINCIPALS}: must be principals such as User:mirror with semicolons between them"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic::validate;

    fn of(overrides: &[(&str, &str)]) -> Result<Option<DedupConfig>, String> {
        let overrides = overrides.iter().map(|(name, text)| (format!("message.dedup.{name}"), (*text).to_owned()));
        let kept = validate(&overrides.collect()).map_err(|invalid| invalid.reason)?;
        DedupConfig::of(&kept).map_err(|invalid| invalid.reason)
    }

    #[test]
    fn topic_without_a_mode_recognises_nothing() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("window.ms", "5")]), Ok(None));
        assert_eq!(of(&[("mode", "none")]), Ok(None));
    }

    #[test]
    fn window_takes_ids_from_well_known_headers_for_an_hour() {
        let names = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        let expected = DedupConfig {
            identity: Identity {
                source: IdSource::Headers(vec![names(&["message-id"]), names(&["ce_source", "ce_id"])]),
                namespace: None,
                is_per_partition: false,
            },
            window_ms: 3_600_000,
            refresh_ms: None,
            compares_times: false,
            window_ids_max: 10_000_000,
            throttles: false,
            needs_id: false,
            on_duplicate: OnDuplicate::Drop,
            bypass_principals: Vec::new(),
            audit_topic: None,
            sequence: None,
            checks_versions: false,
        };
        assert_eq!(of(&[("mode", "window")]), Ok(Some(expected)));
    }

    #[test]
    fn every_setting_is_taken() {
        let given = [
            ("mode", "window"),
            ("id.source", "key"),
            ("namespace", "header: tenant"),
            ("scope", "partition"),
            ("window.ms", "17"),
            ("window.refresh", "true"),
            ("time.source", "create"),
            ("window.max.ids", "8"),
            ("overflow", "throttle"),
            ("missing.id", "reject"),
            ("on.duplicate", "mark"),
            ("bypass.principals", "User:mirror; User:CN=replay,O=x;"),
            ("audit.topic", "repeated"),
        ];
        let expected = DedupConfig {
            identity: Identity {
                source: IdSource::Key,
                namespace: Some(Namespace::Header("tenant".to_owned())),
                is_per_partition: true,
            },
            window_ms: 17,
            refresh_ms: Some(2),
            compares_times: true,
            window_ids_max: 8,
            throttles: true,
            needs_id: true,
            on_duplicate: OnDuplicate::Mark,
            bypass_principals: vec!["User:mirror".to_owned(), "User:CN=replay,O=x".to_owned()],
            audit_topic: Some("repeated".into()),
            sequence: None,
            checks_versions: false,
        };
        assert_eq!(of(&given), Ok(Some(expected)));
    }

    #[test]
    fn sequence_mode_takes_names_and_numbers_from_headers() {
        let sequence = |given: &[(&str, &str)]| of(given).expect("valid").and_then(|dedup| dedup.sequence);
        let expected = |name: &str, number: &str, retention_ms| {
            Some(SequenceConfig { name_header: name.to_owned(), number_header: number.to_owned(), retention_ms })
        };
        assert_eq!(sequence(&[("mode", "sequence")]), expected("producer-name", "producer-sequence", None));
        let given = [("mode", "sequence"), ("sequence.headers", "a, b"), ("sequence.retention.ms", "9")];
        assert_eq!(sequence(&given), expected("a", "b", Some(9)));
        assert_eq!(sequence(&[("mode", "window"), given[1], given[2]]), None);
    }

    #[test]
    fn versions_are_checked_where_nothing_is_told_apart() {
        let of = |texts: &[(&str, &str)]| {
            let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            DedupConfig::of(&texts.collect()).map_err(|invalid| invalid.reason)
        };
        let checked = of(&[("message.version.check", "true")]).expect("valid").expect("checks");
        assert!(checked.checks_versions && checked.sequence.is_none());
        assert_eq!(of(&[("message.version.check", "false")]), Ok(None));
        of(&[("message.version.check", "true"), ("message.dedup.mode", "window")]).expect_err("one or the other");
    }

    #[test]
    fn ids_are_in_so_many_headers_and_stored_settings_of_more_load() {
        let of = |names: usize| {
            let names: Vec<_> = (0..names).map(|name| format!("h{name}")).collect();
            let text = names.chunks(2).map(|parts| parts.join("+")).collect::<Vec<_>>().join(",");
            BTreeMap::from([(ID_HEADERS.to_owned(), text), (MODE.to_owned(), "window".to_owned())])
        };
        let judged = |current: &BTreeMap<_, _>, given: &BTreeMap<_, _>| {
            crate::config::topic::judge(current, given).map(|_| ()).map_err(|invalid| invalid.reason)
        };
        assert_eq!(judged(&BTreeMap::new(), &of(ID_HEADERS_MAX)), Ok(()));
        let refused = Err(format!("Invalid value for configuration {ID_HEADERS}: 33 names are more than 32"));
        assert_eq!(judged(&BTreeMap::new(), &of(ID_HEADERS_MAX + 1)), refused);
        let again = BTreeMap::from([(ID_HEADERS.to_owned(), ["a"; 33].join(","))]);
        assert_eq!(judged(&BTreeMap::new(), &again), refused, "each time that it is named counts");
        let refused = DedupDefaults::of("*", of(ID_HEADERS_MAX + 1)).expect_err("as on topics").reason;
        assert!(refused.ends_with("einmal.message.dedup.id.headers: 33 names are more than 32"), "{refused}");
        let stored = of(1_001);
        assert_eq!(judged(&stored, &stored), Ok(()), "beside another setting that changes");
        let taken = DedupConfig::of(&stored).expect("loads").expect("looks");
        let IdSource::Headers(alternatives) = taken.identity.source else { panic!("in headers") };
        assert_eq!((alternatives.len(), alternatives[15][1].as_str()), (16, "h31"));
        let one =
            BTreeMap::from([(ID_HEADERS.to_owned(), ["a"; 33].join("+")), (MODE.to_owned(), "window".to_owned())]);
        let taken = DedupConfig::of(&one).expect("loads").expect("looks");
        assert_eq!(taken.identity.source, IdSource::Headers(Vec::new()), "a part of an id is another id");
    }

    #[test]
    fn what_could_not_be_used_is_refused_when_it_is_set() {
        for (name, text) in [
            ("id.headers", ""),
            ("id.headers", "a,+b"),
            ("id.headers", "a++b"),
            ("namespace", "header:"),
            ("namespace", "principals"),
            ("bypass.principals", "mirror"),
            ("bypass.principals", "User:a;User:"),
            ("bypass.principals", ":a"),
            ("mode", "sometimes"),
            ("window.ms", "0"),
            ("window.refresh", "sometimes"),
            ("time.source", "LogAppendTime"),
            ("window.max.ids", "0"),
            ("window.max.ids", "2000000001"),
            ("sequence.headers", "a"),
            ("sequence.headers", "a,a"),
            ("sequence.headers", "a,b,c"),
            ("sequence.retention.ms", "-2"),
        ] {
            let refused = of(&[(name, text)]).expect_err(text);
            assert!(refused.contains(&format!("message.dedup.{name}")), "{refused}");
        }
    }
}
