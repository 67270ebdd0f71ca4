//! The memory that requests may take, all connections together (`queued.max.request.bytes`).
//!
//! Invariants: what is charged is given back when its [`Charge`] is dropped; somebody always gets on, because beyond the
//! budget one charge at a time may overdraw it. So at most the budget and one request are in memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module. Clones share one budget.
#[derive(Debug, Clone)]
pub(crate) struct RequestBudget {
    bytes: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
}

/// What one request has been charged.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    bytes: usize,
    permits: Option<OwnedSemaphorePermit>,
    /// Held by the one charge that may exceed the budget.
    overdraft: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// What has been charged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl RequestBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self { bytes: Arc::new(Semaphore::new(bytes)), overdraft: Arc::new(Semaphore::new(1)) }
    }

    /// Raises `charge` to `bytes`; waits while neither the budget nor its overdraft is free, and tells whether it had to.
    /// May be cancelled: `charge` is then as before.
    pub(crate) async fn grow(&self, charge: &mut Charge, bytes: usize) -> bool {
        let more = bytes.saturating_sub(charge.bytes);
        if more == 0 {
            return false;
        }
        let mut has_waited = false;
        if charge.overdraft.is_none() {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            let permits = match self.bytes.clone().try_acquire_many_owned(more) {
                Ok(permits) => Some(permits),
                Err(_) => {
                    has_waited = true;
                    tokio::select! {
                        permits = self.bytes.clone().acquire_many_owned(more) => permits.ok(),
                        overdraft = self.overdraft.clone().acquire_owned() => {
                            charge.overdraft = overdraft.ok();
                            None
                        }
                    }
                }
            };
            match (&mut charge.permits, permits) {
                (Some(held), Some(permits)) => held.merge(permits),
                (held @ None, permits) => *held = permits,
                (Some(_), None) => {}
            }
        }
        charge.bytes = bytes;
        has_waited
    }

    /// What nobody has been charged.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> usize {
        self.bytes.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

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
