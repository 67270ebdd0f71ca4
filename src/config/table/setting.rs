//! What is known of one setting, and what its value may be.
//!
//! Mirrors `ConfigDef.ConfigKey` and its validators; refusals carry Kafka's own sentences, which admin tools show as they are.

use std::fmt;

/// Longest value: what a string of Kafka's older request versions can carry. Each is kept in memory and shown in answers.
const VALUE_BYTES_MAX: usize = i16::MAX as usize;

/// What a value is written as (`ConfigDef.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text.
    String,
    /// 32-bit integer.
    Int,
    /// 16-bit integer.
    Short,
    /// 64-bit integer.
    Long,
    /// Floating point.
    Double,
    /// Texts with commas between them.
    List,
    /// Name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// Code in DescribeConfigs (`DescribeConfigsResponse.ConfigType`).
    pub fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// Kafka's word for it, as refusals show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }

    fn bounds(self) -> (i64, i64) {
        match self {
            Self::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Self::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

/// What values are allowed beyond their kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Valid {
    /// All.
    Any,
    /// Integers from the first to the second, both included.
    Range(i64, i64),
    /// Integers in the range, or the one value outside it.
    RangeOr(i64, i64, i64),
    /// Numbers from 0 to 1.
    Ratio,
    /// Numbers above 0.
    Positive,
    /// One of these texts; each element of a list is one of them.
    OneOf(&'static [&'static str]),
    /// The same, whatever the case of its letters.
    AnyCase(&'static [&'static str]),
    /// `*`, or `partition:broker` pairs.
    Replicas,
}

impl fmt::Display for Valid {
    /// As the settings page shows it: `[0,...]`, `[compact, delete]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Range(low, i64::MAX) => write!(f, "[{low},...]"),
            Self::Range(low, high) => write!(f, "[{low},...,{high}]"),
            Self::RangeOr(low, high, other) => write!(f, "[{low},...,{high}] or {other}"),
            Self::Ratio => write!(f, "[0,...,1]"),
            Self::Positive => write!(f, "(0,...]"),
            Self::OneOf(values) | Self::AnyCase(values) => write!(f, "[{}]", values.join(", ")),
            Self::Replicas => write!(f, "[partitionId]:[brokerId],[partitionId]:[brokerId],..."),
        }
    }
}

/// Whether and where AlterConfigs may change a broker setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// At the next start only.
    ReadOnly,
    /// While running, for one broker or for all.
    ClusterWide,
}

/// A broker setting that stands behind a topic setting, perhaps in a coarser unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synonym {
    /// Name of the broker setting.
    pub name: &'static str,
    /// What its value is multiplied with to be the topic's.
    pub factor: i64,
}

/// One setting: everything that is to be said about it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Kafka's name, or one that begins with `einmal.`.
    pub name: &'static str,
    /// What its value is written as.
    pub kind: Kind,
    /// Value where none is given; none: null.
    pub default: Option<&'static str>,
    /// Allowed values.
    pub valid: Valid,
    /// Whether AlterConfigs may change it. Topic settings always may be.
    pub update: Update,
    /// Whether the broker acts on it. The others are accepted and shown, so that files and tools written for Kafka work.
    pub honoured: bool,
    /// Whether it is left out of descriptions where nobody has given it a value.
    pub only_where_given: bool,
    /// Broker settings that give the default of this topic setting, the first given one wins. Empty for broker settings.
    pub synonyms: &'static [Synonym],
    /// For people.
    pub documentation: &'static str,
}

impl Setting {
    /// A setting that the broker acts on, with any value of its kind, read-only.
    pub const fn new(name: &'static str, kind: Kind, default: &'static str, documentation: &'static str) -> Self {
        Self {
            name,
            kind,
            default: Some(default),
            valid: Valid::Any,
            update: Update::ReadOnly,
            honoured: true,
            only_where_given: false,
            synonyms: &[],
            documentation,
        }
    }

    /// As [`Setting::new`], null where none is given.
    pub const fn unset(name: &'static str, kind: Kind, documentation: &'static str) -> Self {
        Self { default: None, ..Self::new(name, kind, "", documentation) }
    }

    /// Allows integers from `low` up.
    pub const fn at_least(self, low: i64) -> Self {
        Self { valid: Valid::Range(low, i64::MAX), ..self }
    }

    /// Allows what `valid` says.
    pub const fn valid(self, valid: Valid) -> Self {
        Self { valid, ..self }
    }

    /// May be changed while running.
    pub const fn dynamic(self) -> Self {
        Self { update: Update::ClusterWide, ..self }
    }

    /// Accepted and shown, but without effect.
    pub const fn without_effect(self) -> Self {
        Self { honoured: false, ..self }
    }

    /// Left out of descriptions where nobody has given it a value.
    pub const fn only_where_given(self) -> Self {
        Self { only_where_given: true, ..self }
    }

    /// Names the broker settings behind a topic setting.
    pub const fn synonyms(self, synonyms: &'static [Synonym]) -> Self {
        Self { synonyms, ..self }
    }

    /// Whether its value is never shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// The value as it is kept and shown: trimmed, checked against kind and allowed values.
    pub fn check(&self, text: &str) -> Result<String, InvalidSetting> {
        let trimmed = if self.is_sensitive() { text } else { text.trim() };
        if trimmed.len() > VALUE_BYTES_MAX {
            let reason = format!(
                "Invalid value for configuration {}: {} bytes are more than {VALUE_BYTES_MAX}",
                self.name,
                trimmed.len()
            );
            return Err(InvalidSetting { name: self.name.to_owned(), reason });
        }
        match self.kind {
            Kind::Boolean => {
                if !trimmed.eq_ignore_ascii_case("true") && !trimmed.eq_ignore_ascii_case("false") {
                    return Err(self.refuse(text, "Expected value to be either true or false"));
                }
                return Ok(trimmed.to_ascii_lowercase());
            }
            Kind::Int | Kind::Short | Kind::Long => self.check_integer(trimmed)?,
            Kind::Double => self.check_double(trimmed)?,
            Kind::List => self.check_list(trimmed)?,
            Kind::String | Kind::Class => {
                if let Valid::OneOf(allowed) = self.valid
                    && !allowed.contains(&trimmed)
                {
                    return Err(self.refuse(trimmed, format!("String must be one of: {}", allowed.join(", "))));
                }
                if let Valid::AnyCase(allowed) = self.valid
                    && !allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(trimmed))
                {
                    let reason = format!("String must be one of (case insensitive): {}", allowed.join(", "));
                    return Err(self.refuse(trimmed, reason));
                }
            }
            Kind::Password => {}
        }
        Ok(trimmed.to_owned())
    }

    fn check_integer(&self, text: &str) -> Result<(), InvalidSetting> {
        let (low, high) = self.kind.bounds();
        let not_a_number = || self.refuse(text, format!("Not a number of type {}", self.kind.name()));
        let value: i64 = text.parse().map_err(|_| not_a_number())?;
        if !(low..=high).contains(&value) {
            return Err(not_a_number());
        }
        match self.valid {
            Valid::Range(low, _) if value < low => Err(self.refuse(text, format!("Value must be at least {low}"))),
            Valid::Range(_, high) if value > high => {
                Err(self.refuse(text, format!("Value must be no more than {high}")))
            }
            Valid::RangeOr(low, high, other) if value != other && !(low..=high).contains(&value) => {
                Err(self.refuse(text, format!("Value must be between {low} and {high} or equal to {other}")))
            }
            _ => Ok(()),
        }
    }

    fn check_double(&self, text: &str) -> Result<(), InvalidSetting> {
        let value: f64 = text.parse().map_err(|_| self.refuse(text, "Not a number of type DOUBLE"))?;
        match self.valid {
            // NaN compares false with everything: it must not slip through.
            // Shown as the number that it is read as.
            Valid::Ratio if value > 1.0 => Err(self.refuse(&format!("{value:?}"), "Value must be no more than 1")),
            Valid::Ratio if value >= 0.0 => Ok(()),
            Valid::Ratio => Err(self.refuse(&format!("{value:?}"), "Value must be at least 0")),
            Valid::Positive if value > 0.0 => Ok(()),
            Valid::Positive => Err(self.refuse(&format!("{value:?}"), "Value must be greater than 0")),
            _ => Ok(()),
        }
    }

    fn check_list(&self, text: &str) -> Result<(), InvalidSetting> {
        match self.valid {
            Valid::OneOf(_) if !text.is_empty() && text.split(',').any(|element| element.trim().is_empty()) => {
                let reason = format!("Configuration '{}' values must not be empty.", self.name);
                Err(InvalidSetting { name: self.name.to_owned(), reason })
            }
            Valid::OneOf(allowed) => {
                let stranger = list(text).find(|element| !allowed.contains(element));
                stranger.map_or(Ok(()), |element| {
                    Err(self.refuse(element, format!("String must be one of: {}", allowed.join(", "))))
                })
            }
            Valid::Replicas if text != "*" && !list(text).all(is_replica) => Err(self.refuse(
                &format!("[{text}]"),
                format!(
                    "{} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    self.name
                ),
            )),
            _ => Ok(()),
        }
    }

    fn refuse(&self, value: &str, reason: impl fmt::Display) -> InvalidSetting {
        let shown = if self.is_sensitive() { "[hidden]" } else { value };
        InvalidSetting {
            name: self.name.to_owned(),
            reason: format!("Invalid value {shown} for configuration {}: {reason}", self.name),
        }
    }
}

/// The number of a value that has been checked against the table, as whoever goes by it holds it.
pub fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, InvalidSetting> {
    text.parse().map_err(|_| InvalidSetting {
        name: name.to_owned(),
        reason: format!("Invalid value {text} for configuration {name}: out of range"),
    })
}

/// Elements of a list value: trimmed, empty ones left out.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|element| !element.is_empty())
}

fn is_replica(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

/// A setting that is not known or has a value that it may not have. Shows the reason: a whole sentence, Kafka's own where it
/// has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidSetting {
    /// Which setting.
    pub name: String,
    /// What is wrong, with name and value.
    pub reason: String,
}
