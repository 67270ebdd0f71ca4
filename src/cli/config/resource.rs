//! What has settings, and who is asked for them.

use clap::{Args, ValueEnum};

use crate::cli::CliError;
use crate::client::{Cluster, Connection};

/// What has settings (`ConfigResource.Type` in Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A topic
    Topic,
    /// A broker by its id, or without a name what holds for all of them
    Broker,
    /// What a broker writes to its log, by its id
    BrokerLogger,
    /// What clients are asked to report
    ClientMetrics,
    /// A group
    Group,
}

impl Kind {
    pub(super) fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }
}

/// Whose settings.
#[derive(Debug, Clone, Args)]
pub struct Resources {
    /// What they are settings of
    #[arg(value_enum)]
    pub(super) kind: Kind,
    /// Names, or ids of brokers; without one, what holds for all brokers
    #[arg(value_name = "NAME", required_if_eq_any([("kind", "topic"), ("kind", "broker-logger"), ("kind", "client-metrics"), ("kind", "group")]))]
    names: Vec<String>,
}

impl Resources {
    /// As requests name them: all brokers are the empty name.
    pub(super) fn names(&self) -> Vec<&str> {
        if self.names.is_empty() { vec![""] } else { self.names.iter().map(String::as_str).collect() }
    }

    /// Who answers for `name`: each broker for itself.
    ///
    /// # Errors
    /// [`CliError::NotFound`] for a broker that is none.
    pub(super) fn asked<'a>(&self, cluster: &'a mut Cluster, name: &str) -> Result<&'a mut Connection, CliError> {
        if name.is_empty() || !matches!(self.kind, Kind::Broker | Kind::BrokerLogger) {
            return Ok(cluster.controller()?);
        }
        let id = name.parse().ok().filter(|id| cluster.brokers().contains(id));
        let id = id.ok_or_else(|| CliError::NotFound(format!("there is no broker {name}")))?;
        Ok(cluster.broker(id)?)
    }
}
