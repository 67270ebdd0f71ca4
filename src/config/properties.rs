//! Java properties files: comments, continued lines, three separators, escapes.
//!
//! Mirrors `java.util.Properties.load`, whose rules every `server.properties` was written under. Pure.

/// A line that Java would refuse too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \\u must be followed by four hexadecimal digits")]
pub struct MalformedProperties {
    /// The first line is 1.
    pub line: usize,
}

/// Names and values of `text`, in its order; a name may come twice, the later one counts.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, MalformedProperties> {
    let mut pairs = Vec::new();
    let mut lines = split_lines(text).into_iter().enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while is_continued(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank));
        }
        let (name, value) = split_pair(&logical);
        let malformed = || MalformedProperties { line: index + 1 };
        pairs.push((unescape(name).ok_or_else(malformed)?, unescape(value).ok_or_else(malformed)?));
    }
    Ok(pairs)
}

/// Lines end with `\n`, `\r` or both.
fn split_lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Whether the line goes on: it ends with an odd number of backslashes.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The name ends at the first `=`, `:` or blank that is not escaped; blanks and one `=` or `:` separate it from the value.
fn split_pair(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|c: char| {
        let ends = !is_escaped && (c == '=' || c == ':' || is_blank(c));
        is_escaped = !is_escaped && c == '\\';
        ends
    });
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (name, value.trim_start_matches(is_blank))
}

/// Resolves escapes. Code units beyond the basic plane come as surrogate pairs; a lone one becomes the replacement character.
fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let resolved = match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some('u') => {
                    let digits =
                        chars.as_str().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
                    units.push(u16::from_str_radix(digits, 16).ok()?);
                    chars = chars.as_str()[4..].chars();
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        units.extend_from_slice(resolved.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let pairs = parse(text).expect(text);
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, expected, "{text:?}");
    }

    #[test]
    fn pairs_are_read_as_java_reads_them() {
        check("", &[]);
        check("a=b", &[("a", "b")]);
        check("a:b\nc d", &[("a", "b"), ("c", "d")]);
        check("  a \t = \t b  ", &[("a", "b  ")]);
        check("a", &[("a", "")]);
        check("a=", &[("a", "")]);
        check("=b", &[("", "b")]);
        check("a==b", &[("a", "=b")]);
        check("a b=c", &[("a", "b=c")]);
        check("listeners=PLAINTEXT://:9092,A://h:1", &[("listeners", "PLAINTEXT://:9092,A://h:1")]);
        check("a=1\na=2", &[("a", "1"), ("a", "2")]);
        check("a=1\r\nb=2\rc=3", &[("a", "1"), ("b", "2"), ("c", "3")]);
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_and_never_continue() {
        check("# a=b\n  ! c=d\n\n \t \ne=f # g", &[("e", "f # g")]);
        check("# a \\\nb=c", &[("b", "c")]);
    }

    #[test]
    fn odd_backslashes_at_the_end_continue_a_line() {
        check("a=b\\\n   c", &[("a", "bc")]);
        check("a=b\\\r\n\tc\\\n d", &[("a", "bcd")]);
        check("a=b\\\\\nc=d", &[("a", "b\\"), ("c", "d")]);
        check("a=b\\", &[("a", "b")]);
        check("a=\\\n# no comment here", &[("a", "# no comment here")]);
    }

    #[test]
    fn escapes_are_resolved_in_names_and_values() {
        check(r"a\=b\:c\ d = e\tf\\g\q", &[("a=b:c d", "e\tf\\gq")]);
        check(r"a=\u00e4\uD83D\uDE00x", &[("a", "ä😀x")]);
        check(r"\u0061=b", &[("a", "b")]);
    }

    #[test]
    fn malformed_unicode_escape_is_refused_with_its_line() {
        for text in ["a=b\nc=\\u12", "a=b\nc=\\u12g4", "a=b\nc=\\uä1", "a=b\nc=\\u+123"] {
            assert_eq!(parse(text), Err(MalformedProperties { line: 2 }), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a=:\\\\u0\n\r #!ä😀]*") {
            let _ = parse(&text);
        }
    }
}
