//! Patterns for names of topics and for transactional ids in RE2's syntax, matched in linear time.
//!
//! Kafka compiles them with RE2/J. The `regex` crate descends from RE2 and keeps its promise of linear time, but differs in
//! details that a pattern may use; [`translate`] spells those in its words. A pattern must match a whole name, as in Kafka.
//! Back references and look-around exist in neither.
//!
//! The limits below are constants and no settings. They bound the time of one match, and only together do they bound it; how many patterns
//! a group may have is [`REGEXES_PER_GROUP_MAX`](super::group::REGEXES_PER_GROUP_MAX). Names of topics have 249 bytes, so that no pattern which is of use comes near them. The memory of
//! patterns and of what they match counts towards `einmal.group.members.bytes.max`.

use regex::bytes::{Regex, RegexBuilder};

/// Longest pattern, in bytes. Kafka has no limit of its own.
pub const REGEX_PATTERN_BYTES_MAX: usize = 1024;
/// Largest compiled pattern, in bytes: bounds `(a{999}){999}`, and the time that a match takes per byte of a name.
pub const REGEX_PROGRAM_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of groups.
pub const REGEX_NESTING_MAX: u32 = 100;
/// Highest count in a repetition, which is RE2's own limit.
const REPEAT_MAX: u32 = 1000;

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression: {reason}")]
pub struct PatternInvalid {
    /// What is wrong with it.
    pub reason: String,
}

impl PatternInvalid {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct TopicPattern(Regex);

impl TopicPattern {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// [`PatternInvalid`] where RE2 knows no such syntax or a limit of this module is passed.
    pub fn new(pattern: &str) -> Result<Self, PatternInvalid> {
        Ok(Self(compile(&whole(pattern)?)?))
    }

    /// Whether it matches all of `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name.as_bytes())
    }
}

/// A compiled pattern for texts that need not be ASCII, as transactional ids are.
#[derive(Debug, Clone)]
pub struct TextPattern {
    ascii: TopicPattern,
    /// For texts with other characters, of which each counts as one.
    other: Regex,
}

impl TextPattern {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// As [`TopicPattern::new`].
    pub fn new(pattern: &str) -> Result<Self, PatternInvalid> {
        let whole = whole(pattern)?;
        let ascii = compile(&whole)?;
        // Characters of several bytes make a larger program. Beyond the limit, bytes are matched for those texts as well.
        let other = build(&whole, true).unwrap_or_else(|_| ascii.clone());
        Ok(Self { ascii: TopicPattern(ascii), other })
    }

    /// Whether it matches all of `text`, in time linear in its length.
    pub fn matches(&self, text: &str) -> bool {
        if text.is_ascii() { self.ascii.matches(text) } else { self.other.is_match(text.as_bytes()) }
    }
}

/// The pattern in the crate's words, to be matched from end to end.
fn whole(pattern: &str) -> Result<String, PatternInvalid> {
    if pattern.len() > REGEX_PATTERN_BYTES_MAX {
        return Err(PatternInvalid::new(format!("longer than {REGEX_PATTERN_BYTES_MAX} bytes")));
    }
    // Checked alone first: `a)|(b` is wrong, but not so between the parentheses added here.
    let translated = translate(pattern)?;
    compile(&translated)?;
    Ok(format!("\\A(?:{translated})\\z"))
}

/// Names of topics are ASCII, so classes like `\w` stay ASCII as RE2 has them, which also keeps them small; a pattern that
/// names Unicode classes is compiled with them.
fn compile(pattern: &str) -> Result<Regex, PatternInvalid> {
    build(pattern, false).or_else(|_| build(pattern, true)).map_err(|error| {
        PatternInvalid::new(match error {
            regex::Error::CompiledTooBig(_) => format!("compiles to more than {REGEX_PROGRAM_BYTES_MAX} bytes"),
            other => other.to_string().lines().last().unwrap_or_default().to_owned(),
        })
    })
}

fn build(pattern: &str, unicode: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .unicode(unicode)
        .size_limit(REGEX_PROGRAM_BYTES_MAX)
        .dfa_size_limit(16 * REGEX_PROGRAM_BYTES_MAX)
        .nest_limit(REGEX_NESTING_MAX)
        .build()
}

/// Spells in the crate's words what RE2 spells differently: `\Q…\E` quotes, braces that are no repetition are literal, and a
/// class knows no nesting and no set operations.
///
/// # Errors
/// What the crate takes and RE2 refuses: a repetition of a repetition, counts above 1,000, flags that RE2 lacks.
fn translate(pattern: &str) -> Result<String, PatternInvalid> {
    let mut translated = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    // Whether the last item was a repetition, which RE2 does not repeat once more.
    let mut repeated = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let mut repeats = false;
        match c {
            '\\' if after.starts_with('Q') => {
                let quoted = &after[1..];
                let (text, left) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                translated.push_str(&regex::escape(text));
                rest = left;
                repeated = false;
                continue;
            }
            '\\' => {
                let escaped = after.chars().next();
                translated.push(c);
                translated.extend(escaped);
                rest = &after[escaped.map_or(0, char::len_utf8)..];
                // The braces of \p{…} and \x{…} belong to the escape.
                if matches!(escaped, Some('p' | 'P' | 'x')) && rest.starts_with('{') {
                    let end = rest.find('}').map_or(rest.len(), |at| at + 1);
                    translated.push_str(&rest[..end]);
                    rest = &rest[end..];
                }
                repeated = false;
                continue;
            }
            '[' => {
                rest = translate_class(rest, &mut translated)?;
                repeated = false;
                continue;
            }
            '(' if after.starts_with('?') => check_flags(&after[1..])?,
            '*' | '+' | '?' => {
                if repeated {
                    return Err(PatternInvalid::new("repetition of a repetition"));
                }
                repeats = true;
            }
            '{' => match repetition(after) {
                Some((counts, left)) => {
                    if repeated {
                        return Err(PatternInvalid::new("repetition of a repetition"));
                    }
                    check_counts(counts)?;
                    translated.push('{');
                    translated.push_str(counts);
                    translated.push('}');
                    rest = take_lazy(left, &mut translated);
                    repeated = true;
                    continue;
                }
                None => translated.push('\\'),
            },
            '}' => translated.push('\\'),
            _ => {}
        }
        translated.push(c);
        rest = if repeats { take_lazy(after, &mut translated) } else { after };
        // What follows the `(?` of a group is no repetition of the parenthesis.
        if c == '(' && rest.starts_with('?') {
            translated.push('?');
            rest = &rest[1..];
        }
        repeated = repeats;
    }
    Ok(translated)
}

/// The `?` that makes a repetition lazy.
fn take_lazy<'a>(rest: &'a str, translated: &mut String) -> &'a str {
    rest.strip_prefix('?').inspect(|_| translated.push('?')).unwrap_or(rest)
}

/// The counts of `{n}`, `{n,}` or `{n,m}` whose brace stands before `rest`, and what follows. None: no repetition.
fn repetition(rest: &str) -> Option<(&str, &str)> {
    let (counts, left) = rest.split_once('}')?;
    let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!least.is_empty() && digits(least) && digits(most)).then_some((counts, left))
}

fn check_counts(counts: &str) -> Result<(), PatternInvalid> {
    let is_allowed = |count: &str| count.is_empty() || count.parse().is_ok_and(|count: u32| count <= REPEAT_MAX);
    if counts.split(',').all(is_allowed) {
        Ok(())
    } else {
        Err(PatternInvalid::new(format!("repetition of more than {REPEAT_MAX}")))
    }
}

/// Flags of the group whose `(?` stands before `rest`: RE2 knows i, m, s and U, and names as `P<name>` or `<name>`.
fn check_flags(rest: &str) -> Result<(), PatternInvalid> {
    if rest.starts_with("P<") || rest.starts_with('<') {
        return Ok(());
    }
    let flags = rest.split([':', ')']).next().unwrap_or_default();
    if flags.chars().all(|flag| matches!(flag, 'i' | 'm' | 's' | 'U' | '-')) {
        Ok(())
    } else {
        Err(PatternInvalid::new("unknown flag or group"))
    }
}

/// Copies the class at the start of `rest`; returns what follows it. Inside, `[` begins only `[:name:]`, and `&`, `~` are
/// plain.
fn translate_class<'a>(rest: &'a str, translated: &mut String) -> Result<&'a str, PatternInvalid> {
    let mut chars = rest.char_indices().skip(1).peekable();
    translated.push('[');
    if chars.next_if(|(_, c)| *c == '^').is_some() {
        translated.push('^');
    }
    // A bracket right at the start is literal.
    if chars.next_if(|(_, c)| *c == ']').is_some() {
        translated.push_str("\\]");
    }
    while let Some((at, c)) = chars.next() {
        match c {
            ']' => {
                translated.push(']');
                return Ok(&rest[at + 1..]);
            }
            '[' => match rest[at..].strip_prefix("[:").and_then(|name| name.find(":]")) {
                Some(length) => {
                    let end = at + 2 + length + 2;
                    translated.push_str(&rest[at..end]);
                    while chars.next_if(|(next, _)| *next < end).is_some() {}
                }
                None => translated.push_str("\\["),
            },
            '&' | '~' => translated.extend(['\\', c]),
            '\\' => {
                translated.push(c);
                translated.extend(chars.next().map(|(_, escaped)| escaped));
            }
            _ => translated.push(c),
        }
    }
    Err(PatternInvalid::new("missing closing ]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pattern with names it matches and names it does not.
    #[test]
    fn patterns_match_whole_names_as_re2_does() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("foo", &["foo"], &["foobar", "afoo"]),
            ("foo.*", &["foo", "foobar"], &["afoo"]),
            ("foo|bar", &["foo", "bar"], &["foobar", "xbar"]),
            ("^foo$", &["foo"], &["foo2"]),
            ("(?i)FOO", &["foo", "fOo"], &["bar"]),
            ("\\Qa.b\\E.*", &["a.b", "a.bc"], &["axb"]),
            ("\\Qa.b", &["a.b"], &["axb"]),
            ("[a-c]+", &["abc"], &["abd"]),
            ("[^a]b", &["bb"], &["ab"]),
            ("[[a]+", &["a"], &["b"]),
            ("[a&&b]+", &["ab", "a"], &["c"]),
            ("[[:alpha:]]+", &["abc"], &["a1"]),
            ("[]a]", &["a"], &["b"]),
            ("a{2}", &["aa"], &["a"]),
            ("a{1,2}?", &["a", "aa"], &["aaa"]),
            ("a{,2}", &[], &["a", "aa"]),
            ("\\w+\\.\\d{3}", &["ab.123"], &["ab.12"]),
            ("\\pL+", &["abc"], &["123"]),
            ("(?P<n>a)b", &["ab"], &["a"]),
            ("(?:a|b)*?c", &["ababc", "c"], &["ab"]),
            ("", &[""], &["a"]),
        ];
        for (pattern, matching, others) in table {
            let compiled = TopicPattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            for name in *matching {
                assert!(compiled.matches(name), "{pattern} matches {name}");
            }
            for name in *others {
                assert!(!compiled.matches(name), "{pattern} does not match {name}");
            }
        }
    }

    #[test]
    fn a_character_of_a_text_counts_as_one_however_many_bytes_it_has() {
        for (pattern, text, expected) in [
            ("..", "\u{e9}\u{65e5}", true),
            ("...", "\u{e9}\u{65e5}", false),
            ("[^a]b", "\u{e9}b", true),
            ("\u{e9}+", "\u{e9}\u{e9}", true),
            ("\\w+-\\d", "a-1", true),
            ("a", "aa", false),
            (".*", "", true),
        ] {
            let compiled = TextPattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(compiled.matches(text), expected, "{pattern} and {text}");
        }
        assert!(TextPattern::new(&"a".repeat(REGEX_PATTERN_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        let patterns = [
            "(", ")", "a)|(b", "[a", "*a", "a**", "a+*", "a{2}{3}", "(?=a)", "(?<!a)b", "(a)\\1", "\\", "(?x)a",
            "a{1001}",
        ];
        for pattern in patterns {
            assert!(TopicPattern::new(pattern).is_err(), "{pattern} compiled");
        }
    }

    #[test]
    fn size_of_pattern_and_program_is_limited() {
        assert!(TopicPattern::new(&"a".repeat(REGEX_PATTERN_BYTES_MAX)).is_ok());
        assert!(TopicPattern::new(&"a".repeat(REGEX_PATTERN_BYTES_MAX + 1)).is_err());
        let error = TopicPattern::new("((a{999}){999}){999}").expect_err("too large");
        assert!(error.reason.contains("compiles to more"), "{error}");
        assert!(TopicPattern::new(&format!("{}a{}", "(".repeat(2000), ")".repeat(2000))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_panics(pattern in "\\PC{0,24}", near in "[\\\\QEa-c\\[\\]^(){}?*+|.:&,0-9P<>-]{0,24}") {
            for pattern in [pattern, near] {
                let _ = TopicPattern::new(&pattern).map(|compiled| compiled.matches("topic"));
            }
        }
    }
}
