//! All that a partition holds.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::{Offset, TopicPartitionList};

use crate::{PATIENCE, Result, client, passes};

/// What is committed in a partition, up to the end that it has now. Waits for the transactions that are open there.
pub fn to_end(topic: &str, partition: i32) -> Result<Vec<OwnedMessage>> {
    let everything = reader("read_uncommitted")?;
    if everything.fetch_metadata(Some(topic), PATIENCE)?.topics().iter().all(|topic| topic.partitions().is_empty()) {
        // What is not there yet holds nothing.
        return Ok(Vec::new());
    }
    let (_, end) = everything.fetch_watermarks(topic, partition, PATIENCE)?;
    let committed = reader("read_committed")?;
    // To this reader the partition ends where its oldest open transaction begins.
    while committed.fetch_watermarks(topic, partition, PATIENCE)?.1 < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut here = TopicPartitionList::new();
    here.add_partition_offset(topic, partition, Offset::Beginning)?;
    committed.assign(&here)?;
    let mut found = Vec::new();
    loop {
        match committed.poll(PATIENCE) {
            Some(Ok(record)) => found.push(record.detach()),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(found),
            Some(Err(error)) if !passes(&error) => return Err(error.into()),
            _ => {}
        }
    }
}

fn reader(isolation: &str) -> Result<BaseConsumer> {
    // The group is only a name: nothing is committed.
    let more = [
        ("group.id", "none"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("isolation.level", isolation),
    ];
    Ok(client(&more).create()?)
}
