//! A blocked Bloom filter: eight bits for an id, all in one cache line.
//!
//! That of Parquet ("split block"), with blocks twice as large, which err less for the same memory as ids spread over them more evenly.

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 64;
/// Ids to a block, about: 10.7 bits for an id, one error in 130.
const BLOCK_IDS: usize = 48;
/// Odd numbers that spread 32 bits over the words of a block: those of the Parquet specification.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Block([u64; 8]);

/// Says of places that they are not in it, or that they may be.
pub(super) struct Filter {
    blocks: Box<[Block]>,
}

impl Filter {
    /// An empty one for so many ids.
    pub fn for_ids(ids: u32) -> Self {
        let blocks = (ids as usize).div_ceil(BLOCK_IDS).max(1);
        Self { blocks: vec![Block([0; 8]); blocks].into_boxed_slice() }
    }

    /// Takes a place in.
    pub fn add(&mut self, place: u64) {
        let block = &mut self.blocks[super::share(place, self.blocks.len() as u32) as usize];
        for (word, bit) in block.0.iter_mut().zip(bits(place)) {
            *word |= bit;
        }
    }

    #[inline]
    pub fn may_hold(&self, place: u64) -> bool {
        let block = &self.blocks[super::share(place, self.blocks.len() as u32) as usize];
        let missing = block.0.iter().zip(bits(place)).fold(0, |missing, (word, bit)| missing | (!word & bit));
        missing == 0
    }

    pub fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    pub fn blocks(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// The bytes of each block.
    pub fn encode(&self) -> impl Iterator<Item = [u8; BLOCK_BYTES]> {
        self.blocks.iter().map(|block| {
            let mut bytes = [0; BLOCK_BYTES];
            for (word, bytes) in block.0.iter().zip(bytes.chunks_exact_mut(8)) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            bytes
        })
    }

    /// The filter in `bytes`, a whole number of blocks and at least one.
    pub fn decode(bytes: &[u8]) -> Self {
        let block = |bytes: &[u8]| Block(std::array::from_fn(|word| u64::from_le_bytes(super::field(bytes, word * 8))));
        Self { blocks: bytes.chunks_exact(BLOCK_BYTES).map(block).collect() }
    }
}

/// One bit for each word, from the lower half of the place: the upper one has chosen the block.
#[inline]
fn bits(place: u64) -> [u64; 8] {
    SALTS.map(|salt| 1 << ((place as u32).wrapping_mul(salt) >> 26))
}
