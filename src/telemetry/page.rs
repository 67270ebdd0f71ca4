//! The built-in page, as HTML without scripts.

use std::fmt::Write as _;

use super::overview::{Overview, Selection};
use crate::client::admin::quoted;

/// Served beside the page, which may load nothing else.
pub const STYLE: &str = include_str!("page.css");

/// Appends a table with `foot` under it, which is markup, or a sentence instead of one without rows.
fn table(html: &mut String, heading: &str, none: &str, columns: &[&str], rows: Vec<Vec<String>>, foot: &str) {
    // Writing to a String cannot fail.
    let _ = write!(html, "<section><h2>{heading}</h2>");
    if rows.is_empty() {
        let _ = write!(html, "<p class=\"calm\">{none}</p>{foot}</section>");
        return;
    }
    html.push_str("<table><thead><tr>");
    for column in columns {
        let _ = write!(html, "<th>{column}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _ = write!(html, "<td>{}</td>", escaped(&cell));
        }
        html.push_str("</tr>");
    }
    let _ = write!(html, "</tbody></table>{foot}</section>");
}

/// How many rows a list of the worst does without; nothing where it has all.
fn counted(shown: usize, left_out: usize) -> String {
    if left_out == 0 { String::new() } else { format!("<p>These are the first {shown} of {}.</p>", shown + left_out) }
}

/// The same of a list that can be had by name, with links to its pages; `parameter` asks for them.
fn paged(selection: &Selection, parameter: &str, (shown, left_out): (usize, usize), next: Option<&str>) -> String {
    let link = |after: &str, words: &str| format!("<a href=\"/?{parameter}={}\">{words}</a>", quoted(after.as_bytes()));
    match (selection, next) {
        (Selection::After(_), Some(next)) => {
            format!("<p>By name; {left_out} more: {}. <a href=\"/\">The worst</a></p>", link(next, "next"))
        }
        (Selection::After(_), None) => "<p>By name, to the last. <a href=\"/\">The worst</a></p>".to_owned(),
        _ if left_out > 0 => format!("{}<p>{}</p>", counted(shown, left_out), link("", "All by name")),
        _ => String::new(),
    }
}

/// What is said where a list has no rows.
fn none_of(selection: &Selection, none: &'static str) -> &'static str {
    match selection {
        Selection::After(after) if !after.is_empty() => "There are none behind that name.",
        _ => none,
    }
}

/// Text that cannot be taken for markup: names are what clients chose.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// As people read it: 1.5 s, 4 min, 3 h.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

/// As people read it, in powers of 1024.
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1_024.0 {
            return if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1_024.0;
    }
    format!("{value:.1} TiB")
}

fn optional(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), duration)
}

/// The whole page.
pub fn html(overview: &Overview) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>einmal</title>\
         <meta http-equiv=\"refresh\" content=\"10\"><meta name=\"viewport\" content=\"width=device-width\">\
         <link rel=\"stylesheet\" href=\"/style.css\"></head><body><header><h1>einmal</h1>",
    );
    let (class, verdict) = match (overview.reasons.is_empty(), overview.notices.is_empty()) {
        (true, true) => ("fine", "It is fine."),
        (true, false) => ("odd", "It serves, but"),
        (false, _) => ("bad", "It does not serve."),
    };
    let _ = write!(
        html,
        "<p>version {}, up for {}, {} topics with {} partitions</p></header><p class=\"verdict {class}\">{verdict} {}</p>",
        escaped(&overview.version),
        duration(overview.uptime_seconds),
        overview.topics,
        overview.partitions,
        escaped(&[&overview.reasons[..], &overview.notices[..]].concat().join("; ")),
    );
    groups(&mut html, overview);
    transactions(&mut html, overview);
    deduplicated(&mut html, overview);
    senders(&mut html, overview);
    html.push_str(
        "<footer>The same as JSON: <a href=\"/api/v1/overview\">overview</a>, <a href=\"/api/v1/groups\">groups</a>, \
         <a href=\"/api/v1/transactions\">transactions</a>, <a href=\"/api/v1/topics\">topics</a>, <a href=\"/api/v1/dedup\">deduplication</a>. \
         For Prometheus: <a href=\"/metrics\">metrics</a>.</footer></body></html>\n",
    );
    html
}

fn groups(html: &mut String, overview: &Overview) {
    let rows = overview.groups.iter().map(|row| {
        let held = if row.lag_committed_records < row.lag_records { "held up by a transaction" } else { "" };
        vec![
            row.group.to_string(),
            row.state.to_owned(),
            row.members.to_string(),
            row.lag_records.to_string(),
            if row.lag_records == 0 { "–".to_owned() } else { optional(row.lag_seconds) },
            optional(row.commit_age_seconds),
            held.to_owned(),
        ]
    });
    let columns = ["Group", "State", "Members", "Lag, records", "Lag, time", "Last commit", ""];
    let count = (overview.groups.len(), overview.left_out.groups);
    let foot = paged(&overview.asked.groups, "groups_after", count, overview.next_group());
    let none = none_of(&overview.asked.groups, "There are no groups.");
    table(html, "Who lags?", none, &columns, rows.collect(), &foot);
}

fn transactions(html: &mut String, overview: &Overview) {
    let rows = overview.transactions.iter().map(|row| {
        let more = if row.partition_count > row.partitions.len() { ", …" } else { "" };
        vec![
            row.transactional_id.to_string(),
            format!("{} / {}", row.producer_id, row.producer_epoch),
            row.state.to_owned(),
            duration(row.age_seconds),
            duration(row.timeout_seconds),
            format!("{}{more}", row.partitions.join(", ")),
            row.groups.join(", "),
        ]
    });
    let columns = ["Transactional id", "Producer id / epoch", "State", "Open for", "Timeout", "Partitions", "Groups"];
    let none =
        if overview.is_open_unknown { "Only the writer knows, and it does not answer." } else { "None is open." };
    let foot = counted(overview.transactions.len(), overview.left_out.transactions);
    table(html, "Which transactions are open?", none, &columns, rows.collect(), &foot);
    let rows = overview.held_back.iter().map(|row| {
        vec![
            format!("{}-{}", row.topic, row.partition),
            row.last_stable_offset.to_string(),
            row.records.to_string(),
            row.by.join(", "),
        ]
    });
    let columns = ["Partition", "Last stable offset", "Records held back", "By the transaction of"];
    let none = "Readers of committed records can read everything.";
    let foot = counted(overview.held_back.len(), overview.left_out.held_back);
    table(html, "What do they hold back?", none, &columns, rows.collect(), &foot);
}

fn deduplicated(html: &mut String, overview: &Overview) {
    let rows = overview.traffic.iter().map(|row| {
        vec![
            row.topic.to_string(),
            row.partitions.to_string(),
            bytes(row.size_bytes),
            row.records_in.to_string(),
            row.duplicate_records.to_string(),
            row.known_messages.to_string(),
            row.out_of_order.to_string(),
        ]
    });
    let columns = [
        "Topic",
        "Partitions",
        "Size",
        "Records in",
        "Records that producers retried",
        "Messages known by their id",
        "Batches out of order",
    ];
    let count = (overview.traffic.len(), overview.left_out.topics);
    let foot = paged(&overview.asked.topics, "topics_after", count, overview.next_topic());
    let none = none_of(&overview.asked.topics, "There are no topics.");
    table(html, "What was deduplicated?", none, &columns, rows.collect(), &foot);
    let _ = write!(
        html,
        "<p>Since the start {} records ({}) came a second time from a producer that retried and were not stored again, {} messages were \
         known by their id, and {} batches were refused for a gap.</p>",
        overview.duplicate_records,
        bytes(overview.duplicate_bytes),
        overview.known_messages,
        overview.out_of_order,
    );
}

fn senders(html: &mut String, overview: &Overview) {
    let rows = overview.senders.iter().map(|row| {
        let missed = if row.missed_max > 0 { format!("up to {} more", row.missed_max) } else { String::new() };
        vec![
            if row.client_id.is_empty() { "(no client id)".to_owned() } else { row.client_id.to_string() },
            row.topic.to_string(),
            row.known_messages.to_string(),
            row.retried_records.to_string(),
            missed,
        ]
    });
    let columns = ["Client id", "Topic", "Messages known by their id", "Records that it retried", ""];
    table(html, "Who sent it again?", "Nobody has sent anything again.", &columns, rows.collect(), "");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::overview::{Asked, GroupRow, HeldBackRow, LeftOut, SenderRow, TopicRow, TransactionRow};

    fn overview() -> Overview {
        Overview {
            groups: vec![GroupRow {
                group: "<script>alert(1)</script>".into(),
                state: "Stable",
                members: 2,
                lag_records: 8,
                lag_committed_records: 5,
                lag_seconds: Some(90.0),
                commit_age_seconds: None,
            }],
            transactions: vec![TransactionRow {
                transactional_id: "shop".into(),
                producer_id: 7,
                producer_epoch: 1,
                state: "Ongoing",
                age_seconds: 300.0,
                timeout_seconds: 60.0,
                partitions: vec!["orders-0".to_owned()],
                partition_count: 3,
                groups: vec!["billing".into()],
            }],
            held_back: vec![HeldBackRow {
                topic: "orders".into(),
                partition: 0,
                last_stable_offset: 4,
                records: 3,
                by: vec!["shop".into()],
            }],
            traffic: vec![TopicRow {
                topic: "orders".into(),
                partitions: 6,
                size_bytes: 3 << 20,
                records_in: 100,
                duplicate_records: 4,
                known_messages: 2,
                out_of_order: 0,
            }],
            senders: vec![
                SenderRow {
                    client_id: "<b>shop</b>".into(),
                    topic: "orders".into(),
                    known_messages: 2,
                    retried_records: 4,
                    missed_max: 0,
                },
                SenderRow {
                    client_id: "".into(),
                    topic: "orders".into(),
                    known_messages: 1,
                    retried_records: 0,
                    missed_max: 7,
                },
            ],
            ..Overview::default()
        }
    }

    #[test]
    fn the_page_answers_its_questions() {
        let html = html(&overview());
        for answer in [
            "It is fine.",
            "<td>8</td><td>90 s</td><td>–</td><td>held up by a transaction</td>",
            "<td>shop</td><td>7 / 1</td><td>Ongoing</td><td>5 min</td><td>60 s</td><td>orders-0, …</td><td>billing</td>",
            "<td>orders-0</td><td>4</td><td>3</td><td>shop</td>",
            "<td>orders</td><td>6</td><td>3.0 MiB</td><td>100</td><td>4</td><td>2</td><td>0</td>",
            "<td>&lt;b&gt;shop&lt;/b&gt;</td><td>orders</td><td>2</td><td>4</td><td></td>",
            "<td>(no client id)</td><td>orders</td><td>1</td><td>0</td><td>up to 7 more</td>",
        ] {
            assert!(html.contains(answer), "{answer} is not in\n{html}");
        }
    }

    #[test]
    fn who_is_not_on_a_list_is_counted_under_it() {
        let left_out = LeftOut { groups: 20, transactions: 3, held_back: 400, topics: 7 };
        let html = html(&Overview { left_out, ..overview() });
        for count in [21, 4, 401, 8] {
            let told = format!("</table><p>These are the first 1 of {count}.</p>");
            assert_eq!(html.matches(&told).count(), 1, "{told} is not in\n{html}");
        }
        assert!(!super::html(&overview()).contains("These are the first"));
    }

    #[test]
    fn pages_by_name_lead_on_and_back() {
        let left_out = LeftOut { groups: 20, topics: 7, ..LeftOut::default() };
        let worst = html(&Overview { left_out, ..overview() });
        for link in ["<a href=\"/?groups_after=\">All by name</a>", "<a href=\"/?topics_after=\">All by name</a>"] {
            assert_eq!(worst.matches(link).count(), 1, "{link} is not in\n{worst}");
        }
        let after = || Selection::After("a".to_owned());
        let asked = Asked { groups: after(), topics: after() };
        let left_out = LeftOut { groups: 20, ..LeftOut::default() };
        let page = html(&Overview { asked, left_out, ..overview() });
        let next = "20 more: <a href=\"/?groups_after=%3Cscript%3Ealert%281%29%3C%2Fscript%3E\">next</a>.";
        assert!(page.contains(next) && !page.contains("topics_after"), "{page}");
        assert_eq!(page.matches("<a href=\"/\">The worst</a>").count(), 2, "{page}");
    }

    #[test]
    fn names_are_no_markup() {
        let html = html(&overview());
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    }

    #[test]
    fn what_is_wrong_stands_at_the_top() {
        let overview = Overview { reasons: vec!["stopping: it ends"], ..Overview::default() };
        let html = html(&overview);
        assert!(html.contains("verdict bad\">It does not serve. stopping: it ends</p>"), "{html}");
        assert!(html.contains("None is open.") && html.contains("There are no groups."));
        assert!(html.contains("Nobody has sent anything again."));
    }

    #[test]
    fn sizes_and_times_are_told_as_people_do() {
        assert_eq!([0, 1_023, 1_536, 5 << 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([0.04, 61.0, 600.0, 9_000.0, 400_000.0].map(duration), ["0.0 s", "61 s", "10 min", "2 h", "5 d"]);
    }
}
