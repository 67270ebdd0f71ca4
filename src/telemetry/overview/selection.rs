//! Which rows of a list are meant: the worst, or all of them by name, page by page.

use super::{first, worst};
use crate::telemetry::name::shown;
use crate::telemetry::query::Query;

/// Of one list.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Those that are worst, worst first.
    #[default]
    Worst,
    /// The one of this name.
    Named(String),
    /// Those whose names come after this one, by name; all do after an empty one.
    After(String),
}

impl Selection {
    /// Reads `?NAME=` and `?after=`.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub(in crate::telemetry) fn read(query: Option<&str>, name: &str) -> Result<Self, String> {
        let query = Query::read(query, &[name, "after"])?;
        match (query.text(name)?, query.text("after")?) {
            (None, None) => Ok(Self::Worst),
            (Some(named), None) => Ok(Self::Named(named.to_owned())),
            (None, Some(after)) => Ok(Self::After(after.to_owned())),
            (Some(_), Some(_)) => Err(format!("{name} names one, and after a page of them: ask for one of both")),
        }
    }

    /// Its part of `rows`, [`ROWS_MAX`](super::ROWS_MAX) at most, and how many others there are, which where they go by name is behind it. Rows have their
    /// name as it is [shown]; `figure` tells how bad they are.
    pub(super) fn of<T, K: Ord>(
        &self,
        mut rows: Vec<T>,
        name: impl Fn(&T) -> &str,
        figure: impl Fn(&T) -> K,
    ) -> (Vec<T>, usize) {
        match self {
            Self::Worst => return worst(rows, figure),
            Self::Named(named) => {
                let cut = shown(named);
                rows.retain(|row| name(row) == named || name(row) == cut);
            }
            Self::After(after) => {
                rows.retain(|row| after.is_empty() || name(row) > after.as_str());
                rows.sort_by(|one, other| name(one).cmp(name(other)));
            }
        }
        first(rows)
    }

    /// The name after which the next page begins; `last` is that of the last row. None if there is no next page, or no order of pages.
    pub fn next<'a>(&self, last: Option<&'a str>, left_out: usize) -> Option<&'a str> {
        last.filter(|_| matches!(self, Self::After(_)) && left_out > 0)
    }
}

/// Of all that have pages.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Groups.
    pub groups: Selection,
    /// Topics.
    pub topics: Selection,
}

impl Asked {
    /// Reads what the page is asked by: `?groups_after=` and `?topics_after=`.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub(in crate::telemetry) fn read(query: Option<&str>) -> Result<Self, String> {
        let query = Query::read(query, &["groups_after", "topics_after"])?;
        let after = |name| {
            let after = query.text(name)?;
            Ok::<_, String>(after.map_or(Selection::Worst, |after| Selection::After(after.to_owned())))
        };
        Ok(Self { groups: after("groups_after")?, topics: after("topics_after")? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::ROWS_MAX;
    use super::*;

    fn names(selection: &Selection, rows: &[(&str, u32)]) -> (Vec<String>, usize) {
        let (rows, left_out) = selection.of(rows.to_vec(), |row| row.0, |row| row.1);
        (rows.into_iter().map(|row| row.0.to_owned()).collect(), left_out)
    }

    #[test]
    fn a_query_names_one_or_a_page() {
        for (query, expected) in [
            (None, Selection::Worst),
            (Some("group=a%2Fb"), Selection::Named("a/b".to_owned())),
            (Some("after="), Selection::After(String::new())),
        ] {
            assert_eq!(Selection::read(query, "group"), Ok(expected), "{query:?}");
        }
        for bad in ["group=a&after=b", "topic=a", "group=%ff"] {
            assert!(Selection::read(Some(bad), "group").is_err(), "{bad}");
        }
        let asked = Asked { topics: Selection::After("t".to_owned()), ..Asked::default() };
        assert_eq!(Asked::read(Some("topics_after=t")), Ok(asked));
        assert!(Asked::read(Some("after=t")).is_err());
    }

    #[test]
    fn rows_go_by_figure_or_by_name() {
        let long = "x".repeat(300);
        let cut = shown(&long).into_owned();
        let rows = [("b", 1), ("a", 2), ("c", 3), (&*cut, 0)];
        for (selection, expected) in [
            (Selection::Worst, &["c", "a", "b", &*cut][..]),
            (Selection::Named("b".to_owned()), &["b"]),
            (Selection::Named(long), &[&*cut]),
            (Selection::Named(cut.clone()), &[&*cut]),
            (Selection::Named("d".to_owned()), &[]),
            (Selection::After(String::new()), &["a", "b", "c", &*cut]),
            (Selection::After("bb".to_owned()), &["c", &*cut]),
        ] {
            assert_eq!(names(&selection, &rows), (expected.iter().map(|name| (*name).to_owned()).collect(), 0));
        }
    }

    #[test]
    fn pages_lead_through_all_rows() {
        let all: Vec<String> = (0..2 * ROWS_MAX + 7).map(|no| format!("g{no:04}")).collect();
        let rows: Vec<(&str, u32)> = all.iter().rev().map(|name| (name.as_str(), 0)).collect();
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let selection = Selection::After(after);
            let (page, left_out) = names(&selection, &rows);
            seen.extend(page);
            match selection.next(seen.last().map(String::as_str), left_out) {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, all);
        assert_eq!(Selection::Worst.next(Some("a"), 5), None);
    }
}
