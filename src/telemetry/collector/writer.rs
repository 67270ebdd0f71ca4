//! Families one after the other, each once.

use std::collections::BTreeSet;

use super::super::exposition::{family_names, head, sample};
use super::super::recorder::family;
use crate::metrics::{self as catalogue, Family};

/// Stands for the topics and groups beyond the cap.
pub(super) const OTHER: &str = "_other";

/// How the values of folded series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    Sum,
    Max,
}

/// Appends families.
pub(super) struct Writer<'a> {
    text: &'a mut String,
    written: BTreeSet<String>,
    folded: BTreeSet<&'static str>,
    series_max: usize,
}

impl<'a> Writer<'a> {
    /// Goes on after the families of `text`; a family has `series_max` series at most.
    pub fn new(text: &'a mut String, series_max: usize) -> Self {
        let written = family_names(text).map(str::to_owned).collect();
        Self { text, written, folded: BTreeSet::new(), series_max }
    }

    /// A family and its samples, unless it is there already.
    pub fn family(&mut self, family: &'static Family, samples: impl FnOnce(&'static Family, &mut String)) {
        if self.written.insert(family.name.to_owned()) {
            head(self.text, family);
            samples(family, self.text);
        }
    }

    /// One of the catalogue's families without labels.
    pub fn single(&mut self, name: &str, value: f64) {
        self.one(family(name), value);
    }

    /// A family without labels.
    pub fn one(&mut self, family: &'static Family, value: f64) {
        self.family(family, |family, text| sample(text, family, &[], value));
    }

    /// A family whose labels begin with topics or groups. The series beyond the cap become one, in which each label is [`OTHER`].
    pub fn series<'s>(
        &mut self,
        family: &'static Family,
        fold: Fold,
        series: impl ExactSizeIterator<Item = (Vec<&'s str>, f64)>,
    ) {
        let shown = if series.len() > self.series_max { self.series_max.saturating_sub(1) } else { usize::MAX };
        if shown != usize::MAX {
            self.folded.insert(family.name);
        }
        self.family(family, |family, text| {
            let mut rest = None;
            for (index, (labels, value)) in series.enumerate() {
                if index < shown {
                    sample(text, family, &labels, value);
                    continue;
                }
                let before = rest.unwrap_or(0.0);
                rest = Some(if fold == Fold::Sum { before + value } else { value.max(before) });
            }
            if let Some(rest) = rest {
                sample(text, family, &vec![OTHER; family.labels.len()], rest);
            }
        });
    }

    /// Whether a family may have this many series.
    pub fn has_room(&self, series: usize) -> bool {
        series <= self.series_max
    }

    /// Names a family that is not whole.
    pub fn left_out(&mut self, family: &'static Family) {
        self.folded.insert(family.name);
        self.family(family, |_, _| {});
    }

    /// Says which families are not whole.
    pub fn folded(&mut self) {
        let folded = std::mem::take(&mut self.folded);
        self.family(family(catalogue::METRICS_FOLDED), |family, text| {
            folded.iter().for_each(|name| sample(text, family, &[name], 1.0));
        });
    }
}
