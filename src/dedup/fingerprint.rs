//! Ids as 16 bytes each, whatever they were.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::place::Places;
use crate::types::Uuid;

/// Characters of a UUID as text.
const UUID_TEXT_BYTES: usize = 36;
/// Stands where otherwise the length of the first part does. No slice has it.
const PRINCIPAL: u64 = u64::MAX - 1;

/// 128 bits that stand for an id: a UUID itself, the keyed hash of anything else. Two of 10⁹ ids have the same by accident once in
/// about 10²¹ topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

/// What nobody outside knows: without it, no two ids can be found that have the same fingerprint or the same place in a table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u64; 2]);

impl Secret {
    /// From random bytes, the same at every start.
    pub fn new(random: [u8; 16]) -> Self {
        let [high, low] = [0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&random[at..at + 8]);
            u64::from_be_bytes(word)
        });
        Self([high, low])
    }

    /// The fingerprint of `parts`, which stay apart: `ab`, `c` is another id than `a`, `bc`, and none another than an empty one.
    pub(super) fn fingerprint<'a>(self, parts: impl IntoIterator<Item = Option<&'a [u8]>>) -> Fingerprint {
        hashed(SipHasher24::new_with_keys(self.0[0], self.0[1]), parts)
    }

    /// The same in the namespace of a principal: no parts without one have this fingerprint, whatever is in them.
    pub(super) fn fingerprint_of<'a>(
        self,
        principal: &'a str,
        parts: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Fingerprint {
        let mut hasher = SipHasher24::new_with_keys(self.0[0], self.0[1]);
        hasher.write(&PRINCIPAL.to_le_bytes());
        hashed(hasher, std::iter::once(Some(principal.as_bytes())).chain(parts))
    }

    /// What stands for the owner of a claim.
    pub(super) fn owner(self, token: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0[0], self.0[1]);
        hasher.write(token);
        hasher.finish128().h1
    }

    /// What draws the places of fingerprints in tables. Of its own numbers: they are not those behind fingerprints.
    pub(super) fn places(self) -> Places {
        Places::new([0_u8, 1, 2, 3].map(|number| {
            let mut hasher = SipHasher24::new_with_keys(self.0[0], self.0[1]);
            hasher.write(b"places");
            hasher.write(&[number]);
            let hash = hasher.finish128();
            u128::from(hash.h1) << 64 | u128::from(hash.h2)
        }))
    }

    /// Where a fingerprint belongs in a slice. Files are in this order: it is the same in every version.
    pub fn sealed_place(self, fingerprint: &Fingerprint) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        hasher.write(&fingerprint.0);
        hasher.finish()
    }
}

fn hashed<'a>(mut hasher: SipHasher24, parts: impl IntoIterator<Item = Option<&'a [u8]>>) -> Fingerprint {
    for part in parts {
        // No slice has this length.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.write(&length.to_le_bytes());
        hasher.write(part.unwrap_or_default());
    }
    let hash = hasher.finish128();
    Fingerprint((u128::from(hash.h1) << 64 | u128::from(hash.h2)).to_be_bytes())
}

impl Fingerprint {
    /// The id that this is, if it is one itself: the text of 16 printable characters, else the UUID in its usual form. A UUID of any
    /// version (RFC 9562) has a byte that is no character.
    pub(super) fn text(&self) -> String {
        match std::str::from_utf8(&self.0) {
            Ok(text) if self.0.iter().all(|byte| (b' '..=b'~').contains(byte)) => text.to_owned(),
            _ => Uuid::from_bytes(self.0).to_string(),
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The UUID that `id` is, as 16 bytes or as text in the usual form, whatever the case of its letters.
pub(super) fn uuid(id: &[u8]) -> Option<Fingerprint> {
    if let Ok(bytes) = <[u8; 16]>::try_from(id) {
        return Some(Fingerprint(bytes));
    }
    if id.len() != UUID_TEXT_BYTES {
        return None;
    }
    Uuid::try_parse_ascii(id).ok().map(|uuid| Fingerprint(uuid.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"0190163d-8694-739b-aea5-966c26f8ad91";

    #[test]
    fn uuid_is_itself_in_every_form() {
        let bytes = Uuid::try_parse_ascii(TEXT).expect("a UUID").into_bytes();
        for id in [TEXT.to_vec(), TEXT.to_ascii_uppercase(), bytes.to_vec()] {
            assert_eq!(uuid(&id), Some(Fingerprint(bytes)), "{id:?}");
        }
        for id in [&TEXT[1..], b"0190163d86 94-739b-aea5-966c26f8ad91", b"", b"order-17", &[0; 17], &[b'{'; 36]] {
            assert_eq!(uuid(id), None, "{id:?}");
        }
    }

    #[test]
    fn id_that_stands_for_itself_has_one_text() {
        let [usual, printable] = [TEXT, b"order-0000000017"];
        let hex = b"6f726465-722d-3030-3030-303030303137";
        for (id, text) in [(usual, usual), (printable, printable), (&hex[..], printable)] {
            assert_eq!(uuid(id).map(|id| id.text()), Some(String::from_utf8_lossy(text).into_owned()), "{id:?}");
        }
        assert_eq!(Fingerprint([0; 16]).text(), "00000000-0000-0000-0000-000000000000");
    }

    #[test]
    fn parts_stay_apart_and_secrets_count() {
        let secret = Secret::new([7; 16]);
        let ids: [&[Option<&[u8]>]; 7] = [
            &[Some(b"ab"), Some(b"c")],
            &[Some(b"a"), Some(b"bc")],
            &[Some(b"abc")],
            &[Some(b"abc"), None],
            &[None, Some(b"abc")],
            &[Some(b""), Some(b"abc")],
            &[Some(b"abc"), Some(b"")],
        ];
        let mut prints: Vec<_> = ids.iter().map(|parts| secret.fingerprint(parts.iter().copied()).0).collect();
        prints.push(Secret::new([8; 16]).fingerprint([Some(&b"abc"[..])]).0);
        prints.push(secret.fingerprint_of("ab", [Some(&b"c"[..])]).0);
        prints.push(secret.fingerprint_of("a", [Some(&b"bc"[..])]).0);
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), ids.len() + 3);
    }

    #[test]
    fn fingerprints_are_the_same_in_every_version() {
        // Stored ones outlive the program that made them.
        let made = Secret::new(*b"0123456789abcdef").fingerprint([Some(&b"order-17"[..])]);
        assert_eq!(made.0, GOLDEN);
    }

    const GOLDEN: [u8; 16] = [101, 61, 150, 220, 239, 247, 20, 147, 112, 219, 255, 106, 33, 23, 144, 194];
}
