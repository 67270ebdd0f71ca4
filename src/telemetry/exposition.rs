//! The text format of Prometheus: families with help and type, samples with labels.

use std::fmt::Write as _;

use crate::metrics::{Family, Kind};

/// Appends the head of a family. Its samples must follow before the next head.
pub fn head(text: &mut String, family: &Family) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {} {}\n# TYPE {} {kind}", family.name, family.help, family.name);
}

/// Appends one sample of `family`, whose labels have these values in this order.
pub fn sample(text: &mut String, family: &Family, label_values: &[&str], value: f64) {
    text.push_str(family.name);
    for (index, (label, value)) in family.labels.iter().zip(label_values).enumerate() {
        let _ = write!(text, "{}{label}=\"", if index == 0 { '{' } else { ',' });
        escape(text, value);
        text.push('"');
    }
    if !family.labels.is_empty() {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

/// Names of the families whose head stands in `text`.
pub fn family_names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Source;

    #[test]
    fn samples_are_written_with_escaped_labels() {
        let (source, values) = (Source::Collector, &[][..]);
        let family = Family { name: "f", kind: Kind::Gauge, source, labels: &["a", "b"], values, help: "Help" };
        let mut text = String::new();
        head(&mut text, &family);
        sample(&mut text, &family, &["x\"\\\n", "y"], 1.5);
        sample(&mut text, &Family { labels: &[], ..family }, &[], 2.0);
        assert_eq!(text, "# HELP f Help\n# TYPE f gauge\nf{a=\"x\\\"\\\\\\n\",b=\"y\"} 1.5\nf 2\n");
        assert_eq!(family_names(&text).collect::<Vec<_>>(), ["f"]);
    }
}
