//! Keeps a batch's CRC right while a few of its bytes change, without reading the others. Pure.
//!
//! CRC is affine: the exclusive or of the CRCs of two messages of one length depends on nothing but the exclusive or of the
//! messages. So the effect of each bit of a region is found once, and a change costs one exclusive or per changed bit instead
//! of the whole batch.

/// Effects of the bits of a region of a message on the message's CRC-32C.
#[derive(Debug, Clone)]
pub(super) struct Effects(Vec<u32>);

impl Effects {
    /// Of the bits of `bytes` bytes from `at` on, in messages of the length of `message`. Reads the message once per bit.
    pub(super) fn of(message: &[u8], at: usize, bytes: usize) -> Self {
        let base = crc32c::crc32c(message);
        let mut changed = message.to_vec();
        let mut effects = Vec::with_capacity(bytes * 8);
        for byte in at..at + bytes {
            for bit in 0..8 {
                changed[byte] ^= 1 << bit;
                effects.push(crc32c::crc32c(&changed) ^ base);
                changed[byte] ^= 1 << bit;
            }
        }
        Self(effects)
    }

    /// What turns the CRC of a message with `before` in the region into that of the message with `after` there.
    pub(super) fn of_change(&self, before: &[u8], after: &[u8]) -> u32 {
        let mut effect = 0;
        for ((before, after), effects) in before.iter().zip(after).zip(self.0.chunks_exact(8)) {
            let mut bits = before ^ after;
            while bits != 0 {
                effect ^= effects[bits.trailing_zeros() as usize];
                bits &= bits - 1;
            }
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_patched_crc_is_the_crc_of_the_patched_message(
            mut message in prop::collection::vec(any::<u8>(), 20..300),
            at in 0usize..12,
            after in any::<[u8; 8]>(),
        ) {
            let effects = Effects::of(&message, at, 8);
            let before = message[at..at + 8].to_vec();
            let patched = crc32c::crc32c(&message) ^ effects.of_change(&before, &after);
            message[at..at + 8].copy_from_slice(&after);
            prop_assert_eq!(patched, crc32c::crc32c(&message));
        }
    }
}
