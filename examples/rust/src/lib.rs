//! What the recipes share and a program of yours has in its own way: settings, the steps at which their test kills them, and an end.

mod database;
mod member;
mod to_end;
mod topic_id;

pub use database::Database;
pub use member::{batches, member, records};
pub use to_end::to_end;
pub use topic_id::topic_id;

use std::process::{Command, exit};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
use rdkafka::message::{BorrowedMessage, Headers, Message};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long the broker may take for an answer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the environment says, or an end with the name of what is missing there.
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// What the environment says, or `otherwise` where it says nothing.
pub fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// The places between two effects on the world outside. At that of KILL_AT the program kills itself, at its KILL_AFTER-th passing; with
/// KILL_SIGNAL=STOP it only stops.
pub struct Steps {
    names: &'static [&'static str],
    passings: AtomicU64,
}

impl Steps {
    pub const fn new(names: &'static [&'static str]) -> Self {
        Self { names, passings: AtomicU64::new(0) }
    }

    /// `--steps` prints them.
    pub fn print_if_asked(&self) {
        if std::env::args().skip(1).eq(["--steps"]) {
            println!("{}", self.names.join("\n"));
            exit(0);
        }
    }

    pub fn at(&self, name: &str) {
        assert!(self.names.contains(&name), "no step of this recipe: {name}");
        if std::env::var("KILL_AT").is_ok_and(|last| last == name)
            && self.passings.fetch_add(1, Ordering::Relaxed) + 1 == number("KILL_AFTER", 1)
        {
            let signal = std::env::var("KILL_SIGNAL").unwrap_or("KILL".to_owned());
            let killed = Command::new("kill").args([format!("-{signal}"), std::process::id().to_string()]).status();
            assert!(killed.is_ok_and(|status| status.success()), "kill does not work");
        }
    }
}

/// What every client needs, and `more`.
pub fn client(more: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", setting("BOOTSTRAP"));
    for (name, value) in more {
        config.set(*name, *value);
    }
    config
}

/// The last header of that name, as text.
pub fn header(record: &BorrowedMessage, name: &str) -> Result<String> {
    let headers = record.headers().ok_or("no headers")?;
    let value = headers.iter().filter(|header| header.key == name).last().and_then(|header| header.value);
    Ok(String::from_utf8(value.ok_or(format!("no header {name}"))?.to_vec())?)
}

pub fn text(bytes: Option<&[u8]>) -> Result<&str> {
    Ok(std::str::from_utf8(bytes.ok_or("nothing there")?)?)
}

/// Whether librdkafka only tells that it reconnects.
fn passes(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure))
}
