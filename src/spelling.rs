//! The known name that a misspelt one most likely stands for.

/// What follows the refusal of a name where `nearest` was most likely meant; empty if none is near.
pub fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}

/// The name of `known` with the smallest edit distance to `name`, if that is small beside the length of the name.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance_max = (name.len() / 3).max(1);
    // As different as their lengths at least: a name of a megabyte is not compared with any.
    let may_be_near = |candidate: &&str| candidate.len().abs_diff(name.len()) <= distance_max;
    known
        .filter(may_be_near)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements of bytes that make `a` of `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_about_the_same_length_are_near() {
        let known = ["retention.ms", "retention.bytes", "segment.ms"];
        for (name, expected) in [
            ("retention.m", Some("retention.ms")),
            ("retention.millis", Some("retention.ms")),
            ("retention.byte", Some("retention.bytes")),
            ("segmentms", Some("segment.ms")),
            ("ms", None),
            ("retention.ms.of.segments", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
        // Would be a billion steps.
        assert_eq!(nearest(&"x".repeat(1 << 25), known.into_iter()), None);
    }
}
