//! Books what INPUT says (key: account, value: cents) in a database, each record once.
//!
//! How far each partition has been booked stands in the same database, and moves in the same transaction as the balance.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use recipes::{Database, Result, Steps, member, records, setting, text, topic_id};

static STEPS: Steps = Steps::new(&["received", "watermark-moved", "effect-written", "committed"]);

/// The condition stops a zombie. An instance that has lost the partition and does not know it yet comes with an offset that its
/// successor has booked: it changes no row. While both are in a transaction, the second waits here for the first.
const MOVE: &str = "
    INSERT INTO watermarks (topic_id, partition, last_offset) VALUES ($1, $2, $3)
    ON CONFLICT (topic_id, partition) DO UPDATE SET last_offset = excluded.last_offset
    WHERE watermarks.last_offset < excluded.last_offset";
const LAST: &str = "SELECT last_offset FROM watermarks WHERE topic_id = $1 AND partition = $2";
const BOOK: &str = "
    INSERT INTO balances (account, cents) VALUES ($1, $2)
    ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents";

/// By partition: the id of the topic that is read.
static TOPICS: Mutex<BTreeMap<i32, String>> = Mutex::new(BTreeMap::new());

/// Reads on where the database says. What is committed in Kafka is for tools that show how far behind the group is.
fn resume(partitions: &TopicPartitionList) -> Result<()> {
    // By id, not by name: a topic that was created anew begins at offset 0 again.
    let topic_id = topic_id(&setting("INPUT"))?;
    let mut database = Database::connect()?;
    for mut place in partitions.elements() {
        let last = database.query(LAST, &[&topic_id, &place.partition()])?;
        place.set_offset(last.map_or(Offset::Beginning, |last| Offset::Offset(last + 1)))?;
        TOPICS.lock()?.insert(place.partition(), topic_id.clone());
    }
    Ok(())
}

fn book(database: &mut Database, record: &BorrowedMessage) -> Result<()> {
    let topic_id = TOPICS.lock()?[&record.partition()].clone();
    database.begin()?;
    if database.update(MOVE, &[&topic_id, &record.partition(), &record.offset()])? == 1 {
        STEPS.at("watermark-moved");
        database.update(BOOK, &[&text(record.key())?, &text(record.payload())?.parse::<i64>()?])?;
        STEPS.at("effect-written");
    }
    database.commit()
}

fn main() -> Result<()> {
    STEPS.print_if_asked();
    let mut database = Database::connect()?;
    // Where the database points to what is no longer there, or not yet, records are missing: stop, and skip nothing in silence.
    let consumer = member(&[("auto.offset.reset", "error"), ("isolation.level", "read_committed")], resume)?;
    for record in records(&consumer) {
        let record = record?;
        STEPS.at("received");
        book(&mut database, &record)?;
        STEPS.at("committed");
    }
    Ok(())
}
