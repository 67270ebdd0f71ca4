//! Which topics a member of type `consumer` subscribes to, out of its metadata (`ConsumerProtocolSubscription`).

use std::collections::BTreeSet;

use bytes::Bytes;

/// The topics of all members; none if one of them cannot be read.
pub(super) fn union(subscriptions: impl Iterator<Item = Option<Bytes>>) -> Option<BTreeSet<String>> {
    let mut topics = BTreeSet::new();
    for subscription in subscriptions {
        topics.extend(parse(&subscription?)?);
    }
    Some(topics)
}

/// Version, then names: all versions begin so, and what follows is between clients.
fn parse(bytes: &[u8]) -> Option<BTreeSet<String>> {
    let (version, rest) = bytes.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = BTreeSet::new();
    for _ in 0..i32::from_be_bytes(*count) {
        let (length, names) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = names.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_anything_else_is_refused() {
        let two: &[u8] = b"\x00\x03\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff";
        assert_eq!(parse(two), Some(["a".to_owned(), "bc".to_owned()].into()));
        assert_eq!(parse(b"\0\0\0\0\0\0"), Some(BTreeSet::new()));
        for cut in 0..12 {
            assert_eq!(parse(&two[..cut]), None, "{cut}");
        }
        assert_eq!(parse(b"\xff\xff\0\0\0\0"), None);
        assert_eq!(parse(b"\0\0\x7f\xff\xff\xff"), None);
        assert_eq!(parse(b"\0\0\0\0\0\x01\xff\xff"), None);
        assert_eq!(union([Some(Bytes::from_static(two)), None].into_iter()), None);
    }
}
