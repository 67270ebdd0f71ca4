//! Questions to an admin port, and what it answers in JSON.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::cli::output::{Cell, Format};
use crate::cli::target::tell_of_waiting;
use crate::cli::{CliError, span};
use crate::client::admin::{self, Silence, WHEN_STRANGE, WHEN_UNREACHABLE};

/// Flags of all subcommands.
#[derive(Debug, Clone, Args)]
pub(super) struct AdminTarget {
    /// The broker's admin port; else EINMAL_ADMIN, else localhost:9644
    #[arg(long, value_name = "HOST:PORT", help_heading = "Broker and output")]
    admin: Option<String>,
    /// A table for people, or JSON for scripts
    #[arg(short, long, value_enum, default_value_t, help_heading = "Broker and output")]
    pub(super) output: Format,
    /// How long to wait for the broker, such as 500ms, 30s, 2m
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span::parse, help_heading = "Broker and output")]
    timeout: Duration,
}

impl AdminTarget {
    /// What is answered to a GET of `path`.
    pub(super) fn ask(&self, path: &str) -> Result<Value, CliError> {
        let admin = admin::address(self.admin.as_deref());
        tell_of_waiting(self.timeout);
        let asked = admin::ask(&admin, "GET", path, self.timeout.max(Duration::from_millis(1)));
        let answer = asked.map_err(|silence| {
            CliError::Admin(match silence {
                Silence::Unreachable(error) => format!("cannot connect to {admin}: {error}; {WHEN_UNREACHABLE}"),
                Silence::Broken(error) => format!("{admin} does not answer: {error}; {WHEN_STRANGE}"),
            })
        })?;
        let said = answer.body.trim().replace('\n', "; ");
        match answer.status {
            200 => serde_json::from_str(&answer.body).map_err(|_| strange(&admin)),
            // What the broker says of the topic or the id; a path that it does not know has an empty body.
            404 if !said.is_empty() => Err(CliError::NotFound(said)),
            400 => Err(CliError::Unfit(said)),
            // It is asked by a name that it does not know for its own.
            421 => Err(CliError::Admin(said)),
            503 => Err(CliError::Admin(format!("{admin} cannot tell now: {said}"))),
            _ => Err(strange(&admin)),
        }
    }
}

fn strange(admin: &str) -> CliError {
    CliError::Admin(format!("{admin} answers, and not as an einmal of this version; {WHEN_STRANGE}"))
}

/// The rows of a member.
pub(super) fn rows(answer: &Value, name: &str) -> Vec<Value> {
    answer[name].as_array().cloned().unwrap_or_default()
}

/// A number; absent where there is none.
pub(super) fn number(row: &Value, name: &str) -> Cell {
    row[name].as_i64().map_or(Cell::Absent, Cell::Number)
}

/// A text.
pub(super) fn text(row: &Value, name: &str) -> Cell {
    row[name].as_str().map_or(Cell::Absent, Cell::from)
}
