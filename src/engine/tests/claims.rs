//! Ledgers: who claims a key first has it, until a lease is over and another takes it.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::harness::*;
use crate::engine::command::{Acks, AppendBatch, Appended};
use crate::engine::settings::Settings;
use crate::record::build::BatchBuilder;
use crate::types::{ErrorCode, Offset, ProducerEpoch, ProducerId, TransactionResult};

const LEDGER: &[(&str, &str)] =
    &[("message.dedup.mode", "window"), ("message.dedup.id.source", "key"), ("message.dedup.on.duplicate", "reject")];

/// A claim of `key` by `owner`, with these headers.
fn claim(key: &str, owner: &str, headers: &[(&str, &str)]) -> BatchBuilder {
    and(BatchBuilder::new(), key, owner, headers)
}

fn and(batch: BatchBuilder, key: &str, owner: &str, headers: &[(&str, &str)]) -> BatchBuilder {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))).collect();
    batch.record_with_headers(START_TIME, Some(key.as_bytes()), Some(owner.as_bytes()), &headers)
}

impl TestEngine {
    async fn claim(&self, batch: BatchBuilder) -> Appended {
        let batch = self.with_ids(self.partition("ledger").id, &batch);
        self.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0)
    }

    async fn is_refused(&self, batch: BatchBuilder) {
        let before = self.offsets("ledger").log_end;
        let answer = self.claim(batch).await;
        assert_eq!((answer.error, answer.base_offset), (ErrorCode::INVALID_RECORD, -1), "{answer:?}");
        assert_eq!(self.offsets("ledger").log_end, before);
    }
}

async fn start() -> TestEngine {
    let broker = TestEngine::start();
    broker.create("ledger", LEDGER).await;
    broker
}

#[tokio::test]
async fn first_claim_wins_and_only_its_owner_may_say_so_again() {
    let mut broker = start().await;
    assert_eq!(broker.claim(claim("job", "ada", &[])).await, at(0));
    assert_eq!(broker.claim(claim("other", "ada", &[])).await, at(1));
    for _ in 0..2 {
        broker.is_refused(claim("job", "bob", &[])).await;
        assert_eq!(broker.claim(claim("job", "ada", &[])).await, at(0), "a retry");
        let anew = claim("job", "ada", &[]).producer(ProducerId(7), ProducerEpoch(0), 0);
        assert_eq!(broker.claim(anew).await, at(0), "a retry by a producer that knows nothing of the first");
        // Without an expiry nobody may take it over.
        broker.is_refused(claim("job", "bob", &[("claim-takes-over", "ada")])).await;
        broker = broker.restart().await;
    }
    let broker = broker.crash(0);
    broker.is_refused(claim("job", "bob", &[])).await;
    // Of several in one batch one that is refused takes all along; one's own are left out.
    broker.is_refused(and(claim("new", "bob", &[]), "other", "bob", &[])).await;
    broker.is_refused(and(claim("new", "bob", &[]), "new", "ada", &[])).await;
    assert_eq!(broker.claim(and(claim("other", "ada", &[]), "new", "ada", &[])).await, at(2));
    assert_eq!(broker.claim(claim("new", "ada", &[])).await, at(3));
}

#[tokio::test]
async fn claim_is_taken_over_once_its_lease_is_over_by_who_names_its_owner() {
    let mut broker = start().await;
    let takes = |owner: &str, from: &str| claim("job", owner, &[("claim-takes-over", from), ("claim-expires", "1000")]);
    assert_eq!(broker.claim(claim("job", "ada", &[("claim-expires", "1000")])).await, at(0));
    broker.time.advance(999);
    broker.time.jump(1_000_000);
    broker.is_refused(takes("bob", "ada")).await;
    // A retry does not lengthen the lease.
    assert_eq!(broker.claim(claim("job", "ada", &[("claim-expires", "5000")])).await, at(0));
    broker.time.advance(1);
    broker.is_refused(claim("job", "bob", &[])).await;
    broker.is_refused(takes("bob", "eve")).await;
    // It was refused after it had been taken over within its batch, and is as it was.
    let both = and(takes("bob", "ada"), "job", "eve", &[]);
    broker.is_refused(both).await;
    assert_eq!(broker.claim(takes("bob", "ada")).await, at(1));
    for _ in 0..2 {
        broker.is_refused(claim("job", "ada", &[])).await;
        broker.is_refused(takes("eve", "ada")).await;
        broker.is_refused(takes("eve", "bob")).await;
        assert_eq!(broker.claim(takes("bob", "ada")).await, at(1), "a retry");
        broker = broker.restart().await;
    }
    broker.time.advance(1000);
    assert_eq!(broker.claim(takes("eve", "bob")).await, at(2));
}

#[tokio::test]
async fn owner_whose_lease_is_over_gets_a_new_one_unless_another_was_first() {
    let mut broker = start().await;
    let leased = |owner| claim("job", owner, &[("claim-expires", "1000"), ("claim-takes-over", "ada")]);
    assert_eq!(broker.claim(leased("ada")).await, at(0));
    for renewals in 1..4 {
        broker.time.advance(1000);
        assert_eq!(broker.claim(leased("ada")).await, at(renewals), "a claim of its own");
        for _ in 0..2 {
            broker.time.advance(300);
            broker.is_refused(leased("bob")).await;
            assert_eq!(broker.claim(leased("ada")).await, at(renewals), "a retry");
            broker = broker.restart().await;
        }
        broker.time.advance(399);
        broker.is_refused(leased("bob")).await;
        broker.time.advance(1);
        if renewals == 3 {
            assert_eq!(broker.claim(leased("bob")).await, at(4));
            broker.is_refused(leased("ada")).await;
        }
    }
}

#[tokio::test]
async fn takeover_of_an_aborted_transaction_leaves_the_claim_where_it_was() {
    let takes = claim("job", "bob", &[("claim-takes-over", "ada")]);
    for (result, restarts) in
        [(TransactionResult::Abort, false), (TransactionResult::Abort, true), (TransactionResult::Commit, true)]
    {
        let mut broker = start().await;
        broker.claim(claim("job", "ada", &[("claim-expires", "1")])).await;
        broker.time.advance(1);
        let batch = takes.clone().producer(ProducerId(1), ProducerEpoch(0), 0).transactional();
        assert_eq!(broker.claim(batch).await, at(1));
        if restarts {
            broker = broker.restart().await;
        }
        assert_eq!(broker.claim(claim("job", "ada", &[])).await.error, ErrorCode::NOT_ENOUGH_REPLICAS);
        broker.end(&["ledger"], 1, 0, result).await;
        if result == TransactionResult::Abort {
            broker.is_refused(claim("job", "eve", &[])).await;
            assert_eq!(broker.claim(takes.clone()).await, at(3));
            broker.is_refused(claim("job", "ada", &[])).await;
        } else {
            broker.is_refused(claim("job", "ada", &[])).await;
            assert_eq!(broker.claim(claim("job", "bob", &[])).await, at(1));
        }
    }
}

#[tokio::test]
async fn what_makes_no_claim_is_refused_and_nothing_of_it_remembered() {
    let broker = start().await;
    let keyless = |key| BatchBuilder::new().record(START_TIME, key, Some(b"ada"));
    for batch in [
        keyless(None),
        keyless(Some(b"")),
        claim("job", "", &[]),
        claim("job", "ada", &[("claim-expires", "soon")]),
        claim("job", "ada", &[("claim-expires", "0")]),
        claim("job", "ada", &[("claim-takes-over", "")]),
    ] {
        let unread = to(broker.partition("ledger").id, &batch);
        let answer = broker.engine().append(Acks::All, vec![unread]).await.expect("answered").remove(0);
        assert_eq!(answer.error, ErrorCode::INVALID_RECORD, "{answer:?}");
        assert_eq!(answer.record_errors.len(), 1, "{answer:?}");
    }
    assert_eq!(broker.claim(claim("job", "bob", &[])).await, at(0));
}

#[test]
fn of_two_that_claim_the_same_at_once_one_wins() {
    const ROUNDS: usize = 10_000;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let broker = TestEngine::start_with(Settings { tail_cache_bytes: 0, ..settings() });
    let overrides: Vec<_> = LEDGER.iter().copied().chain([("flush.messages", "1000000")]).collect();
    let topic = new_topic("ledger", 2, &overrides);
    runtime.block_on(broker.engine().create_topics(vec![topic], false)).expect("engine runs");
    let topic = broker.started.catalog.topic("ledger").expect("exists");
    let (partitions, dedup) = (&topic.partitions, topic.config.dedup.as_ref().expect("remembers ids"));
    let (engine, extractor) = (broker.engine(), broker.started.extractor);
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let won: Vec<Vec<bool>> = std::thread::scope(|scope| {
        let workers: Vec<_> = partitions
            .iter()
            .zip(["ada", "bob"])
            .map(|(partition, owner)| {
                let (barrier, id) = (Arc::clone(&barrier), partition.id);
                scope.spawn(move || {
                    let rounds = (0..ROUNDS).map(|round| {
                        let batch = to(id, &claim(&round.to_string(), owner, &[]));
                        let ids = extractor
                            .ids(dedup, &super::message_ids::anonymous(), id, &batch.bytes, &batch.header)
                            .expect("good claims");
                        let batch = AppendBatch { ids: Some(Box::new(ids)), ..batch };
                        if round % 64 == 0 {
                            barrier.wait();
                        }
                        let answer = engine.append(Acks::Leader, vec![batch]).blocking_recv();
                        let error = answer.expect("answered").remove(0).error;
                        assert!(error.is_none() || error == ErrorCode::INVALID_RECORD, "{error:?}");
                        error.is_none()
                    });
                    rounds.collect()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    for (round, (first, second)) in won[0].iter().zip(&won[1]).enumerate() {
        assert!(first != second, "round {round}: {first} {second}");
    }
    let ends: Offset = partitions.iter().map(|partition| partition.offsets().log_end).sum();
    assert_eq!(ends, ROUNDS as Offset);
}

#[derive(Debug, Clone)]
enum Step {
    Claim { key: u8, owner: u8, lease_ms: Option<i64>, takes_over: Option<u8>, transaction: Option<bool> },
    Advance(i64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let lease = prop_oneof![Just(None), (1..30_i64).prop_map(Some)];
    let takes_over = prop::option::of(0..3_u8);
    let claim = (0..3_u8, 0..3_u8, lease, takes_over, prop::option::weighted(0.3, any::<bool>()));
    prop_oneof![
        8 => claim.prop_map(|(key, owner, lease_ms, takes_over, transaction)| {
            Step::Claim { key, owner, lease_ms, takes_over, transaction }
        }),
        3 => (0..20_i64).prop_map(Step::Advance),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    /// The model: who has each key, since which offset, and when another may take it over.
    #[test]
    fn each_key_has_the_owner_that_the_rules_give_it(steps in prop::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut broker = start().await;
            let mut claims: HashMap<u8, (u8, Offset, Option<i64>)> = HashMap::new();
            let (mut now, mut sequence) = (0, 0);
            for step in steps {
                match step {
                    Step::Advance(ms) => {
                        now += ms;
                        broker.time.advance(ms);
                    }
                    Step::Restart => broker = broker.restart().await,
                    Step::Claim { key, owner, lease_ms, takes_over, transaction } => {
                        let headers = [
                            ("claim-expires", lease_ms.map(|ms| ms.to_string())),
                            ("claim-takes-over", takes_over.map(|owner| owner.to_string())),
                        ];
                        let headers: Vec<_> =
                            headers.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
                        let mut batch = claim(&key.to_string(), &owner.to_string(), &headers);
                        if transaction.is_some() {
                            batch = batch.producer(ProducerId(7), ProducerEpoch(0), sequence).transactional();
                        }
                        let end = broker.offsets("ledger").log_end;
                        let answer = broker.claim(batch).await;
                        let is_free = claims.get(&key).is_none_or(|(by, _, until)| {
                            (*by == owner || takes_over == Some(*by)) && until.is_some_and(|until| until <= now)
                        });
                        if is_free {
                            assert_eq!(answer, at(end), "{claims:?}");
                            if transaction != Some(false) {
                                claims.insert(key, (owner, end, lease_ms.map(|ms| now + ms)));
                            }
                        } else if claims[&key].0 == owner {
                            assert_eq!(answer, at(claims[&key].1), "{claims:?}");
                        } else {
                            assert_eq!(answer.error, ErrorCode::INVALID_RECORD, "{claims:?}");
                        }
                        assert_eq!(broker.offsets("ledger").log_end, end + Offset::from(is_free));
                        if let Some(commits) = transaction && answer.error.is_none() {
                            sequence += 1;
                            let result = if commits { TransactionResult::Commit } else { TransactionResult::Abort };
                            broker.end(&["ledger"], 7, 0, result).await;
                        }
                    }
                }
            }
        });
    }
}
