//! The checker of histories against planted faults: a broker without any has a clean history from every seed, and each fault is
//! found from some seed. The rules of who may commit offsets for a group are the coordinator's, and not among these.

use history::transaction::{TransactionCounts, check_transactions};

use super::transactional_world::World;
use crate::engine::mutant::Mutant;

const SEEDS: u64 = 40;
/// Of each fault, until it is found; most are by the first.
const SEEDS_MAX: u64 = 100;
const STEPS: usize = 250;

/// Each fault, and the anomaly that is what it does: what else it brings about, and a run that ends in a panic, do not count.
const ALL: [(Mutant, &str); 21] = [
    (Mutant::DropOneMarker, "Torn"),
    (Mutant::TurnOneMarker, "Torn"),
    (Mutant::ApplyOffsetsOfAbort, "OffsetOfNoCommit"),
    (Mutant::DropOffsetsOfCommit, "ConsumeTransformProduce"),
    (Mutant::ShowStagedOffsets, "OffsetOfNoCommit"),
    (Mutant::ApplyOffsetsLater, "ConsumeTransformProduce"),
    (Mutant::StableOneTooFar, "DirtyRead"),
    (Mutant::LoseAbortedEntry, "AbortedRead"),
    (Mutant::AnswerEndEarly, "LostWrite"),
    (Mutant::AnswerBatchEarly, "DurabilityLoss"),
    (Mutant::AcceptEndOfOldEpoch, "ZombieWrite"),
    (Mutant::SkipMembership, "Hanging"),
    (Mutant::ForgetDuplicates, "Duplicate"),
    (Mutant::AnswerDuplicateWrongly, "WrongOffset"),
    (Mutant::ForgetProducersAtStart, "Duplicate"),
    (Mutant::ForgetTransactionsAtStart, "Hanging"),
    (Mutant::ForgetStagedOffsetsAtStart, "StaleOffset"),
    (Mutant::LeavePreparedAtStart, "Hanging"),
    (Mutant::SkipTimeouts, "Hanging"),
    (Mutant::SkipSync, "DurabilityLoss"),
    (Mutant::SplitWrites, "Torn"),
];

/// What the checker says of one run, or what else ended it.
fn run(seed: u64, mutant: Option<Mutant>) -> Result<(TransactionCounts, Vec<String>), &'static str> {
    let one = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let history = runtime.block_on(World::run(seed, STEPS, mutant));
        let (counts, anomalies) = check_transactions(&[history]);
        (counts, anomalies.iter().map(|anomaly| format!("{anomaly:?}")).collect())
    });
    one.join().map_err(|_| "an assertion of the broker, or a copier that waits for ever")
}

#[test]
fn transactional_histories_of_all_seeds_are_clean() {
    let mut totals = TransactionCounts::default();
    for seed in 0..SEEDS {
        let (counts, anomalies) = run(seed, None).expect("nothing panics");
        assert_eq!(anomalies, [] as [String; 0], "seed {seed}");
        totals.committed += counts.committed;
        totals.aborted += counts.aborted;
        totals.unknown += counts.unknown;
        totals.polled += counts.polled;
    }
    println!("{totals:?}");
    let TransactionCounts { committed, aborted, unknown, polled, .. } = totals;
    assert!([committed, aborted, unknown, polled].iter().all(|count| *count >= 100), "a weak workload: {totals:?}");
}

#[test]
fn each_mutant_is_caught_by_the_anomaly_that_it_is() {
    let mut missed = Vec::new();
    for (mutant, name) in ALL {
        let is_it = |anomaly: &String| anomaly.split(' ').next() == Some(name);
        let caught = (0..SEEDS_MAX).find_map(|seed| {
            let (_, anomalies) = run(seed, Some(mutant)).ok()?;
            anomalies.into_iter().find(is_it).map(|anomaly| (seed, anomaly))
        });
        match caught {
            Some((seed, by)) => println!("{mutant:?}: seed {seed}, {by}"),
            None => missed.push((mutant, name)),
        }
    }
    println!("mutants caught {}/{}", ALL.len() - missed.len(), ALL.len());
    assert_eq!(missed, []);
}
