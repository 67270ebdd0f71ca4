//! Does each job of INPUT once, whoever else is given it too: who may do it, LEDGER says.
//!
//! The effect lies where no transaction reaches, and can be asked whether it has happened; here it is the table `done`.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, Message};
use recipes::{Database, PATIENCE, Result, Steps, client, header, member, number, records, setting, text, to_end};

static STEPS: Steps = Steps::new(&["received", "refused", "claimed", "looked", "acted", "committed"]);

/// Longer than the effect takes and a program that was killed needs to come back. Within it nobody takes a claim over.
fn lease_ms() -> u64 {
    number("LEASE_MS", 60_000)
}

/// Tells whoever sent a record what became of it.
struct Outcomes;

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = Box<Sender<Option<KafkaError>>>;

    fn delivery(&self, result: &DeliveryResult, sender: Self::DeliveryOpaque) {
        // Nobody listens any more where the program is about to end.
        let _ = sender.send(result.as_ref().err().map(|(error, _)| error.clone()));
    }
}

fn key(job: &str) -> String {
    format!("{}/{job}", setting("GROUP"))
}

/// Whether the claim is ours. Who sends its own again gets the same answer.
fn claim(producer: &BaseProducer<Outcomes>, job: &str, from_owner: Option<&str>) -> Result<bool> {
    let lease = lease_ms().to_string();
    let mut headers = OwnedHeaders::new().insert(Header { key: "claim-expires", value: Some(&lease) });
    if from_owner.is_some() {
        headers = headers.insert(Header { key: "claim-takes-over", value: from_owner });
    }
    let (sender, outcome) = channel();
    let (ledger, key, owner) = (setting("LEDGER"), key(job), setting("OWNER"));
    let claim = BaseRecord::with_opaque_to(&ledger, Box::new(sender)).key(&key).payload(&owner).headers(headers);
    producer.send(claim).map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)?;
    match outcome.recv()? {
        None => Ok(true),
        Some(KafkaError::MessageProduction(RDKafkaErrorCode::InvalidRecord)) => Ok(false),
        Some(error) => Err(error.into()),
    }
}

/// Whose claim was accepted last.
fn owner_of(producer: &BaseProducer<Outcomes>, job: &str) -> Result<Option<String>> {
    let (ledger, mut owner) = (setting("LEDGER"), None);
    let found = producer.client().fetch_metadata(Some(&ledger), PATIENCE)?;
    for partition in found.topics().iter().flat_map(|topic| topic.partitions()) {
        for claim in to_end(&ledger, partition.id())? {
            if text(claim.key())? == key(job) {
                owner = Some(text(claim.payload())?.to_owned());
            }
        }
    }
    Ok(owner)
}

/// Waits until the claim is ours, or the job is done. An owner that died has it until its lease is over.
fn is_ours(producer: &BaseProducer<Outcomes>, database: &mut Database, job: &str) -> Result<bool> {
    let mut from_owner = None;
    while !claim(producer, job, from_owner.as_deref())? {
        STEPS.at("refused");
        if is_done(database, job)? {
            return Ok(false);
        }
        from_owner = owner_of(producer, job)?;
        std::thread::sleep(Duration::from_millis((lease_ms() / 10).min(1000)));
    }
    Ok(true)
}

fn is_done(database: &mut Database, job: &str) -> Result<bool> {
    Ok(database.query("SELECT count(*) FROM done WHERE job = $1", &[&job])? > Some(0))
}

fn main() -> Result<()> {
    STEPS.print_if_asked();
    let mut database = Database::connect()?;
    // A refused claim takes its neighbours along: each travels alone.
    let alone = [("batch.num.messages", "1"), ("linger.ms", "0"), ("acks", "all"), ("enable.idempotence", "false")];
    let producer: BaseProducer<Outcomes> = client(&alone).create_with_context(Outcomes)?;
    let consumer = member(&[("enable.auto.commit", "false"), ("auto.offset.reset", "earliest")], |_| Ok(()))?;
    for record in records(&consumer) {
        let record = record?;
        let job = header(&record, "message-id")?;
        STEPS.at("received");
        if is_ours(&producer, &mut database, &job)? {
            STEPS.at("claimed");
            // It may be an earlier claim, of ours or of one who died, and done since. No one else acts between this look and the effect.
            if !is_done(&mut database, &job)? {
                STEPS.at("looked");
                database.update("INSERT INTO done (job, owner) VALUES ($1, $2)", &[&job, &setting("OWNER")])?;
                STEPS.at("acted");
            }
        }
        consumer.commit_message(&record, CommitMode::Sync)?;
        STEPS.at("committed");
    }
    Ok(())
}
