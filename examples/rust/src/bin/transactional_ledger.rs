//! Doubles the values of INPUT into OUTPUT, each message id once: result, id and offset are written in one transaction.
//!
//! The ids stand in LEDGER, a compacted topic with as many partitions as INPUT, and outlive the offsets of the group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use rdkafka::consumer::Consumer;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, TopicPartitionList};
use recipes::{PATIENCE, Result, Steps, batches, client, header, member, number, setting, text, to_end};

static STEPS: Steps = Steps::new(&["ledger-loaded", "received", "written", "offsets-sent", "committed"]);

/// By partition: what ids the ledger holds.
static DONE: Mutex<BTreeMap<i32, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

/// The ledger of a partition, before its first record is looked at. Waits for a predecessor's open transaction to end.
fn load(partitions: &TopicPartitionList) -> Result<()> {
    for place in partitions.elements() {
        let ledger = to_end(&setting("LEDGER"), place.partition())?;
        let ids = ledger.iter().map(|record| Ok(text(record.key())?.to_owned())).collect::<Result<_>>()?;
        DONE.lock()?.insert(place.partition(), ids);
    }
    STEPS.at("ledger-loaded");
    Ok(())
}

fn write(producer: &BaseProducer, record: &BorrowedMessage) -> Result<()> {
    let id = header(record, "message-id")?;
    let is_new = DONE.lock()?.get_mut(&record.partition()).ok_or("a partition of others")?.insert(id.clone());
    if is_new {
        let (output, ledger, owner) = (setting("OUTPUT"), setting("LEDGER"), setting("OWNER"));
        let doubled = (2 * text(record.payload())?.parse::<i64>()?).to_string();
        let headers = record.headers().ok_or("no headers")?.detach();
        let result = BaseRecord::to(&output).key(text(record.key())?).payload(&doubled).headers(headers);
        producer.send(result).map_err(|(error, _)| error)?;
        // Not without a value: compaction would remove the id.
        let done = BaseRecord::to(&ledger).partition(record.partition()).key(&id).payload(&owner);
        producer.send(done).map_err(|(error, _)| error)?;
    }
    Ok(())
}

fn main() -> Result<()> {
    STEPS.print_if_asked();
    // Whoever comes back under its transactional id ends what it had begun. No error is handled: each ends the program, and with it a
    // set that may hold ids of a transaction that was aborted.
    let producer: BaseProducer = client(&[
        ("transactional.id", &format!("{}-{}", setting("GROUP"), setting("OWNER"))),
        // For so long an instance that is gone holds up those who read what it wrote, and its successor.
        ("transaction.timeout.ms", &number("TRANSACTION_TIMEOUT_MS", 10_000).to_string()),
    ])
    .create()?;
    producer.init_transactions(PATIENCE)?;
    let reading =
        [("enable.auto.commit", "false"), ("auto.offset.reset", "earliest"), ("isolation.level", "read_committed")];
    let consumer = member(&reading, load)?;
    for batch in batches(&consumer, 100) {
        let batch = batch?;
        STEPS.at("received");
        producer.begin_transaction()?;
        for record in &batch {
            write(&producer, record)?;
        }
        // The ids are in the ledger before the offsets are sent: a successor whose generation refuses the offsets of this one waits
        // for the end of what it sees there.
        producer.flush(PATIENCE)?;
        STEPS.at("written");
        // Stops a zombie: refused if the group has gone on to another generation.
        let group = consumer.group_metadata().ok_or("no group")?;
        producer.send_offsets_to_transaction(&consumer.position()?, &group, PATIENCE)?;
        STEPS.at("offsets-sent");
        producer.commit_transaction(PATIENCE)?;
        STEPS.at("committed");
    }
    Ok(())
}
