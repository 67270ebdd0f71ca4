//! Texts of group requests that are kept: how long they may be.

/// Longest text of the protocol, bytes; its compact form could carry more, which other versions could not answer.
pub(super) const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// Bytes of a client's id that are kept and shown.
pub(super) const CLIENT_ID_BYTES_MAX: usize = 1024;

/// Whether a member may name this group. Those without members may also have an empty name.
pub(super) fn is_valid(group_id: &str) -> bool {
    !group_id.is_empty() && group_id.len() <= TEXT_BYTES_MAX
}

/// At most `bytes_max` bytes of `text`.
pub(super) fn shortened(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shortened("short", 8), "short");
        assert_eq!(shortened("aé", 2), "a");
        assert!(is_valid("g") && !is_valid("") && !is_valid(&"g".repeat(TEXT_BYTES_MAX + 1)));
    }
}
