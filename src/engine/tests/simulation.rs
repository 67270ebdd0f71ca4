//! Random commands, restarts, kills and power cuts from a seed, watched by an auditor who only knows what outsiders were told.
//!
//! A failing seed prints itself; put it into [`NAMED_SEEDS`] with a word on what it found.

mod auditor;
mod world;

use world::World;

/// Seeds that once found something.
const NAMED_SEEDS: &[u64] = &[];
const SEEDS: std::ops::Range<u64> = 0..40;
const STEPS: usize = 120;

#[test]
fn told_facts_hold_over_restarts_kills_and_power_cuts() {
    for seed in NAMED_SEEDS.iter().copied().chain(SEEDS) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(World::run(seed, STEPS)));
        if std::panic::catch_unwind(run).is_err() {
            panic!("seed {seed} failed: see the panic before this one");
        }
    }
}
