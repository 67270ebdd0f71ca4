//! What the answers to requests make of them: done, given up, or to be sent again.

use super::*;
use crate::client::ClientError;

/// Time before a refused request is sent again (`retry.backoff.ms`).
pub(super) const RETRY_BACKOFF_NS: u64 = 100_000_000;

/// Time since it was due after which a refused request is given up (`delivery.timeout.ms`).
pub(super) const DELIVERY_TIMEOUT_NS: u64 = 120_000_000_000;

/// Errors that a Kafka client sends again after (`RetriableException`).
const RETRIABLE: &[ErrorCode] = &[
    ErrorCode::CORRUPT_MESSAGE,
    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode::LEADER_NOT_AVAILABLE,
    ErrorCode::NOT_LEADER_OR_FOLLOWER,
    ErrorCode::REQUEST_TIMED_OUT,
    ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode::KAFKA_STORAGE_ERROR,
    ErrorCode::THROTTLING_QUOTA_EXCEEDED,
];

impl Producers {
    pub(super) fn receive(&mut self, index: usize, now_ns: u64) -> Result<(), BenchError> {
        let mut answers = std::mem::take(&mut self.outcomes);
        answers.clear();
        // Each answer as a count of partitions, so that the connection is not borrowed while they are judged.
        let mut frames: Vec<(i32, usize)> = Vec::new();
        let reading = self.senders[index].connection.receive(|frame, _| {
            let before = answers.len();
            let (head, body) = frame.split_at_checked(5).ok_or_else(invalid)?;
            let id = head.first_chunk().map(|id| i32::from_be_bytes(*id)).ok_or_else(invalid)?;
            read_response(body, |partition, error, offset| answers.push((partition, error, offset)))
                .ok_or_else(invalid)?;
            frames.push((id, answers.len() - before));
            Ok::<(), std::io::Error>(())
        });
        let reading = reading.map_err(|error| BenchError::Broken { doing: "receiving", error })?;
        let mut from = 0;
        for (id, count) in frames {
            self.on_answer(index, id, &answers[from..from + count], now_ns)?;
            from += count;
        }
        self.outcomes = answers;
        if reading == Reading::Closed {
            return Err(BenchError::Closed { unanswered: self.senders[index].in_flight.len() });
        }
        self.mark(index);
        Ok(())
    }

    pub(super) fn on_answer(
        &mut self,
        index: usize,
        correlation_id: i32,
        outcomes: &[(PartitionIndex, ErrorCode, Offset)],
        now_ns: u64,
    ) -> Result<(), BenchError> {
        let undecodable = |detail: String| BenchError::from(ClientError::Decode { api: "Produce", detail });
        let sending = self.senders[index].in_flight.pop_front();
        let Some(sending) = sending.filter(|sending| sending.correlation_id == correlation_id) else {
            return Err(undecodable(format!("correlation id {correlation_id} is not the oldest in flight")));
        };
        let is_idempotent = self.senders[index].producer.is_some();
        let retries_wait = !self.senders[index].retries.is_empty();
        let is_too_late = now_ns.saturating_sub(sending.intended_ns) > DELIVERY_TIMEOUT_NS;
        let mut again = Vec::new();
        let mut done = 0;
        for (partition, error, base_offset) in outcomes {
            let place = usize::try_from(*partition).ok().filter(|place| *place < self.acked.len());
            let place = place.ok_or_else(|| undecodable(format!("partition {partition} was not asked for")))?;
            match *error {
                ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => {
                    done += 1;
                    self.acked[place] += self.payload.record_count as u64;
                    let end = base_offset + self.payload.record_count as Offset;
                    self.acked_end[place] = self.acked_end[place].max(end);
                }
                error => {
                    // Behind a batch that was refused, all later ones of the producer are out of order.
                    let is_behind = is_idempotent && retries_wait && error == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;
                    if !is_too_late && (is_behind || RETRIABLE.contains(&error)) {
                        self.measure.error(error.name(), 1);
                        again.push(*partition);
                    } else {
                        self.measure.failure(error.name());
                    }
                }
            }
        }
        if again.is_empty() && done > 0 || done == outcomes.len() {
            self.count_done(&sending, done, now_ns);
        } else if done > 0 {
            // The rest of the request is not complete: only its records count.
            let records = done * self.payload.record_count;
            self.measure.done(None, now_ns, records as u64, (done * self.payload.value_bytes) as u64);
        }
        if !again.is_empty() {
            let retry = Sending { only: Some(again), sent_ns: now_ns + RETRY_BACKOFF_NS, ..sending };
            self.senders[index].retries.push_back(retry);
        }
        Ok(())
    }
}

fn invalid() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "an answer to Produce that does not decode")
}
