//! What was found: a table for people, JSON for scripts, of the same columns.
//!
//! JSON is one array of objects, whose members are only ever added to. Absent values are null there and `-` in tables.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::{CliError, span};
use crate::client::Printable;

/// Writes `bytes` to stdout. False if nobody reads any more (`| head`), which is no error.
///
/// # Errors
/// They could not be written.
pub fn put(bytes: &[u8]) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Form of the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns under heads
    #[default]
    Table,
    /// An array of objects
    Json,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Text(String),
    /// The value of a setting, which may be empty: `""` in tables.
    Setting(Option<String>),
    Number(i64),
    /// Several, as ids of nodes.
    Numbers(Vec<i32>),
    Absent,
    /// Milliseconds since 1970; the column's name ends in `_ms`.
    Moment(Option<i64>),
    /// Milliseconds; the column's name ends in `_ms`.
    Span(Option<i64>),
    /// Topics with some of their partitions.
    Partitions(Vec<(String, Vec<i32>)>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Cell {
    /// A number that is negative where there is none.
    pub(crate) fn or_absent(number: i64) -> Self {
        if number >= 0 { Self::Number(number) } else { Self::Absent }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Setting(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Numbers(numbers) => json!(numbers),
            Self::Absent => Value::Null,
            Self::Moment(ms) | Self::Span(ms) => json!(ms),
            Self::Partitions(topics) => {
                let of = |(topic, partitions): &(String, Vec<i32>)| json!({ "topic": topic, "partitions": partitions });
                topics.iter().map(of).collect()
            }
        }
    }

    fn text(&self) -> String {
        let or_dash = |ms: Option<i64>, show: fn(i64) -> String| ms.map_or_else(|| "-".to_owned(), show);
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Setting(Some(text)) if text.is_empty() => "\"\"".to_owned(),
            Self::Setting(text) => text.clone().unwrap_or_default(),
            Self::Number(number) => number.to_string(),
            Self::Numbers(numbers) => commas(numbers),
            Self::Absent => String::new(),
            Self::Moment(ms) => or_dash(*ms, span::moment),
            Self::Span(ms) => or_dash(*ms, span::show),
            Self::Partitions(topics) => {
                let of = |(topic, partitions): &(String, Vec<i32>)| format!("{topic}:{}", commas(partitions));
                topics.iter().map(of).collect::<Vec<_>>().join(" ")
            }
        };
        match text.is_empty() {
            true => "-".to_owned(),
            // What a client has chosen must not move the terminal's cursor.
            false => Printable(&text).to_string(),
        }
    }
}

fn commas(numbers: &[i32]) -> String {
    numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

/// Rows under named columns.
#[derive(Debug)]
pub(crate) struct Listing {
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

impl Listing {
    /// Columns are named as JSON members are: lower case, with `_`, units last.
    pub(crate) fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// Writes it to stdout.
    pub(crate) fn print(&self, format: Format) -> io::Result<()> {
        put(self.render(format).as_bytes()).map(drop)
    }

    /// Writes what is there to stdout, then answers `failure`, if there is one. With a failure, a table without rows is left out, so
    /// that the error stands alone.
    ///
    /// # Errors
    /// `failure`, or [`CliError::Output`].
    pub(crate) fn print_before(&self, failure: Option<CliError>, format: Format) -> Result<(), CliError> {
        if failure.is_none() || !self.rows.is_empty() || format == Format::Json {
            self.print(format)?;
        }
        failure.map_or(Ok(()), Err)
    }

    fn render(&self, format: Format) -> String {
        match format {
            Format::Table => self.table(),
            Format::Json => {
                let object = |row: &Vec<Cell>| {
                    let members = self.columns.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.json()));
                    Value::Object(members.collect::<Map<_, _>>())
                };
                format!("{:#}\n", self.rows.iter().map(object).collect::<Value>())
            }
        }
    }

    fn table(&self) -> String {
        let head = |name: &&str| name.trim_end_matches("_ms").replace('_', "-").to_uppercase();
        let mut lines: Vec<Vec<String>> = vec![self.columns.iter().map(head).collect()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(Cell::text).collect()));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let padded: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(padded.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let mut listing = Listing::new(&["transactional_id", "start_time_ms", "duration_ms", "partitions"]);
        let partitions = vec![("in".to_owned(), vec![0, 1]), ("out".to_owned(), vec![7])];
        listing.row(vec![
            "payments".into(),
            Cell::Moment(Some(0)),
            Cell::Span(Some(61_000)),
            Cell::Partitions(partitions),
        ]);
        listing.row(vec!["\u{1b}[2J".into(), Cell::Moment(None), Cell::Span(None), Cell::Partitions(Vec::new())]);
        listing
    }

    #[test]
    fn a_table_has_heads_and_columns_under_them() {
        let expected = "\
TRANSACTIONAL-ID  START-TIME                DURATION  PARTITIONS
payments          1970-01-01T00:00:00.000Z  1m 1s     in:0,1 out:7
\u{fffd}[2J              -                         -         -
";
        assert_eq!(listing().render(Format::Table), expected);
        assert_eq!(Listing::new(&["id", "state"]).render(Format::Table), "ID  STATE\n");
    }

    #[test]
    fn json_has_the_same_members_with_numbers_as_numbers() {
        let expected = json!([
            {
                "transactional_id": "payments", "start_time_ms": 0, "duration_ms": 61_000,
                "partitions": [{ "topic": "in", "partitions": [0, 1] }, { "topic": "out", "partitions": [7] }],
            },
            { "transactional_id": "\u{1b}[2J", "start_time_ms": null, "duration_ms": null, "partitions": [] },
        ]);
        let text = listing().render(Format::Json);
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), expected);
        assert!(text.ends_with("]\n"));
        assert_eq!(Listing::new(&["id"]).render(Format::Json), "[]\n");
        let nodes = Cell::Numbers(vec![3, 1]);
        assert_eq!((nodes.json(), nodes.text()), (json!([3, 1]), "3,1".to_owned()));
    }
}
