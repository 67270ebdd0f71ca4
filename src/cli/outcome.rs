//! What became of each of the things that a command was asked to do: a line for each, done or refused.

use super::CliError;
use super::output::{Cell, Format, Listing};

/// What became of one of them.
#[derive(Debug)]
pub(in crate::cli) enum Outcome {
    /// It is done.
    Done,
    /// It was only asked about, and could be done.
    Possible,
    /// It is as asked for already.
    Unchanged,
    /// It was not tried; why not.
    Skipped(&'static str),
    /// It was refused.
    Refused(CliError),
}

impl Outcome {
    /// Of what nobody refuses.
    pub(in crate::cli) fn granted(is_dry_run: bool) -> Self {
        if is_dry_run { Self::Possible } else { Self::Done }
    }

    /// Of what somebody has answered to.
    pub(in crate::cli) fn of(answer: Result<(), impl Into<CliError>>, is_dry_run: bool) -> Self {
        answer.map_or_else(|error| Self::Refused(error.into()), |()| Self::granted(is_dry_run))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Possible => "possible",
            Self::Unchanged => "unchanged",
            Self::Skipped(_) => "skipped",
            Self::Refused(_) => "refused",
        }
    }
}

/// The lines of all of them.
#[derive(Debug)]
pub(in crate::cli) struct Outcomes {
    listing: Listing,
    asked: usize,
    refused: Vec<CliError>,
}

impl Outcomes {
    /// The last two of `columns` are `outcome` and `reason`.
    pub(in crate::cli) fn new(columns: &'static [&'static str]) -> Self {
        assert!(columns.ends_with(&["outcome", "reason"]), "lines end in what became of it");
        Self { listing: Listing::new(columns), asked: 0, refused: Vec::new() }
    }

    /// Adds a line: `cells` of all columns but the last two.
    pub(in crate::cli) fn add(&mut self, mut cells: Vec<Cell>, outcome: Outcome) {
        self.asked += 1;
        cells.push(outcome.name().into());
        cells.push(match &outcome {
            Outcome::Refused(error) => Cell::Text(error.to_string()),
            Outcome::Skipped(why) => (*why).into(),
            Outcome::Done | Outcome::Possible | Outcome::Unchanged => Cell::Absent,
        });
        self.listing.row(cells);
        if let Outcome::Refused(error) = outcome {
            self.refused.push(error);
        }
    }

    /// Writes the lines to stdout. A table of a single refusal is left out, so that the error stands alone.
    ///
    /// # Errors
    /// What was refused, or that the lines could not be written.
    pub(in crate::cli) fn print(self, format: Format) -> Result<(), CliError> {
        self.print_before(None, format)
    }

    /// The same where `broken` kept the command from asking for the rest.
    ///
    /// # Errors
    /// `broken`, or as [`Outcomes::print`].
    pub(in crate::cli) fn print_before(mut self, broken: Option<CliError>, format: Format) -> Result<(), CliError> {
        let is_alone = self.refused.len() == self.asked && self.asked <= 1;
        if !is_alone || format == Format::Json {
            self.listing.print(format)?;
        }
        let refused = self.refused.len();
        match (broken, refused) {
            (Some(broken), _) => Err(broken),
            (None, 0) => Ok(()),
            (None, 1) if self.asked == 1 => Err(self.refused.swap_remove(0)),
            (None, _) => {
                let which = if refused == 1 { "" } else { ", the first because" };
                let first = &self.refused[0];
                Err(CliError::Unfit(format!("{refused} of {} refused{which}: {first}", self.asked)))
            }
        }
    }
}
