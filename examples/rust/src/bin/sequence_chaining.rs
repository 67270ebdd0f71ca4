//! Doubles the values of INPUT into OUTPUT, each record once: a result carries the number of its source.
//!
//! OUTPUT has message.dedup.mode=sequence and as many partitions as INPUT. Result and resume point are one write, without a transaction.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::util::Timeout;
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};
use recipes::{Result, Steps, batches, client, member, setting, text, to_end, topic_id};

static STEPS: Steps = Steps::new(&["resumed", "received", "handed-over", "stored"]);

/// By partition: the name under which its results are counted.
static NAMES: Mutex<BTreeMap<i32, String>> = Mutex::new(BTreeMap::new());

/// Reads on behind the source of the newest result. What is committed in Kafka is for tools that show how far behind the group is.
fn resume(partitions: &TopicPartitionList) -> Result<()> {
    let output = setting("OUTPUT");
    // The source's id, not its name: one that was created anew counts from 1 again.
    let (input_id, output_id) = (topic_id(&setting("INPUT"))?, topic_id(&output)?);
    let mut reached = BTreeMap::new();
    for record in to_end("__einmal_sequences", 0)? {
        if let Some(number) = record.payload() {
            reached.insert(text(record.key())?.to_owned(), text(Some(number))?.parse::<i64>()?);
        }
    }
    for mut place in partitions.elements() {
        let name = format!("{input_id}/{}", place.partition());
        // The number of a result is the offset of its source and 1, and so the offset of the next.
        let next = reached.get(&format!("{output}/{output_id}/{}/{name}", place.partition())).copied();
        place.set_offset(next.map_or(Offset::Beginning, Offset::Offset))?;
        NAMES.lock()?.insert(place.partition(), name);
    }
    STEPS.at("resumed");
    Ok(())
}

/// Nothing may follow a result that was not stored: its number would be passed, and it could not be sent again.
struct AllOrNothingMore;

impl ClientContext for AllOrNothingMore {}

impl ProducerContext for AllOrNothingMore {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult, (): ()) {
        if let Err((error, _)) = result {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

fn hand_over(producer: &BaseProducer<AllOrNothingMore>, record: &BorrowedMessage) -> Result<()> {
    let doubled = (2 * text(record.payload())?.parse::<i64>()?).to_string();
    // Stops a zombie: what its successor has sent is not above the number of this name, and is not stored again.
    let (name, number) = (NAMES.lock()?[&record.partition()].clone(), (record.offset() + 1).to_string());
    let headers = OwnedHeaders::new()
        .insert(Header { key: "producer-name", value: Some(&name) })
        .insert(Header { key: "producer-sequence", value: Some(&number) });
    let output = setting("OUTPUT");
    let result = BaseRecord::to(&output).partition(record.partition()).key(text(record.key())?).payload(&doubled);
    producer.send(result.headers(headers)).map_err(|(error, _)| error)?;
    STEPS.at("handed-over");
    Ok(())
}

fn main() -> Result<()> {
    STEPS.print_if_asked();
    // In order, whatever is sent again, and for as long as it takes.
    let for_ever = [("enable.idempotence", "true"), ("enable.gapless.guarantee", "true"), ("message.timeout.ms", "0")];
    let producer: BaseProducer<AllOrNothingMore> = client(&for_ever).create_with_context(AllOrNothingMore)?;
    // Where the number points to what is no longer there, records are missing: stop, and skip nothing in silence.
    let consumer = member(&[("auto.offset.reset", "error"), ("isolation.level", "read_committed")], resume)?;
    for batch in batches(&consumer, 100) {
        let batch = batch?;
        STEPS.at("received");
        for record in &batch {
            hand_over(&producer, record)?;
        }
        producer.flush(Timeout::Never)?;
        STEPS.at("stored");
    }
    Ok(())
}
