//! The memory that requests may take, all connections together (`queued.max.request.bytes`).
//!
//! It is two parts, so that a few senders of large frames, which may stop in the middle, do not keep everybody waiting: a quarter
//! is for small requests, and large ones share the rest. A small one takes what is free of the rest as well, but it never queues
//! for it. While somebody waits, connections that do not get on with a frame they have begun are closed
//! ([`RequestBudget::is_short`]).
//!
//! Invariants: what is charged is given back when its [`Charge`] is dropped; somebody always gets on, because beyond each
//! part one charge at a time may overdraw it. So at most the budget and one request of each size are in memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::waiters::Waiters;
use crate::metrics::REQUEST_MEMORY_WAITS_TOTAL;

/// The part of the budget that is for small requests.
const SMALL_SHARE: usize = 4;
/// A small request is at most this part of the budget, and at most [`SMALL_BYTES_MAX`].
const SMALL_PART: usize = 256;
/// See [`SMALL_PART`].
const SMALL_BYTES_MAX: usize = 256 << 10;

/// See the module. Clones share one budget.
#[derive(Debug, Clone)]
pub(crate) struct RequestBudget {
    small: Part,
    large: Part,
    small_bytes_max: usize,
    /// Requests that wait for memory.
    waiting: Waiters,
}

#[derive(Debug, Clone)]
struct Part {
    size: &'static str,
    bytes: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
}

/// What one request has been charged.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    bytes: usize,
    small: Held,
    large: Held,
}

/// What a charge holds of one part.
#[derive(Debug, Default)]
struct Held {
    permits: Option<OwnedSemaphorePermit>,
    /// Held by the one charge that may exceed the part.
    overdraft: Option<OwnedSemaphorePermit>,
}

impl Held {
    fn bytes(&self) -> usize {
        self.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn take(&mut self, permits: OwnedSemaphorePermit) {
        match &mut self.permits {
            Some(held) => held.merge(permits),
            None => self.permits = Some(permits),
        }
    }
}

impl Charge {
    /// What has been charged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Part {
    fn new(size: &'static str, bytes: usize) -> Self {
        Self { size, bytes: Arc::new(Semaphore::new(bytes)), overdraft: Arc::new(Semaphore::new(1)) }
    }

    /// Adds `bytes` to `held` if they are free.
    fn try_take(&self, held: &mut Held, bytes: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let taken = self.bytes.clone().try_acquire_many_owned(bytes);
        taken.map(|permits| held.take(permits)).is_ok()
    }

    /// Adds `bytes` to `held`, or the right to overdraw, whichever is free first.
    async fn take(&self, held: &mut Held, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            permits = self.bytes.clone().acquire_many_owned(bytes) => {
                if let Ok(permits) = permits {
                    held.take(permits);
                }
            }
            overdraft = self.overdraft.clone().acquire_owned() => held.overdraft = overdraft.ok(),
        }
    }
}

impl RequestBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self {
            small: Part::new("small", bytes / SMALL_SHARE),
            large: Part::new("large", bytes - bytes / SMALL_SHARE),
            small_bytes_max: SMALL_BYTES_MAX.min(bytes / SMALL_PART),
            waiting: Waiters::default(),
        }
    }

    /// Raises `charge` to `bytes`; waits while neither its part of the budget nor that one's overdraft is free, and tells whether
    /// it had to. May be cancelled: `charge` is then as before.
    pub(crate) async fn grow(&self, charge: &mut Charge, bytes: usize) -> bool {
        if bytes <= charge.bytes {
            return false;
        }
        let is_small = self.is_small(bytes);
        let Charge { bytes: charged, small, large } = charge;
        // A charge that has become large is so with all its bytes.
        let lacking = if is_small { bytes - *charged } else { bytes.saturating_sub(large.bytes()) };
        let mut has_waited = false;
        // What is free of the large part serves small ones, too.
        let is_taken = if is_small {
            small.overdraft.is_some() || self.small.try_take(small, lacking) || self.large.try_take(large, lacking)
        } else {
            large.overdraft.is_some() || self.large.try_take(large, lacking)
        };
        if !is_taken {
            has_waited = true;
            let (part, held) = if is_small { (&self.small, small) } else { (&self.large, large) };
            let _waiting = self.waiting.begin();
            metrics::counter!(REQUEST_MEMORY_WAITS_TOTAL, "size" => part.size).increment(1);
            part.take(held, lacking).await;
        }
        if !is_small {
            charge.small = Held::default();
        }
        charge.bytes = bytes;
        has_waited
    }

    /// Whether a charge of `bytes` is a small one.
    pub(crate) fn is_small(&self, bytes: usize) -> bool {
        bytes <= self.small_bytes_max
    }

    /// Resolves while a request waits for memory.
    pub(crate) async fn is_short(&self) {
        self.waiting.are_there().await;
    }

    /// Takes all there is, so that whoever comes must wait.
    #[cfg(test)]
    pub(crate) async fn exhaust(&self, all: &mut Charge, overdraft: &mut Charge) {
        for (part, bytes) in
            [(&self.small, self.small.bytes.available_permits()), (&self.large, self.large.bytes.available_permits())]
        {
            let (held, beyond) = if part.size == "small" {
                (&mut all.small, &mut overdraft.small)
            } else {
                (&mut all.large, &mut overdraft.large)
            };
            assert!(part.try_take(held, bytes));
            beyond.overdraft = part.overdraft.clone().acquire_owned().await.ok();
        }
    }

    /// What nobody has been charged.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> usize {
        self.small.bytes.available_permits() + self.large.bytes.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn large_requests_leave_a_part_to_the_small_ones() {
        const MIB: usize = 1 << 20;
        let budget = RequestBudget::new(256 * MIB);
        let mut giants: Vec<Charge> = (0..3).map(|_| Charge::default()).collect();
        for giant in &mut giants[..2] {
            budget.grow(giant, 64 * 1024).now_or_never().unwrap();
            budget.grow(giant, 96 * MIB).now_or_never().unwrap();
        }
        assert_eq!(budget.small.bytes.available_permits(), 64 * MIB, "one that has grown gives its small part back");
        budget.grow(&mut giants[2], 96 * MIB).now_or_never().expect("overdraws");
        let mut giant = Charge::default();
        let mut waiting = Box::pin(budget.grow(&mut giant, 96 * MIB));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(budget.is_short().now_or_never().is_some());
        let small: Vec<Charge> = (0..257)
            .map(|_| {
                let mut charge = Charge::default();
                budget.grow(&mut charge, SMALL_BYTES_MAX).now_or_never().expect("does not queue behind the giants");
                charge
            })
            .collect();
        assert!(budget.grow(&mut Charge::default(), 1).now_or_never().is_none(), "the last one overdrew");
        drop(giants.pop());
        assert!(waiting.as_mut().now_or_never().is_some());
        drop(waiting);
        assert!(budget.is_short().now_or_never().is_none());
        drop((small, giants, giant));
        assert_eq!(budget.free_bytes(), 256 * MIB);
    }

    #[test]
    fn small_requests_take_what_large_ones_leave() {
        let budget = RequestBudget::new(256 << 20);
        let small: Vec<Charge> = (0..1024)
            .map(|_| {
                let mut charge = Charge::default();
                budget.grow(&mut charge, SMALL_BYTES_MAX / 2).now_or_never().expect("free");
                budget.grow(&mut charge, SMALL_BYTES_MAX).now_or_never().expect("free");
                charge
            })
            .collect();
        assert_eq!(budget.free_bytes(), 0);
        drop(small);
        assert_eq!(budget.free_bytes(), 256 << 20);
    }

    #[test]
    fn what_is_charged_comes_back() {
        let budget = RequestBudget::new(100);
        let mut charge = Charge::default();
        budget.grow(&mut charge, 30).now_or_never().unwrap();
        budget.grow(&mut charge, 70).now_or_never().unwrap();
        budget.grow(&mut charge, 60).now_or_never().unwrap();
        assert_eq!(budget.free_bytes(), 30);
        drop(charge);
        assert_eq!(budget.free_bytes(), 100);
    }

    #[test]
    fn one_charge_at_a_time_overdraws() {
        let budget = RequestBudget::new(100);
        let (mut first, mut second, mut third) = Default::default();
        budget.grow(&mut first, 60).now_or_never().unwrap();
        budget.grow(&mut second, 1000).now_or_never().expect("the overdraft is free");
        assert!(budget.grow(&mut third, 50).now_or_never().is_none(), "neither budget nor overdraft is free");
        assert_eq!((budget.free_bytes(), third.bytes), (40, 0));
        budget.grow(&mut second, 2000).now_or_never().expect("it goes on overdrawing");
        drop(second);
        budget.grow(&mut third, 50).now_or_never().expect("the overdraft is free again");
        drop((first, third));
        assert_eq!(budget.free_bytes(), 100);
    }

    #[test]
    fn partial_requests_that_fill_the_budget_do_not_block_each_other_for_ever() {
        let budget = RequestBudget::new(100);
        let mut charges: Vec<Charge> = (0..4).map(|_| Charge::default()).collect();
        for charge in &mut charges {
            budget.grow(charge, 25).now_or_never().unwrap();
        }
        while let Some(mut charge) = charges.pop() {
            budget.grow(&mut charge, 90).now_or_never().expect("one always gets on");
        }
        assert_eq!(budget.free_bytes(), 100);
    }
}
