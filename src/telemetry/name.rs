//! Names that clients chose, as far as metrics, the page and its JSON show them. Pure.
//!
//! Ids of groups, transactions and clients may be 32 KiB each, and one is shown in many places.

use std::borrow::Cow;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// Longest name that is shown whole, bytes: as long as names of topics may be.
pub(super) const WHOLE_BYTES_MAX: usize = 249;

/// What is shown of a longer one, bytes. With what follows, it is longer than any that is shown whole: none of these is taken for it.
const BEGINNING_BYTES_MAX: usize = 236;

/// Longest that is shown, bytes.
#[cfg(test)]
pub(super) const SHOWN_BYTES_MAX: usize = BEGINNING_BYTES_MAX + '…'.len_utf8() + 16;

/// `name`, or of a long one its beginning and 64 bits of a hash of all of it, which keep it apart from others that begin so. The hash is
/// the same at every start, and so are series.
pub(super) fn shown(name: &str) -> Cow<'_, str> {
    if name.len() <= WHOLE_BYTES_MAX {
        return Cow::Borrowed(name);
    }
    let end = (0..=BEGINNING_BYTES_MAX).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    Cow::Owned(format!("{}…{:016x}", &name[..end], hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart_from_all_others() {
        for whole in ["", "g", "é", &"x".repeat(WHOLE_BYTES_MAX)] {
            assert_eq!(shown(whole), whole);
        }
        let long = "é".repeat(16_000);
        let (one, other) = (shown(&long), format!("{long}!"));
        assert!(one.starts_with("éé") && one.len() <= SHOWN_BYTES_MAX, "{one}");
        assert_ne!(one, shown(&other));
        // Who chooses a name as another's is shown does not get it.
        assert!(one.len() > WHOLE_BYTES_MAX && shown(&one) != one, "{one}");
        assert_eq!(shown(&"x".repeat(250)), format!("{}…d059c05b64591ac9", "x".repeat(236)), "series outlive a start");
    }
}
