//! Families one after the other, each once, and none longer than a page may have it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::exposition::{family_names, head, sample};
use super::super::recorder::family;
use crate::metrics::{self as catalogue, Family};

/// Stands for the topics and groups beyond the caps.
pub(super) const OTHER: &str = "_other";

/// Labels whose values are of the clients' making. Others have few values, which mean something: they stay when series are folded.
const INVENTED: [&str; 4] = ["topic", "group", "consumergroup", "partition"];

/// A family may have as many bytes as if each of the series that it may have had so many, and [`FAMILY_BYTES_MIN`] if that is less.
const SERIES_BYTES_MEAN: usize = 200;

/// What a family may have however few series it is allowed, bytes.
const FAMILY_BYTES_MIN: usize = 64 << 10;

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
    bytes_max: usize,
}

impl<'a> Writer<'a> {
    /// Goes on after the families of `text`; a family has `series_max` series at most, and [`SERIES_BYTES_MEAN`] bytes for each.
    pub fn new(text: &'a mut String, series_max: usize) -> Self {
        let written = family_names(text).map(str::to_owned).collect();
        let bytes_max = series_max.saturating_mul(SERIES_BYTES_MEAN).max(FAMILY_BYTES_MIN);
        Self { text, written, folded: BTreeSet::new(), series_max, bytes_max }
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

    /// A family by topic or group. From where it has as many series, or bytes, as it may have, the rest is folded: [`OTHER`] stands for
    /// what clients named, and of series that differ in nothing else there is one.
    pub fn series<'s>(
        &mut self,
        family: &'static Family,
        fold: Fold,
        series: impl IntoIterator<Item = (Vec<&'s str>, f64)>,
    ) {
        let series: Vec<_> = series.into_iter().collect();
        let bytes_max = self.bytes_max;
        let shown_max = match series.len() > self.series_max {
            true => self.series_max.saturating_sub(folded_count(family, &series)),
            false => usize::MAX,
        };
        let mut is_whole = true;
        self.family(family, |family, text| {
            let begins = text.len();
            let mut rest: BTreeMap<Vec<&str>, f64> = BTreeMap::new();
            let mut shown = 0;
            for (labels, value) in series {
                // A topic may have the very name.
                let is_other = labels.first() == Some(&OTHER);
                is_whole &= is_other || shown < shown_max && text.len() - begins < bytes_max;
                if is_whole && !is_other {
                    sample(text, family, &labels, value);
                    shown += 1;
                    continue;
                }
                let before = rest.entry(folded(family, labels)).or_insert(0.0);
                *before = if fold == Fold::Sum { *before + value } else { value.max(*before) };
            }
            rest.iter().for_each(|(labels, value)| sample(text, family, labels, *value));
        });
        if !is_whole {
            self.folded.insert(family.name);
        }
    }

    /// A family whose series cannot be folded: `write` is given what takes them. Of one that has more bytes than it may, none is shown.
    pub fn whole(&mut self, family: &'static Family, write: impl FnOnce(&mut dyn FnMut(&[&str], f64))) {
        let (bytes_max, mut is_whole) = (self.bytes_max, true);
        self.family(family, |family, text| {
            let begins = text.len();
            write(&mut |labels, value| {
                is_whole &= text.len() - begins < bytes_max;
                if is_whole {
                    sample(text, family, labels, value);
                }
            });
            if !is_whole {
                text.truncate(begins);
            }
        });
        if !is_whole {
            self.folded.insert(family.name);
        }
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

/// The labels of what a series is folded into.
fn folded<'s>(family: &Family, labels: Vec<&'s str>) -> Vec<&'s str> {
    let of = |(label, value): (&&str, &'s str)| if INVENTED.contains(label) { OTHER } else { value };
    family.labels.iter().zip(labels).map(of).collect()
}

/// How many series these become if all are folded.
fn folded_count(family: &Family, series: &[(Vec<&str>, f64)]) -> usize {
    series.iter().map(|(labels, _)| folded(family, labels.clone())).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Kind, Source};

    const COMMITS: &Family = &of("commits", Kind::Counter, &["group", "result"]);
    const LAG: &Family = &of("lag", Kind::Gauge, &["group", "topic"]);

    const fn of(name: &'static str, kind: Kind, labels: &'static [&'static str]) -> Family {
        Family { name, kind, source: Source::Collector, labels, values: &[], help: "What it tells" }
    }

    /// The samples of a page with one family, and whether it is told that this is not whole.
    fn page(series_max: usize, write: impl FnOnce(&mut Writer<'_>)) -> (Vec<String>, bool) {
        let mut text = String::new();
        let mut writer = Writer::new(&mut text, series_max);
        write(&mut writer);
        writer.folded();
        let (told, samples): (Vec<_>, Vec<_>) =
            text.lines().filter(|line| !line.starts_with('#')).partition(|line| line.contains("metrics_folded"));
        (samples.into_iter().map(str::to_owned).collect(), !told.is_empty())
    }

    #[test]
    fn what_is_folded_keeps_the_labels_that_mean_something() {
        let series = ["a", "b", "c"].map(|group| [(vec![group, "committed"], 5.0), (vec![group, "refused"], 1.0)]);
        let series: Vec<_> = series.into_iter().flatten().collect();
        let (samples, is_folded) = page(5, |writer| writer.series(COMMITS, Fold::Sum, series.clone()));
        let expected = [
            "commits{group=\"a\",result=\"committed\"} 5",
            "commits{group=\"a\",result=\"refused\"} 1",
            "commits{group=\"b\",result=\"committed\"} 5",
            "commits{group=\"_other\",result=\"committed\"} 5",
            "commits{group=\"_other\",result=\"refused\"} 2",
        ];
        assert_eq!((samples.iter().map(String::as_str).collect(), is_folded), (expected.to_vec(), true));
        let (samples, is_folded) = page(6, |writer| writer.series(COMMITS, Fold::Sum, series));
        assert_eq!((samples.len(), is_folded), (6, false));
        let lags =
            [("a", "t", 1.0), ("b", "t", 7.0), ("b", "u", 3.0)].map(|(group, topic, lag)| (vec![group, topic], lag));
        let (samples, _) = page(2, |writer| writer.series(LAG, Fold::Max, lags));
        assert_eq!(samples, ["lag{group=\"a\",topic=\"t\"} 1", "lag{group=\"_other\",topic=\"_other\"} 7"]);
    }

    #[test]
    fn a_group_of_the_name_of_all_others_is_one_of_them() {
        let named = |group| (vec![group, "committed"], 1.0);
        let (samples, is_folded) =
            page(2, |writer| writer.series(COMMITS, Fold::Sum, ["_other", "a", "b", "c"].map(named)));
        let expected =
            ["commits{group=\"a\",result=\"committed\"} 1", "commits{group=\"_other\",result=\"committed\"} 3"];
        assert_eq!((samples, is_folded), (expected.map(str::to_owned).to_vec(), true));
        let (samples, is_folded) = page(2, |writer| writer.series(COMMITS, Fold::Sum, ["_other"].map(named)));
        assert_eq!((samples.len(), is_folded), (1, false));
    }

    #[test]
    fn no_family_has_more_bytes_than_its_series_may_have() {
        let names: Vec<String> = (0..1_000).map(|no| format!("{no:0249}")).collect();
        let series = || names.iter().map(|name| (vec![name.as_str(), "t"], 1.0));
        let (samples, is_folded) = page(1_000, |writer| writer.series(LAG, Fold::Sum, series()));
        let bytes: usize = samples.iter().map(|sample| sample.len() + 1).sum();
        assert!(is_folded && bytes < 1_000 * SERIES_BYTES_MEAN + 1_000, "{bytes}");
        let sum: f64 = samples.iter().filter_map(|sample| sample.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        assert_eq!(sum, 1_000.0, "nothing is lost");
        let whole = |writer: &mut Writer<'_>| {
            writer.whole(LAG, |write| series().for_each(|(labels, value)| write(&labels, value)));
        };
        assert_eq!(page(1_000, whole), (Vec::new(), true));
        assert_eq!(page(10_000, whole).0.len(), 1_000);
    }
}
