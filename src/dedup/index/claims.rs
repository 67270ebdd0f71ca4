//! Claims by the numbers of their ids, in chunks as the ids themselves are.

use std::collections::VecDeque;

use super::ids::CHUNK_IDS;
use crate::dedup::Claim;

/// Those of one topic.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// By number, beginning with that of `begin`; the newest may end before its last.
    chunks: VecDeque<Vec<Option<Claim>>>,
    /// A multiple of [`CHUNK_IDS`].
    begin: u64,
    count: usize,
    bytes: usize,
}

impl Claims {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Memory, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// That of an id.
    pub fn get(&self, number: u64) -> Option<&Claim> {
        let (chunk, at) = self.at(number)?;
        self.chunks.get(chunk)?.get(at)?.as_ref()
    }

    /// Notes that of an id, which is among the newest.
    pub fn insert(&mut self, number: u64, claim: Claim) {
        if self.chunks.is_empty() {
            self.begin = number - number % CHUNK_IDS as u64;
        }
        let (chunk, at) = self.at(number).expect("numbers of ids rise");
        while self.chunks.len() <= chunk {
            // A topic of few claims takes no more than it needs.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK_IDS };
            self.bytes += capacity * size_of::<Option<Claim>>();
            self.chunks.push_back(Vec::with_capacity(capacity));
        }
        let claims = &mut self.chunks[chunk];
        let capacity_before = claims.capacity();
        if claims.len() <= at {
            claims.resize(at + 1, None);
        }
        self.bytes += (claims.capacity() - capacity_before) * size_of::<Option<Claim>>();
        if claims[at].replace(claim).is_none() {
            self.count += 1;
        }
    }

    /// Takes that of an id out.
    pub fn remove(&mut self, number: u64) {
        let Some((chunk, at)) = self.at(number) else { return };
        if self.chunks.get_mut(chunk).and_then(|claims| claims.get_mut(at)?.take()).is_some() {
            self.count -= 1;
        }
    }

    /// Gives the memory of those from this number on back, which are taken out.
    pub fn truncate(&mut self, next: u64) {
        while let Some(last) = self.chunks.len().checked_sub(1)
            && self.begin + (last * CHUNK_IDS) as u64 >= next
            && let Some(claims) = self.chunks.pop_back()
        {
            self.bytes -= claims.capacity() * size_of::<Option<Claim>>();
        }
    }

    /// Gives the memory of those before this number back, which are taken out.
    pub fn forget_before(&mut self, oldest: u64) {
        while self.begin + (CHUNK_IDS as u64) <= oldest
            && let Some(claims) = self.chunks.pop_front()
        {
            self.bytes -= claims.capacity() * size_of::<Option<Claim>>();
            self.begin += CHUNK_IDS as u64;
        }
    }

    fn at(&self, number: u64) -> Option<(usize, usize)> {
        let place = usize::try_from(number.checked_sub(self.begin)?).ok()?;
        Some((place / CHUNK_IDS, place % CHUNK_IDS))
    }
}
