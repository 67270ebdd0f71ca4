//! Levels of single loggers, which AlterConfigs changes until the next start: what is written of which module.
//!
//! Mirrors `LoggingController` and `ConfigAdminManager` of Kafka. A logger is a module of this program, with dots in its name where a filter
//! (`einmal.log.level`) has `::`: kafka-configs refuses a colon in a name. One without a level of its own goes by the module that it is
//! part of, and in the end by `root`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::alter::{AlterRefused, Change, Operation, check_names};
use super::table::InvalidSetting;

/// Everything that has no level of its own, other programs' code in this one too.
pub const ROOT: &str = "root";

/// What has a level, by name: the modules that write something.
pub const LOGGERS: [&str; 9] = [
    "einmal",
    "einmal.api",
    "einmal.app",
    "einmal.coordinator",
    "einmal.engine",
    "einmal.server",
    "einmal.store",
    "einmal.telemetry",
    ROOT,
];

/// From which weight on events are written (`LogLevelConfig`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What happens once in a while.
    Info,
    /// What somebody should look at.
    Warn,
    /// What went wrong.
    Error,
    /// Nothing: no event here weighs more than an error.
    Fatal,
    /// Nothing. Comes from a filter alone; Kafka does not take it in a request.
    Off,
}

impl LogLevel {
    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Off => "OFF",
        }
    }

    /// The level of this name in a request: in capitals, and not `OFF`.
    fn from_request(text: &str) -> Option<Self> {
        let all = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];
        all.into_iter().find(|level| level.name() == text)
    }

    /// The level that a word of a filter means.
    fn from_filter(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "trace" | "5" => Some(Self::Trace),
            "debug" | "4" => Some(Self::Debug),
            "info" | "3" => Some(Self::Info),
            "warn" | "2" => Some(Self::Warn),
            "error" | "1" => Some(Self::Error),
            "off" | "0" => Some(Self::Off),
            _ => None,
        }
    }

    /// Its word in a filter.
    fn filter(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal | Self::Off => "off",
        }
    }
}

/// Which levels are in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    /// The filter of the start (`einmal.log.level`), which counts where no level was set since.
    start: String,
    /// What was set since.
    own: BTreeMap<&'static str, LogLevel>,
}

impl Levels {
    /// Those of the filter `start`.
    pub fn of(start: &str) -> Self {
        Self { start: start.to_owned(), own: BTreeMap::new() }
    }

    /// With another filter below what was set.
    pub fn over(&self, start: &str) -> Self {
        Self { start: start.to_owned(), own: self.own.clone() }
    }

    /// Each logger, by name, with the level that it goes by.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, LogLevel)> {
        let mut set = from_filter(&self.start);
        set.extend(self.own.iter().map(|(name, level)| ((*name).to_owned(), *level)));
        LOGGERS.into_iter().map(move |name| (name, in_force(&set, name)))
    }

    /// These after `changes`, all or nothing. A deletion takes the level of the start into force again.
    ///
    /// # Errors
    /// An unknown logger or level (INVALID_CONFIG), or an operation that loggers do not have (INVALID_REQUEST).
    pub fn changed(&self, changes: &[Change]) -> Result<Self, AlterRefused> {
        check_names(changes)?;
        let mut changed = self.clone();
        for Change { name, operation, value } in changes {
            match operation {
                Operation::Set => {
                    let logger = known(name)?;
                    let level = level(name, value.as_deref().unwrap_or_default())?;
                    changed.own.insert(logger, level);
                }
                Operation::Delete => {
                    let logger = known(name)?;
                    if logger == ROOT {
                        let message = format!("Removing the log level of the {ROOT} logger is not allowed");
                        return Err(AlterRefused::Request(message));
                    }
                    changed.own.remove(logger);
                }
                Operation::Append => return Err(not_of_loggers("APPEND")),
                Operation::Subtract => return Err(not_of_loggers("SUBTRACT")),
            }
        }
        Ok(changed)
    }

    /// Both as one filter, in the words of `einmal.log.level`; of two parts with one target the later counts.
    pub fn filter(&self) -> String {
        let mut filter = self.start.clone();
        for (name, level) in &self.own {
            if !filter.is_empty() {
                filter.push(',');
            }
            if *name != ROOT {
                filter.push_str(&name.replace('.', "::"));
                filter.push('=');
            }
            filter.push_str(level.filter());
        }
        filter
    }
}

/// The levels in force, and what writes by them.
pub struct Loggers {
    levels: Mutex<Levels>,
    put_in_force: Box<dyn Fn(&Levels) + Send + Sync>,
}

impl Loggers {
    /// Those of `levels`, which are in force; `put_in_force` is called with each that follow.
    pub fn new(levels: Levels, put_in_force: impl Fn(&Levels) + Send + Sync + 'static) -> Self {
        Self { levels: Mutex::new(levels), put_in_force: Box::new(put_in_force) }
    }

    /// Those in force.
    pub fn levels(&self) -> Levels {
        self.lock().clone()
    }

    /// Puts those in force that `next` makes of the ones before, if any.
    pub fn replace<E>(&self, next: impl FnOnce(&Levels) -> Result<Levels, E>) -> Result<(), E> {
        let mut levels = self.lock();
        *levels = next(&levels)?;
        (self.put_in_force)(&levels);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Levels> {
        // Levels are whole at any moment.
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Loggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loggers").field("levels", &self.levels).finish_non_exhaustive()
    }
}

/// Levels that a filter gives, by target. Parts about spans are left out: they raise the level inside of these alone.
fn from_filter(text: &str) -> BTreeMap<String, LogLevel> {
    let mut levels = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty() && !part.contains('[')) {
        let (target, level) = match part.split_once('=') {
            Some((target, level)) => (target, LogLevel::from_filter(level)),
            None => match LogLevel::from_filter(part) {
                Some(level) => (ROOT, Some(level)),
                // A module without a level is let through whole.
                None => (part, Some(LogLevel::Trace)),
            },
        };
        levels.extend(level.map(|level| (target.replace("::", "."), level)));
    }
    // A filter of nothing lets errors through, one of single modules nothing else.
    let rest = if levels.is_empty() { LogLevel::Error } else { LogLevel::Off };
    levels.entry(ROOT.to_owned()).or_insert(rest);
    levels
}

/// The level of `name`, or else of the nearest module around it.
fn in_force(set: &BTreeMap<String, LogLevel>, name: &str) -> LogLevel {
    let around = name.rsplit_once('.').map_or(ROOT, |(around, _)| around);
    match set.get(name) {
        Some(level) => *level,
        None if name == ROOT => LogLevel::Off,
        None => in_force(set, around),
    }
}

fn known(name: &str) -> Result<&'static str, InvalidSetting> {
    LOGGERS
        .into_iter()
        .find(|logger| *logger == name)
        .ok_or_else(|| InvalidSetting { name: name.to_owned(), reason: format!("Logger {name} does not exist!") })
}

fn level(name: &str, text: &str) -> Result<LogLevel, InvalidSetting> {
    LogLevel::from_request(text).ok_or_else(|| InvalidSetting {
        name: name.to_owned(),
        reason: format!(
            "Cannot set the log level of {name} to {text} as it is not a supported log level. Valid log levels are DEBUG, \
             ERROR, FATAL, INFO, TRACE, WARN"
        ),
    })
}

fn not_of_loggers(operation: &str) -> AlterRefused {
    AlterRefused::Request(format!("{operation} operation is not allowed for the BROKER_LOGGER resource"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, operation: Operation, value: Option<&str>) -> Change {
        Change { name: name.to_owned(), operation, value: value.map(str::to_owned) }
    }

    fn shown(levels: &Levels) -> String {
        let root = levels.all().find(|(name, _)| *name == ROOT).expect("listed").1;
        let others = levels.all().filter(|(_, level)| *level != root);
        let others = others.map(|(name, level)| format!(" {name}={}", level.name()));
        root.name().to_owned() + &others.collect::<String>()
    }

    #[test]
    fn levels_come_from_the_nearest_module_around() {
        for (filter, expected) in [
            ("info", "INFO"),
            ("", "ERROR"),
            ("hyper=info", "OFF"),
            ("WARN,einmal::server=trace", "WARN einmal.server=TRACE"),
            ("einmal::store", "OFF einmal.store=TRACE"),
            ("2,einmal::engine::cleaner=debug,[span]=trace", "WARN"),
        ] {
            assert_eq!(shown(&Levels::of(filter)), expected, "{filter}");
        }
        let all = Levels::of("off,einmal=info").all().filter(|(_, level)| *level == LogLevel::Info).count();
        assert_eq!(all, LOGGERS.len() - 1);
    }

    #[test]
    fn kafkas_tools_take_the_names() {
        // What `ConfigCommand.parseConfigsToBeAdded` lets through.
        let is_taken = |at: char| at.is_ascii_alphanumeric() || "._-".contains(at);
        assert!(LOGGERS.iter().all(|name| name.chars().all(is_taken)), "{LOGGERS:?}");
    }

    /// What a real Kafka 4.3.1 answered, in the same order.
    #[test]
    fn changes_are_judged_in_kafkas_words() {
        let bad = |text: &str| {
            format!(
                "Cannot set the log level of einmal.api to {text} as it is not a supported log level. Valid log levels are \
                 DEBUG, ERROR, FATAL, INFO, TRACE, WARN"
            )
        };
        let before = Levels::of("info");
        let api = "einmal.api";
        for (changes, expected) in [
            (
                vec![change(api, Operation::Append, Some("INFO"))],
                "APPEND operation is not allowed for the BROKER_LOGGER resource".to_owned(),
            ),
            (
                vec![change("nope", Operation::Subtract, Some("INFO"))],
                "SUBTRACT operation is not allowed for the BROKER_LOGGER resource".to_owned(),
            ),
            (
                vec![change(ROOT, Operation::Delete, None)],
                "Removing the log level of the root logger is not allowed".to_owned(),
            ),
            (
                vec![change(ROOT, Operation::Set, Some("DEBUG")), change("nope", Operation::Set, Some("INFO"))],
                "Logger nope does not exist!".to_owned(),
            ),
            (vec![change("nope", Operation::Delete, None)], "Logger nope does not exist!".to_owned()),
            (vec![change("", Operation::Set, Some("WARN"))], "Logger  does not exist!".to_owned()),
            (vec![change(api, Operation::Set, None)], "Null value not supported for : einmal.api".to_owned()),
            (
                vec![change(api, Operation::Set, Some("WARN")), change(api, Operation::Set, Some("INFO"))],
                "Error due to duplicate config keys".to_owned(),
            ),
            (vec![change(api, Operation::Set, Some(""))], bad("")),
            (vec![change(api, Operation::Set, Some("OFF"))], bad("OFF")),
            (vec![change(api, Operation::Set, Some("debug"))], bad("debug")),
            (vec![change(api, Operation::Set, Some(" INFO "))], bad(" INFO ")),
        ] {
            let refused = before.changed(&changes).expect_err(&expected);
            assert_eq!(refused.to_string(), expected);
        }
    }

    #[test]
    fn what_is_set_lies_over_the_filter_of_the_start() {
        let set = |name, level| change(name, Operation::Set, Some(level));
        let levels = Levels::of("info,einmal::api=warn");
        let levels = levels.changed(&[set(ROOT, "ERROR"), set("einmal.api", "FATAL")]).expect("good");
        assert_eq!(shown(&levels), "ERROR einmal.api=FATAL");
        assert_eq!(levels.filter(), "info,einmal::api=warn,einmal::api=off,error");
        let levels = levels.over("debug");
        assert_eq!(shown(&levels), "ERROR einmal.api=FATAL");
        let levels = levels.changed(&[change("einmal.api", Operation::Delete, Some("x"))]).expect("good");
        assert_eq!(shown(&levels), "ERROR");
        assert_eq!(levels.filter(), "debug,error");
        assert_eq!(Levels::of("").changed(&[set("einmal.app", "TRACE")]).expect("good").filter(), "einmal::app=trace");
    }
}
