//! What was found on the way, step by step.

use std::time::{Duration, Instant};

use crate::cli::advice;
use crate::cli::output::{Cell, Format, Listing, put};
use crate::cli::{CliError, span};
use crate::client::{ClientError, Printable};

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Warning,
    Failed,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What keeps a step from succeeding, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) advice: Option<String>,
}

impl Trouble {
    pub(super) fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: Some(advice.into()) }
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self { advice: advice::advice(&error).map(str::to_owned), what: error.to_string() }
    }
}

impl From<CliError> for Trouble {
    fn from(error: CliError) -> Self {
        match error {
            CliError::Client(error) => error.into(),
            other => Self { what: other.to_string(), advice: None },
        }
    }
}

/// What a step came to, when it did.
pub(super) struct Done<T> {
    /// For the steps after it.
    pub(super) value: T,
    /// One sentence.
    pub(super) what: String,
    /// Works, and is not as it should be.
    pub(super) warning: Option<String>,
}

impl<T> Done<T> {
    pub(super) fn new(value: T, what: impl Into<String>) -> Self {
        Self { value, what: what.into(), warning: None }
    }

    pub(super) fn warn(mut self, warning: Option<String>) -> Self {
        self.warning = warning;
        self
    }
}

#[derive(Debug)]
struct Finding {
    step: &'static str,
    outcome: Outcome,
    took: Duration,
    what: String,
    advice: Option<String>,
}

/// All findings, in order.
#[derive(Debug, Default)]
pub(super) struct Walk {
    findings: Vec<Finding>,
}

impl Walk {
    /// Takes a step and notes how it went. None if it failed.
    pub(super) fn step<T>(&mut self, step: &'static str, take: impl FnOnce() -> Result<Done<T>, Trouble>) -> Option<T> {
        let began = Instant::now();
        let taken = take();
        let took = began.elapsed();
        let (outcome, what, advice, value) = match taken {
            Ok(Done { value, what, warning: None }) => (Outcome::Ok, what, None, Some(value)),
            Ok(Done { value, what, warning }) => (Outcome::Warning, what, warning, Some(value)),
            Err(Trouble { what, advice }) => (Outcome::Failed, what, advice, None),
        };
        self.findings.push(Finding { step, outcome, took, what, advice });
        value
    }

    /// Whether no step failed.
    pub(super) fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.outcome != Outcome::Failed)
    }

    /// Findings to stdout.
    pub(super) fn print(&self, bootstrap: &str, format: Format) -> Result<(), CliError> {
        match format {
            Format::Json => {
                let columns = &["step", "result", "duration_ms", "found", "advice"];
                let mut listing = Listing::new(columns);
                for finding in &self.findings {
                    listing.row(vec![
                        finding.step.into(),
                        finding.outcome.name().into(),
                        Cell::Number(ms(finding.took)),
                        finding.what.as_str().into(),
                        finding.advice.as_deref().map_or(Cell::Absent, Cell::from),
                    ]);
                }
                Ok(listing.print(format)?)
            }
            Format::Table => Ok(put(self.text(bootstrap).as_bytes()).map(drop)?),
        }
    }

    /// For people: a line a step, what to do under it, and the sum.
    fn text(&self, bootstrap: &str) -> String {
        let mut text = String::new();
        for Finding { step, outcome, took, what, advice } in &self.findings {
            let what = Printable(what);
            text.push_str(&format!("{:<8} {step:<12} {:>6}  {what}\n", outcome.name(), span::show(ms(*took))));
            if let Some(advice) = advice {
                text.push_str(&format!("{:30}-> {}\n", "", Printable(advice)));
            }
        }
        let count = |outcome| self.findings.iter().filter(|finding| finding.outcome == outcome).count();
        text.push_str(&match (count(Outcome::Failed), count(Outcome::Warning)) {
            (0, 0) => format!("\n{bootstrap} is well: clients can do all of this\n"),
            (0, 1) => format!("\n{bootstrap} works, with one thing to look at\n"),
            (0, warnings) => format!("\n{bootstrap} works, with {warnings} things to look at\n"),
            _ => format!("\n{bootstrap} does not serve clients; the steps after the one that failed were not taken\n"),
        });
        text
    }
}

fn ms(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_to_do_under_what_is_wrong() {
        let mut walk = Walk::default();
        assert_eq!(walk.step("resolve", || Ok(Done::new(7, "h is here"))), Some(7));
        assert!(walk.is_well());
        assert!(walk.text("h:1").ends_with("h:1 is well: clients can do all of this\n"));
        walk.step("clock", || Ok(Done::new((), "off").warn(Some("set it".to_owned()))));
        assert!(walk.is_well() && walk.text("h:1").contains("works, with one thing"));
        assert_eq!(walk.step::<()>("connect", || Err(Trouble::new("no\u{1b}[2J", "start\u{9b} it"))), None);
        assert!(!walk.is_well());
        let text = walk.text("h:1");
        let after = text.lines().skip_while(|line| !line.starts_with("failed   connect")).nth(1);
        assert_eq!(after.map(str::trim), Some("-> start\u{fffd} it"), "{text}");
        assert!(text.contains("does not serve clients") && !text.contains('\u{1b}'), "{text}");
    }
}
