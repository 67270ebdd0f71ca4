//! A consumer as member of a group, and what comes to it.

use std::iter;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::{Result, client, number, passes, setting};

/// What is called with the partitions that this member is given: it may set the offsets at which they are read on.
type OnAssigned = fn(&TopicPartitionList) -> Result<()>;

/// The side of a consumer that hears of its partitions.
pub struct Member {
    assigned: OnAssigned,
    rebalanced: AtomicBool,
}

impl ClientContext for Member {}

impl ConsumerContext for Member {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        self.rebalanced.store(true, Ordering::Relaxed);
        let followed = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                (self.assigned)(partitions).and_then(|()| Ok(consumer.assign(partitions)?))
            }
            _ => consumer.unassign().map_err(Into::into),
        };
        if let Err(error) = followed {
            eprintln!("{error}");
            exit(1);
        }
    }
}

/// A consumer of INPUT that is the member OWNER of GROUP.
pub fn member(more: &[(&str, &str)], assigned: OnAssigned) -> Result<BaseConsumer<Member>> {
    let session_ms = number("SESSION_TIMEOUT_MS", 45_000);
    let mut config = client(more);
    config
        .set("group.id", setting("GROUP"))
        // Who comes back under this name is given its partitions at once.
        .set("group.instance.id", setting("OWNER"))
        .set("session.timeout.ms", session_ms.to_string())
        .set("heartbeat.interval.ms", (session_ms / 3).to_string());
    let consumer: BaseConsumer<Member> =
        config.create_with_context(Member { assigned, rebalanced: AtomicBool::new(false) })?;
    consumer.subscribe(&[&setting("INPUT")])?;
    Ok(consumer)
}

/// What comes, up to `most` records at once. Ends when the consumer has partitions and nothing came for IDLE_EXIT_MS.
///
/// Not at the end of a partition: behind its last record there may be holes, and whoever reads on there never hears of an end.
pub fn batches(consumer: &BaseConsumer<Member>, most: usize) -> impl Iterator<Item = Result<Vec<BorrowedMessage<'_>>>> {
    let idle = Duration::from_millis(number("IDLE_EXIT_MS", u64::MAX));
    let mut assigned = TopicPartitionList::new();
    iter::from_fn(move || {
        let mut busy = Instant::now();
        while busy.elapsed() < idle {
            match batch(consumer, most) {
                Ok(records) if records.is_empty() => {}
                filled_or_error => return Some(filled_or_error),
            }
            match consumer.assignment() {
                Ok(now) if now.count() > 0 && now == assigned => {}
                Ok(now) => (assigned, busy) = (now, Instant::now()),
                Err(error) => return Some(Err(error.into())),
            }
        }
        None
    })
}

fn batch(consumer: &BaseConsumer<Member>, most: usize) -> Result<Vec<BorrowedMessage<'_>>> {
    let mut records = Vec::new();
    let mut wait = Duration::from_millis(50);
    while records.len() < most {
        let polled = consumer.poll(wait);
        if consumer.context().rebalanced.swap(false, Ordering::Relaxed) {
            // They come again, here or to whoever has their partition now.
            records.clear();
        }
        match polled {
            None => break,
            Some(Ok(record)) => records.push(record),
            Some(Err(error)) if passes(&error) => {}
            Some(Err(error)) => return Err(error.into()),
        }
        wait = Duration::ZERO;
    }
    Ok(records)
}

/// The same, one record at a time.
pub fn records(consumer: &BaseConsumer<Member>) -> impl Iterator<Item = Result<BorrowedMessage<'_>>> {
    batches(consumer, 1).flat_map(|batch| match batch {
        Ok(records) => records.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    })
}
