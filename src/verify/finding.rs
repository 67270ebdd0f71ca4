//! What is damaged, and how much was looked at.

use std::io;

use super::progress::Progress;
use crate::cli::output::{Cell, Format, Listing};
use crate::types::Offset;

/// Damage beyond this number is only counted: a directory that is overwritten would fill memory with it.
const DAMAGE_MAX: usize = 10_000;

/// One place that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Topic and partition as `topic-partition`, or the kind of row with what it is about.
    pub place: String,
    /// First and last offset of what is unusable; none where it is not about offsets.
    pub range: Option<(Offset, Offset)>,
    /// One sentence.
    pub what: String,
}

/// The result of a walk.
#[derive(Debug, Default)]
pub struct Report {
    damage: Vec<Damage>,
    /// How many there are beyond [`DAMAGE_MAX`].
    unlisted: u64,
    pub(super) topics: u64,
    pub(super) partitions: u64,
    pub(super) batches: u64,
    pub(super) batch_bytes: u64,
    pub(super) rows: u64,
    /// Files of message ids.
    pub(super) slices: u64,
    pub(super) progress: Progress,
}

impl Report {
    /// Takes note of damage.
    pub fn damage(&mut self, place: impl Into<String>, range: Option<(Offset, Offset)>, what: impl Into<String>) {
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(Damage { place: place.into(), range, what: what.into() });
        } else {
            self.unlisted += 1;
        }
    }

    /// Lets those who watch know that something of `place` was read.
    pub(super) fn read(&mut self, place: &str) {
        self.progress.draw(self.partitions, place, self.batch_bytes);
    }

    /// What was found, in the order of the walk.
    #[cfg(test)]
    pub(super) fn found(&self) -> &[Damage] {
        &self.damage
    }

    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    /// The whole in a sentence.
    pub fn sum(&self) -> String {
        let Self { topics, partitions, batches, batch_bytes, rows, slices, .. } = self;
        let verdict = match self.damage.len() as u64 + self.unlisted {
            0 => "no damage".to_owned(),
            count => format!("{count} places are damaged"),
        };
        let files = if *slices > 0 { format!(", {slices} files of message ids") } else { String::new() };
        format!(
            "{verdict}: {topics} topics, {partitions} partitions, {batches} batches of {batch_bytes} bytes, {rows} other rows{files} read"
        )
    }

    pub(super) fn print(&self, format: Format) -> io::Result<()> {
        if self.is_sound() && format == Format::Table {
            return Ok(());
        }
        let mut listing = Listing::new(&["place", "first_offset", "last_offset", "damage"]);
        for Damage { place, range, what } in &self.damage {
            let (first, last) =
                range.map_or((Cell::Absent, Cell::Absent), |(first, last)| (Cell::Number(first), Cell::Number(last)));
            listing.row(vec![place.as_str().into(), first, last, what.as_str().into()]);
        }
        listing.print(format)
    }
}
