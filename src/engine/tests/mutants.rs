//! The checker of histories against planted faults: a broker without any has a clean history from every seed, and each fault is
//! found from some seed. The rules of who may commit offsets for a group are the coordinator's, and not among these.

use history::transaction::{TransactionCounts, check_transactions};

use super::transactional_world::World;
use crate::engine::mutant::Mutant;

const SEEDS: u64 = 40;
/// Of each fault, until it is found; most are by the first.
const SEEDS_MAX: u64 = 100;
const STEPS: usize = 250;

const ALL: [Mutant; 21] = [
    Mutant::DropOneMarker,
    Mutant::TurnOneMarker,
    Mutant::ApplyOffsetsOfAbort,
    Mutant::DropOffsetsOfCommit,
    Mutant::ShowStagedOffsets,
    Mutant::ApplyOffsetsLater,
    Mutant::StableOneTooFar,
    Mutant::LoseAbortedEntry,
    Mutant::AnswerEndEarly,
    Mutant::AnswerBatchEarly,
    Mutant::AcceptEndOfOldEpoch,
    Mutant::SkipMembership,
    Mutant::ForgetDuplicates,
    Mutant::AnswerDuplicateWrongly,
    Mutant::ForgetProducersAtStart,
    Mutant::ForgetTransactionsAtStart,
    Mutant::ForgetStagedOffsetsAtStart,
    Mutant::LeavePreparedAtStart,
    Mutant::SkipTimeouts,
    Mutant::SkipSync,
    Mutant::SplitWrites,
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
fn each_mutant_is_caught() {
    let mut missed = Vec::new();
    for mutant in ALL {
        let mut caught = None;
        for seed in 0..SEEDS_MAX {
            match run(seed, Some(mutant)) {
                Ok((_, anomalies)) if !anomalies.is_empty() => {
                    caught = Some((seed, anomalies[0].clone()));
                    break;
                }
                Ok(_) => {}
                // The checker is to find it, too, if any run gets as far as that.
                Err(assertion) => caught = caught.or(Some((seed, assertion.to_owned()))),
            }
        }
        match caught {
            Some((seed, by)) => println!("{mutant:?}: seed {seed}, {by}"),
            None => missed.push(mutant),
        }
    }
    println!("mutants caught {}/{}", ALL.len() - missed.len(), ALL.len());
    assert_eq!(missed, []);
}
