//! Where fingerprints lie in a table.
//!
//! UUIDs are their own fingerprints, so that clients choose them: who could also tell their places would send ids that all lie in
//! one, and make each look-up a search through all of them. The place is therefore drawn by a secret, and by a rule of which that
//! is proved, not by a cipher: the upper half of `c + a·x + b·y` modulo 2¹²⁸, where `x` and `y` are the halves of the fingerprint
//! and `a`, `b` and `c` random numbers of 128 bits (Carter and Wegman's multilinear hashing, by Dietzfelbinger's modulus). For any
//! two different fingerprints, however they were chosen, every pair of places is equally likely, so that whoever does not know the
//! secret makes ids collide as often as chance does. It would be no fingerprint: who sees places can work the secret out. Nobody
//! does: they are in no answer and no row.
//!
//! What follows turns each place into another, one to one, and so keeps all that. It is there because ids that rise by one would
//! otherwise lie at equal distances, and a table that probes neighbours wants better than any two alike: its factor is secret, too.

use super::fingerprint::Fingerprint;

/// The secret numbers; the same for each table of a data directory.
#[derive(Clone, Copy)]
pub(super) struct Places {
    factors: [u128; 2],
    offset: u128,
    /// Odd.
    mixer: u64,
}

impl Places {
    /// `random` are four numbers of 128 bits that nobody outside knows.
    pub(super) fn new(random: [u128; 4]) -> Self {
        Self { factors: [random[0], random[1]], offset: random[2], mixer: random[3] as u64 | 1 }
    }

    /// The place of a fingerprint, of whose bits any may be used.
    pub(super) fn of(&self, fingerprint: &Fingerprint) -> u64 {
        let both = u128::from_le_bytes(fingerprint.0);
        let [high, low] = [both >> 64, both & u128::from(u64::MAX)];
        let products = self.factors[0].wrapping_mul(high).wrapping_add(self.factors[1].wrapping_mul(low));
        let drawn = (products.wrapping_add(self.offset) >> 64) as u64;
        let mixed = (drawn ^ (drawn >> 32)).wrapping_mul(self.mixer);
        mixed ^ (mixed >> 29)
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Places")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::Secret;
    use super::*;

    const BITS: u32 = 12;
    const IDS: u128 = 1 << BITS;

    /// Ids as somebody would send them who wants them in one place.
    fn patterns() -> Vec<(String, Vec<u128>)> {
        let mut patterns = vec![
            ("rising".to_owned(), (0..IDS).collect()),
            ("rising, as UUIDs of version 7".to_owned(), (0..IDS).map(|n| 0x0190_163d << 96 | n).collect()),
            ("both halves alike".to_owned(), (0..IDS).map(|n| n << 64 | n).collect()),
            (
                "halves that cancel out".to_owned(),
                (0..IDS).map(|n| n << 64 | u128::from((n as u64).wrapping_neg())).collect(),
            ),
            (
                "both halves inverted".to_owned(),
                (0..IDS).map(|n| if n & 1 == 0 { n >> 1 } else { !(n >> 1) }).collect(),
            ),
        ];
        for shift in (0..=128 - BITS).step_by(4) {
            patterns.push((format!("only bits from {shift} on"), (0..IDS).map(|n| n << shift).collect()));
            patterns.push((format!("all other bits set from {shift} on"), (0..IDS).map(|n| !(n << shift)).collect()));
        }
        patterns
    }

    /// Of so many places, how many the fullest has and how many have none.
    fn spread(places: impl Iterator<Item = usize>) -> (u32, usize) {
        let mut counts = vec![0_u32; 1 << BITS];
        places.for_each(|place| counts[place] += 1);
        (counts.iter().copied().max().unwrap_or(0), counts.iter().filter(|count| **count == 0).count())
    }

    #[test]
    fn ids_of_every_pattern_spread_over_all_places_in_all_bits_that_tables_use() {
        // 4,096 drawn by chance leave e⁻¹ of as many places empty, 1,507, with a deviation of 30, and fill none with 12.
        for secret in 0..8 {
            let places = Secret::new([secret; 16]).places();
            for (pattern, ids) in patterns() {
                for shift in [0, 32, 64 - BITS] {
                    let of =
                        |id: &u128| (places.of(&Fingerprint(id.to_be_bytes())) >> shift) as usize & ((1 << BITS) - 1);
                    let (fullest, empty) = spread(ids.iter().map(of));
                    assert!(fullest < 16 && empty < 1_900, "{pattern}, bits from {shift}: {fullest}, {empty} empty");
                }
            }
        }
    }

    #[test]
    fn places_are_drawn_by_the_secret() {
        let first = Fingerprint([0; 16]);
        let mut places: Vec<_> = (0..100).map(|secret| Secret::new([secret; 16]).places().of(&first)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 100);
    }
}
