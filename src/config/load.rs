//! Lays the sources of settings over each other: default, profile, file, `KAFKA_*`, `EINMAL_*`, flags; later ones win.
//!
//! Layers add up: a variable changes one setting and leaves the file's others as they are. What is odd but no reason to
//! refuse the start comes back as notices, since the program's own words cannot be written before they are configured.
//! Any of them may say which profile it is; what that stands for is weaker than all of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::build::{BuildError, Surroundings, Texts};
use super::environment::{self, Variable};
use super::listeners::ListenerError;
use super::properties::{self, MalformedProperties};
use super::table::{self, InvalidSetting};
use super::{BrokerOverrides, Config, Origin};
use crate::spelling::hint;

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(String, String)>,
    /// `--set` and the flags that are settings, the last one of a name wins.
    pub flags: Vec<(String, String)>,
    /// `--allow-unknown-config`: start in spite of settings that are not known or not served.
    pub allow_unknown: bool,
    /// `--ephemeral`: the data directory, which is made for this start alone. The profile is dev then, unless another is given.
    pub ephemeral: Option<PathBuf>,
    /// This machine's name.
    pub host_name: String,
    /// They are read again, while the broker runs: the file by then may be anybody's, and what is told of it goes to the log. So it must
    /// be a regular one, as others would keep a thread waiting, and a name in it that is like no setting is not repeated.
    pub again: bool,
}

/// Largest file of settings that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Settings in force, and what is to be said about them.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Whole sentences, to be logged as warnings.
    pub notices: Vec<String>,
}

/// Why there is no configuration; each says in one sentence what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}; check the path given to --config", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is larger than any with settings.
    #[error("{} has more than {FILE_BYTES_MAX} bytes: a file of settings has no more", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// What would be read again is a pipe, a device or a directory.
    #[error("{} is no regular file, and is read at a start only", path.display())]
    NoFile {
        /// Which one.
        path: PathBuf,
    },
    /// A setting in a file that is read again, like no other.
    #[error("{place} has an unknown setting: einmal config check --config {place} names it")]
    Strange {
        /// The file.
        place: String,
    },
    /// The file is no properties file.
    #[error("{}: {malformed}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where.
        malformed: MalformedProperties,
    },
    /// A setting that neither Kafka nor einmal has.
    #[error("unknown setting {name} in {place}{}; --allow-unknown-config starts in spite of it", hint(*nearest))]
    Unknown {
        /// Its name.
        name: String,
        /// Where it stands.
        place: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A setting that asks for protection which is not there.
    #[error(
        "{name} in {place} asks for {what}, which einmal does not have: remove it, or start without that with --allow-unknown-config"
    )]
    Unprotected {
        /// Its name.
        name: String,
        /// Where it stands.
        place: String,
        /// What would be missing.
        what: &'static str,
    },
    /// A value that its setting may not have.
    #[error("{place}: {invalid}")]
    Invalid {
        /// Where it stands.
        place: String,
        /// What is wrong.
        invalid: InvalidSetting,
    },
    /// Two data directories on one command line.
    #[error("--ephemeral and {name} on the command line are two data directories: give one of them")]
    TwoDirectories {
        /// The setting that names the other.
        name: String,
    },
    /// Something about listeners.
    #[error(transparent)]
    Listener(#[from] ListenerError),
}

/// Settings that have Kafka refuse what einmal would allow.
const PROTECTIONS: &[(&str, &str)] = &[
    ("authorizer.class.name", "access control"),
    ("alter.config.policy.class.name", "a policy"),
    ("client.quota.callback.class", "quotas"),
    ("create.topic.policy.class.name", "a policy"),
];

/// Names the profile.
const PROFILE: &str = "einmal.profile";

/// What the profile dev stands for: speed over durability, and topics as clients ask for them. The other, prod, is the defaults.
const DEV: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "true"),
    ("einmal.replication.factor.clamp", "true"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("log.flush.interval.messages", "9223372036854775807"),
];

/// One setting as some source gives it.
struct Given {
    name: String,
    text: String,
    origin: Origin,
    place: String,
}

/// The settings that `sources` give.
pub fn load(sources: &Sources) -> Result<Loaded, LoadError> {
    let mut texts: Texts = BTreeMap::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    let (mut without_effect, mut unknown) = (Vec::new(), Vec::new());
    for Given { name, text, origin, place } in given(sources)? {
        if let Some((_, what)) = PROTECTIONS.iter().find(|(protection, _)| *protection == name)
            && !text.trim().is_empty()
            && !sources.allow_unknown
        {
            return Err(LoadError::Unprotected { name, place, what });
        }
        match table::broker(&name) {
            Some(setting) => {
                setting.check(&text).map_err(|invalid| LoadError::Invalid { place: place.clone(), invalid })?;
                if !setting.honoured && origin != Origin::Profile {
                    without_effect.push(name.clone());
                }
                places.insert(name.clone(), place);
                texts.insert(name, (text, origin));
            }
            None if table::of_listener(&name).is_some() => {
                places.insert(name.clone(), place);
                texts.insert(name, (text, origin));
            }
            None if table::is_ignored(&name) => without_effect.push(name),
            None if sources.allow_unknown => unknown.push(name),
            None => {
                let nearest = table::nearest_broker(&name);
                if sources.again && origin == Origin::File && nearest.is_none() {
                    return Err(LoadError::Strange { place });
                }
                return Err(LoadError::Unknown { name, place, nearest });
            }
        }
    }
    drop_stale_advertised(&mut texts);
    let defaults_of_none = defaults_of_no_topic(&texts);
    let several_dirs = texts.get("log.dirs").is_some_and(|(text, _)| table::list(text).count() > 1);
    let surroundings =
        Surroundings { host_name: sources.host_name.clone(), skip_unserved_listeners: sources.allow_unknown };
    let (config, skipped) =
        Config::build(texts, BrokerOverrides::default(), &surroundings).map_err(|error| match error {
            BuildError::Listener(error) => LoadError::Listener(error),
            BuildError::Invalid(invalid) => {
                let place = places.get(&invalid.name).cloned().unwrap_or_else(|| "settings".to_owned());
                LoadError::Invalid { place, invalid }
            }
        })?;
    let notices = [
        notice("settings without effect here", without_effect),
        notice("einmal.message.dedup.topics names no topics that have these as their defaults", defaults_of_none),
        notice("unknown settings, left out", unknown),
        notice("listeners left out, as their protocol is not served", skipped),
        several_dirs.then(|| format!("log.dirs names several directories, only {} is used", config.data_dir.display())),
    ];
    Ok(Loaded { config, notices: notices.into_iter().flatten().collect() })
}

/// Who names the listeners anew means others than those that a weaker source advertises, such as the file of an image.
fn drop_stale_advertised(texts: &mut Texts) {
    let names = |text: &str| -> Vec<String> {
        table::list(text).map(|listener| listener.split("://").next().unwrap_or_default().to_uppercase()).collect()
    };
    if let (Some((bound, bound_by)), Some((told, told_by))) =
        (texts.get("listeners"), texts.get("advertised.listeners"))
        && bound_by > told_by
        && names(told).iter().any(|name| !names(bound).contains(name))
    {
        texts.remove("advertised.listeners");
    }
}

/// Defaults of `message.dedup.*` that are given without the topics that they are for.
fn defaults_of_no_topic(texts: &Texts) -> Vec<String> {
    if texts.get(table::DEFAULTED_TOPICS).is_some_and(|(text, _)| table::list(text).next().is_some()) {
        return Vec::new();
    }
    let is_default = |name: &&String| name.starts_with(table::DEDUP_DEFAULT) && *name != table::DEFAULTED_TOPICS;
    texts.keys().filter(is_default).cloned().collect()
}

/// One line for all names.
fn notice(what: &str, mut names: Vec<String>) -> Option<String> {
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
}

/// Everything given, weakest source first.
fn given(sources: &Sources) -> Result<Vec<Given>, LoadError> {
    let one = |name: &str, text: &str, origin, place: &str| Given {
        name: name.to_owned(),
        text: text.to_owned(),
        origin,
        place: place.to_owned(),
    };
    let mut all: Vec<Given> = Vec::new();
    let mut add = |name: &str, text: &str, origin, place: &str| all.push(one(name, text, origin, place));
    if sources.ephemeral.is_some() {
        add(PROFILE, "dev", Origin::Flag, "--ephemeral");
    }
    if let Some(path) = &sources.file {
        let place = path.display().to_string();
        read(path, sources.again)?.iter().for_each(|(name, text)| add(name, text, Origin::File, &place));
    }
    let mut variables = environment::settings(sources.variables.iter().cloned());
    variables.sort_by(|a, b| (a.origin, &a.variable).cmp(&(b.origin, &b.variable)));
    for Variable { variable, name, text, origin } in &variables {
        add(name, text, *origin, variable);
    }
    sources.flags.iter().for_each(|(name, text)| add(name, text, Origin::Flag, "the command line"));
    if let Some(dir) = &sources.ephemeral {
        let named = sources.flags.iter().find(|(name, _)| matches!(name.as_str(), "log.dirs" | "log.dir"));
        if let Some((name, _)) = named {
            return Err(LoadError::TwoDirectories { name: name.clone() });
        }
        add("log.dirs", &dir.display().to_string(), Origin::Flag, "--ephemeral");
    }
    let profile = all.iter().rfind(|given| given.name == PROFILE);
    if profile.is_some_and(|given| given.text.trim() == "dev") {
        let dev = DEV.iter().map(|(name, text)| one(name, text, Origin::Profile, "the profile dev"));
        all.splice(..0, dev);
    }
    Ok(all)
}

fn read(path: &Path, again: bool) -> Result<Vec<(String, String)>, LoadError> {
    let bytes = bytes(path, again).map_err(|error| LoadError::Unreadable { path: path.to_owned(), error })?;
    let bytes = bytes.ok_or_else(|| LoadError::NoFile { path: path.to_owned() })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    // Java reads these files as Latin-1 by default; UTF-8 is what editors write.
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().iter().map(|byte| char::from(*byte)).collect());
    properties::parse(&text).map_err(|malformed| LoadError::Malformed { path: path.to_owned(), malformed })
}

/// As much of a file as says whether it is too large; none of what is not regular where that is asked for. At a start it may be a pipe
/// (`--config <(…)`).
fn bytes(path: &Path, must_be_regular: bool) -> std::io::Result<Option<Vec<u8>>> {
    let mut options = File::options();
    options.read(true);
    if must_be_regular {
        // Opening a pipe would wait for its writer.
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    if must_be_regular && !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
