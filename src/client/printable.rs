//! Text of others, as it may stand on a terminal. Pure.

use std::fmt;

/// Shows `U+FFFD` in the place of what would move a terminal's cursor, change its colours or title, or turn the order of letters
/// around: names and messages are what other clients, and brokers, chose.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| fmt::Write::write_char(f, if is_harmless(c) { c } else { '\u{fffd}' }))
    }
}

fn is_harmless(c: char) -> bool {
    // Marks, embeddings, overrides and isolates of writing direction.
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terminals_act_upon_is_not_shown() {
        for (text, shown) in [
            ("orders-7 é 😀", "orders-7 é 😀"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", "\u{fffd}[2J\u{fffd}]0;title\u{fffd}"),
            ("a\r\n\tb", "a\u{fffd}\u{fffd}\u{fffd}b"),
            ("\u{9b}31m\u{7f}", "\u{fffd}31m\u{fffd}"),
            ("gpj.\u{202e}exe\u{2066}", "gpj.\u{fffd}exe\u{fffd}"),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
        }
    }
}
