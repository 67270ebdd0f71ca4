//! `einmal dedup find`.

use clap::Args;
use serde_json::Value;

use super::ask::{AdminTarget, number, rows, text};
use crate::cli::CliError;
use crate::cli::output::{Cell, Listing};
use crate::client::admin::quoted;

/// Shown under the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  einmal dedup find orders 0190163d-8694-739b-aea5-966c26f8ad91
  einmal dedup find events /shop/checkout 4711      # of headers ce_source and ce_id
  einmal dedup find events /shop/checkout+4711      # the same, as audit topics tell it
  einmal dedup find orders order-17 --namespace billing
  einmal dedup find payments outbox-relay-1         # of a sender that counts: how far it has come

With message.dedup.time.source=create there is a line for each message that is remembered under the id. A record is a copy of one of them
if their times are less than message.dedup.window.ms apart.

Exit code 1: it is not remembered, and would be stored if it came now; or, with a sentence on stderr, it could not be asked for.";

/// Places at which an id is taken apart.
const PLUSES_MAX: usize = 8;

/// Which one.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Of which topic
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// The id: the value of the header, or of each header of one alternative in their order; the key, the value, or both, as
    /// message.dedup.id.source says; in mode sequence the sender's name
    #[arg(value_name = "ID", required = true)]
    id: Vec<String>,
    /// The ids are hexadecimal digits, two for each byte
    #[arg(long)]
    hex: bool,
    /// What separates the ids of different writers, where the topic has message.dedup.namespace
    #[arg(long, value_name = "VALUE")]
    namespace: Option<String>,
    /// Only in this partition, where message.dedup.scope is partition
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    #[command(flatten)]
    target: AdminTarget,
}

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let ask = |id: &[String]| options.target.ask(&path(options, id)?);
    let is_live = |answer: &Value| answer["is_live"] == Value::Bool(true);
    let settles = |told: &Result<Value, CliError>| match told {
        Ok(answer) => is_live(answer),
        Err(error) => matches!(error, CliError::Admin(_) | CliError::NotFound(_)),
    };
    let whole = ask(&options.id);
    let answer = if settles(&whole) {
        whole?
    } else {
        // Where nothing is known of it in one piece, it may be as the audit topic tells it.
        apart(options).iter().map(|parts| ask(parts)).find(settles).unwrap_or(whole)?
    };
    let listing = if answer["mode"] == "sequence" { of_sender(&answer) } else { of_id(&answer) };
    let name = options.id.join(" ");
    let failure =
        (!is_live(&answer)).then(|| CliError::NotFound(format!("topic {} does not remember {name:?}", options.topic)));
    listing.print_before(failure, options.target.output)
}

fn of_id(answer: &Value) -> Listing {
    let mut listing = Listing::new(&[
        "partition",
        "offset",
        "batch_timestamp_ms",
        "record_timestamp_ms",
        "age_ms",
        "left_ms",
        "kept_in",
        "open_producer_id",
    ]);
    for row in rows(answer, "found") {
        listing.row(vec![
            number(&row, "partition"),
            number(&row, "offset"),
            Cell::Moment(row["batch_timestamp_ms"].as_i64()),
            Cell::Moment(row["record_timestamp_ms"].as_i64()),
            Cell::Span(row["age_ms"].as_i64()),
            Cell::Span(row["left_ms"].as_i64()),
            text(&row, "kept_in"),
            number(&row, "open_producer_id"),
        ]);
    }
    listing
}

fn of_sender(answer: &Value) -> Listing {
    let mut listing =
        Listing::new(&["partition", "number", "offset", "batch_timestamp_ms", "open_number", "open_producer_id"]);
    for row in rows(answer, "found") {
        listing.row(vec![
            number(&row, "partition"),
            // Numbers go up to 2^64.
            row["number"].as_u64().map_or(Cell::Absent, |number| Cell::Text(number.to_string())),
            number(&row, "offset"),
            Cell::Moment(row["batch_timestamp_ms"].as_i64()),
            row["open_number"].as_u64().map_or(Cell::Absent, |number| Cell::Text(number.to_string())),
            number(&row, "open_producer_id"),
        ]);
    }
    listing
}

/// The question.
fn path(options: &Options, id: &[String]) -> Result<String, CliError> {
    let mut path = format!("/api/v1/dedup/find?topic={}", quoted(options.topic.as_bytes()));
    for id in id {
        let bytes = if options.hex { bytes_of_hex(id) } else { Some(id.as_bytes().to_vec()) };
        let bytes = bytes.ok_or_else(|| CliError::Unfit(format!("{id:?} is not hexadecimal")))?;
        path.push_str(&format!("&id={}", quoted(&bytes)));
    }
    if let Some(namespace) = &options.namespace {
        path.push_str(&format!("&namespace={}", quoted(namespace.as_bytes())));
    }
    if let Some(partition) = options.partition {
        path.push_str(&format!("&partition={partition}"));
    }
    Ok(path)
}

/// What an id of several headers may consist of that is given as an audit topic tells it, with `+` between them: itself a part may have
/// some, too.
fn apart(options: &Options) -> Vec<Vec<String>> {
    let [id] = options.id.as_slice() else { return Vec::new() };
    if options.hex || !id.contains('+') {
        return Vec::new();
    }
    let all = id.split('+').map(str::to_owned).collect::<Vec<_>>();
    let two = id.match_indices('+').take(PLUSES_MAX).map(|(at, _)| vec![id[..at].to_owned(), id[at + 1..].to_owned()]);
    let more = (3..=PLUSES_MAX).contains(&all.len()).then_some(all);
    two.chain(more).collect()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let byte = |pair: &[u32]| u8::try_from(pair[0] << 4 | pair[1]).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pairs_of_digits() {
        assert_eq!(bytes_of_hex("00fFa1"), Some(vec![0, 255, 0xa1]));
        assert_eq!(bytes_of_hex(""), Some(Vec::new()));
        for bad in ["0", "0x12", "zz", "é1"] {
            assert_eq!(bytes_of_hex(bad), None, "{bad}");
        }
    }
}
