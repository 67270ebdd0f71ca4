//! From a new topic to a transaction, and away with what was made.

use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{CreateTopicsRequest, DeleteGroupsRequest, DeleteTopicsRequest};

use super::finding::{Done, Trouble, Walk};
use crate::cli::read::{Message, Position, fetch};
use crate::cli::transaction::TransactionalProducer;
use crate::cli::{append, group, now, text};
use crate::client::{ClientError, Cluster, NodeId, until_ready};
use crate::record::build::BatchBuilder;
use crate::types::{ErrorCode, IsolationLevel, Offset, ProducerEpoch, ProducerId};

/// A clock that is off by more, ms, makes records look too old or too new: for retention, for joins by time, for people.
const CLOCK_SKEW_MS_MAX: i64 = 5_000;

/// Values that are sent and must come back.
const PLAIN: &[u8] = b"sent by einmal doctor";
const IN_TRANSACTION: &[u8] = b"sent by einmal doctor in a transaction";

/// What the steps share.
struct Patient<'a> {
    cluster: Cluster,
    /// Of topic, group and transactional id.
    name: &'a str,
    patience: Duration,
}

/// Does what clients do, on a topic of its own.
pub(super) fn exchange(walk: &mut Walk, cluster: Cluster, name: &str, patience: Duration) {
    let mut patient = Patient { cluster, name, patience };
    let Some(leader) = walk.step("create topic", || patient.create_topic()) else { return };
    let went = client_steps(walk, &mut patient, leader);
    // Also where a step has failed.
    walk.step("clean up", || patient.clean_up(went));
}

/// What has to be removed besides the topic.
#[derive(Debug, Default, Clone, Copy)]
struct Made {
    group: bool,
}

fn client_steps(walk: &mut Walk, patient: &mut Patient<'_>, leader: NodeId) -> Made {
    let mut made = Made::default();
    let mut steps = || -> Option<()> {
        let offset = walk.step("produce", || patient.produce(leader))?;
        walk.step("consume", || patient.consume(leader, offset, PLAIN))?;
        made.group = true;
        walk.step("commit", || patient.commit(offset + 1))?;
        let offset = walk.step("transaction", || patient.transaction(leader))?;
        walk.step("read back", || patient.consume(leader, offset, IN_TRANSACTION))
    };
    // What stopped it is noted already.
    let _ = steps();
    made
}

impl Patient<'_> {
    fn create_topic(&mut self) -> Result<Done<NodeId>, Trouble> {
        let config = CreatableTopicConfig::default()
            .with_name(text("message.timestamp.type"))
            .with_value(Some(text("LogAppendTime")));
        let topic = CreatableTopic::default()
            .with_name(text(self.name).into())
            .with_num_partitions(1)
            .with_replication_factor(-1)
            .with_configs(vec![config]);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.patience_ms());
        let answer = self.cluster.controller()?.call("CreateTopics", &request, (4, 6))?;
        for topic in &answer.topics {
            let refused = ErrorCode(topic.error_code);
            ClientError::check("CreateTopics", refused.0, topic.error_message.as_deref()).map_err(|error| Trouble {
                advice: Some(advice_to_refused_topic(refused).to_owned()),
                what: error.to_string(),
            })?;
        }
        // Brokers lead it some time after the controller has made it.
        let names = [self.name.to_owned()];
        let missing = ErrorCode::LEADER_NOT_AVAILABLE;
        let (_, leader) = until_ready(self.patience, &[missing], || {
            let leader = match self.cluster.partitions(&names) {
                Ok(partitions) => partitions.first().and_then(|partition| partition.leader),
                Err(ClientError::NoTopic(_)) => None,
                Err(ClientError::Refused { error, .. }) if error == missing => None,
                Err(error) => return Err(error),
            };
            Ok((leader.map_or(missing, |_| ErrorCode::NONE), leader))
        })?;
        let Some(leader) = leader else {
            return Err(Trouble::new(
                format!("{} has no leader", self.name),
                "brokers are down or still starting: look at their logs",
            ));
        };
        Ok(Done::new(leader, format!("{}, led by broker {leader}", self.name)))
    }

    /// An idempotent batch that all replicas acknowledge.
    fn produce(&mut self, leader: NodeId) -> Result<Done<Offset>, Trouble> {
        let producer = append::init_producer_id(&mut self.cluster, None, self.patience)?;
        let before = now();
        let appended = self.append(leader, PLAIN, producer, None)?;
        let warning = appended.time.and_then(|broker| clock_skew(before, broker, now()));
        let what = format!("offset {} acknowledged with acks=all, idempotent", appended.base_offset);
        Ok(Done::new(appended.base_offset, what).warn(warning))
    }

    fn append(
        &mut self,
        leader: NodeId,
        value: &[u8],
        (id, epoch): (ProducerId, ProducerEpoch),
        transactional_id: Option<&str>,
    ) -> Result<append::Appended, Trouble> {
        let batch = BatchBuilder::new().producer(id, epoch, 0).record(now(), Some(b"doctor"), Some(value));
        let batch = if transactional_id.is_some() { batch.transactional() } else { batch };
        let batch = batch.build().freeze();
        let appended =
            append::append(&mut self.cluster, leader, (self.name, 0), &batch, transactional_id, self.patience);
        appended.map_err(|error| match &error {
            ClientError::Refused { error: ErrorCode::NOT_ENOUGH_REPLICAS, .. } => Trouble::new(
                error.to_string(),
                "min.insync.replicas is larger than the number of replicas that are up: lower it, or start the brokers that \
                 are down",
            ),
            _ => error.into(),
        })
    }

    fn consume(&mut self, leader: NodeId, offset: Offset, value: &[u8]) -> Result<Done<()>, Trouble> {
        let position = Position { topic: self.name.to_owned(), partition: 0, offset };
        let give_up = Instant::now() + self.patience;
        loop {
            let wait = give_up.saturating_duration_since(Instant::now());
            let brought = fetch(
                &mut self.cluster,
                leader,
                std::slice::from_ref(&position),
                IsolationLevel::ReadCommitted,
                wait.min(Duration::from_millis(100)),
            )?;
            let found = brought.into_iter().flat_map(|brought| brought.messages).find(|found| found.offset == offset);
            match found {
                Some(Message { value: Some(found), .. }) if found == value => {
                    return Ok(Done::new((), format!("offset {offset} read as it was sent, with read_committed")));
                }
                Some(_) => {
                    let advice = "something between here and the broker changes records: no client can work with that";
                    return Err(Trouble::new(format!("offset {offset} is not what was sent"), advice));
                }
                None if Instant::now() < give_up => {}
                None => {
                    return Err(Trouble::new(
                        format!("offset {offset} was acknowledged and is not readable"),
                        "replicas that lag or a transaction that stays open hold readers back: see `einmal txn find-hanging`",
                    ));
                }
            }
        }
    }

    fn commit(&mut self, offset: Offset) -> Result<Done<()>, Trouble> {
        let place = (self.name.to_owned(), 0);
        group::commit(&mut self.cluster, self.name, &[(place.clone(), offset)], self.patience)?;
        let committed = group::committed(&mut self.cluster, self.name, self.patience)?;
        let coordinator = self.cluster.group_coordinator(self.name)?;
        match committed.get(&place) {
            Some(committed) if *committed == offset => {
                Ok(Done::new((), format!("offset {offset} of the group kept, by broker {coordinator}")))
            }
            other => Err(Trouble {
                what: format!("offset {offset} was committed, and {other:?} is what the group has"),
                advice: None,
            }),
        }
    }

    fn transaction(&mut self, leader: NodeId) -> Result<Done<Offset>, Trouble> {
        let missing = |error: ClientError| match &error {
            ClientError::Refused { api: "FindCoordinator" | "InitProducerId", error: code, .. }
                if matches!(*code, ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) =>
            {
                Trouble::new(
                    error.to_string(),
                    "transactions have no coordinator: with fewer than three brokers set \
                     transaction.state.log.replication.factor=1 and transaction.state.log.min.isr=1",
                )
            }
            _ => error.into(),
        };
        let name = self.name.to_owned();
        let transaction = TransactionalProducer::init(&mut self.cluster, &name, self.patience).map_err(missing)?;
        transaction.add_partition(&mut self.cluster, &name, 0)?;
        let appended = self.append(leader, IN_TRANSACTION, transaction.producer, Some(&name))?;
        transaction.end(&mut self.cluster, true)?;
        let coordinator = transaction.coordinator;
        Ok(Done::new(
            appended.base_offset,
            format!("offset {} committed by broker {coordinator}", appended.base_offset),
        ))
    }

    fn clean_up(&mut self, made: Made) -> Result<Done<()>, Trouble> {
        let left = |error: ClientError| {
            Trouble::new(error.to_string(), format!("delete the topic and the group {} by hand", self.name))
        };
        if made.group {
            let request = DeleteGroupsRequest::default().with_groups_names(vec![text(self.name).into()]);
            let mut delete = || {
                let coordinator = self.cluster.group_coordinator(self.name)?;
                let answer = self.cluster.broker(coordinator)?.call("DeleteGroups", &request, (0, 2))?;
                let code = answer.results.first().map_or(0, |result| result.error_code);
                match ErrorCode(code) {
                    ErrorCode::GROUP_ID_NOT_FOUND => Ok(()),
                    error => ClientError::check("DeleteGroups", error.0, None),
                }
            };
            delete().map_err(left)?;
        }
        let request = DeleteTopicsRequest::default()
            .with_topic_names(vec![text(self.name).into()])
            .with_timeout_ms(self.patience_ms());
        let mut delete = || {
            let answer = self.cluster.controller()?.call("DeleteTopics", &request, (1, 5))?;
            let code = answer.responses.first().map_or(0, |result| result.error_code);
            ClientError::check("DeleteTopics", code, None)
        };
        delete().map_err(left)?;
        Ok(Done::new((), "topic and group deleted"))
    }

    fn patience_ms(&self) -> i32 {
        i32::try_from(self.patience.as_millis()).unwrap_or(i32::MAX)
    }
}

fn advice_to_refused_topic(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::INVALID_REPLICATION_FACTOR => {
            "default.replication.factor is larger than the number of brokers: set it to 1 on a single one"
        }
        ErrorCode::TOPIC_AUTHORIZATION_FAILED | ErrorCode::CLUSTER_AUTHORIZATION_FAILED => {
            "this client may not create topics: give it the right, or look only (--read-only)"
        }
        ErrorCode::POLICY_VIOLATION => "a policy of the cluster forbids the topic: look only (--read-only)",
        _ => "the broker's log says why; --read-only leaves the topic out",
    }
}

/// A warning where the broker's time does not lie between `before` and `after`, give or take.
fn clock_skew(before: i64, broker: i64, after: i64) -> Option<String> {
    let skew = if broker < before { broker - before } else { (broker - after).max(0) };
    (skew.abs() > CLOCK_SKEW_MS_MAX).then(|| {
        let side = if skew < 0 { "behind" } else { "ahead of" };
        format!(
            "the broker's clock is {} s {side} this machine's: synchronise both (NTP), retention and timestamps go by it",
            skew.abs() / 1_000
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_far_off_is_told() {
        for (broker, words) in [
            (1_000_000, None),
            (1_004_000, None),
            (996_000, None),
            (1_060_100, Some("60 s ahead of")),
            (940_000, Some("60 s behind")),
        ] {
            let said = clock_skew(1_000_000, broker, 1_000_100);
            assert_eq!(said.is_some(), words.is_some(), "{broker}: {said:?}");
            assert!(words.is_none_or(|words| said.is_some_and(|said| said.contains(words))), "{broker}");
        }
    }
}
