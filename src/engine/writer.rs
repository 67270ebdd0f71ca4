//! The writer: collects a group of commands, has each decided, writes once, answers or hands over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::asker::Queued;
use super::command::{Acks, AppendBatch, Appended, Command, Reply};
use super::environment::Environment;
use super::figures::Figures;
use super::group::{Answer, Group};
use super::look::Look;
use super::mutant::Mutant;
use super::reclaimer::Reclaimer;
use super::seat::Queue;
use super::state::State;
use super::syncer::Syncer;
use super::{
    append, commit_offsets, compact, delete_records, groups, housekeeping, markers, message_ids, producer_ids,
    producer_states, purge, topics, transactions,
};
use crate::log::catalog::Catalog;
use crate::store::schema::{BrokerEpoch, BrokerOverrides, ExpiryClockRow, RowValue};
use crate::store::{Rows, StoreError};
use crate::types::{ProducerEpoch, Timestamp};

/// A group takes no more commands beyond this many bytes of batches: larger writes only wait longer.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// The same for commands.
const GROUP_COMMANDS_MAX: usize = 4096;
/// How long the writer sleeps at the most, so that what it does on its own account comes about.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// The same while it waits for room on the disk.
const SLEEP_MAX_DISK_LOW: Duration = Duration::from_secs(1);

/// Longest time for which commands that never end keep the writer from removing what is dead.
const OWN_ROUND_INTERVAL_MS: u64 = 1_000;
/// Time between two looks for message ids to forget.
const MESSAGE_IDS_CHECK_MS: u64 = 1_000;

/// Time between two tries to remove what could not be removed.
const UNREMOVED_CHECK_MS: u64 = 60_000;

/// How long what is dead waits for its publication before it is looked at again.
const PURGE_DELAY: Duration = Duration::from_millis(10);

/// A round that takes longer was held up by the store, which slows writes while it catches up.
const SLOW_ROUND: Duration = Duration::from_millis(10);
/// How long the writer keeps to its own thread after that.
const LOAN_PAUSE: Duration = Duration::from_secs(10);

/// What follows a round.
pub(super) enum After {
    /// The next round.
    More,
    /// [`Writer::stop`].
    Stop,
    /// Nothing: a write or a sync has failed.
    Ended,
}

pub(super) struct Writer {
    state: State,
    queue: Queue,
    queued: Queued,
    environment: Box<dyn Environment>,
    syncer: Syncer,
    reclaimer: Reclaimer,
    catalog: Arc<Catalog>,
    /// For idle producers.
    producers: Look,
    /// For offsets that have expired.
    offsets: Look,
    /// For open transactions whose time is up.
    timeouts: Look,
    /// For message ids whose window is over.
    message_ids: Look,
    /// For transactional ids that nobody uses.
    transactional_ids: Look,
    /// For what is dead and could not be removed.
    unremoved: Look,
    /// When the writer last had a round without commands, and whether the next one is such a round though commands wait.
    last_own_round_ms: u64,
    is_owed_a_round: bool,
    sequence: u64,
    /// The way back of a stop that was asked for.
    stopping: Option<Reply<()>>,
    /// Until when callers do not lend their threads: the store has been slow.
    keeps_to_itself_until: Option<Instant>,
    figures: Figures,
}

impl Writer {
    pub fn new(
        state: State,
        queue: Queue,
        queued: Queued,
        mut environment: Box<dyn Environment>,
        syncer: Syncer,
        catalog: &Arc<Catalog>,
        reclaimer: Reclaimer,
    ) -> Self {
        let now_ms = environment.monotonic_ms();
        let settings = &state.settings;
        let producers = Look::after(now_ms, settings.producer_id_check_interval_ms);
        let offsets = Look::after(now_ms, settings.offsets_retention_check_interval_ms);
        let timeouts = Look::after(now_ms, settings.transaction_timeout_check_interval_ms);
        let message_ids = Look::after(now_ms, MESSAGE_IDS_CHECK_MS);
        let transactional_ids = Look::after(now_ms, settings.transactional_id_check_interval_ms);
        let unremoved = Look::after(now_ms, UNREMOVED_CHECK_MS);
        let sequence = state.store.sequence();
        let catalog = Arc::clone(catalog);
        Self {
            state,
            queue,
            queued,
            environment,
            syncer,
            reclaimer,
            catalog,
            producers,
            offsets,
            timeouts,
            message_ids,
            transactional_ids,
            unremoved,
            last_own_round_ms: now_ms,
            is_owed_a_round: false,
            sequence,
            stopping: None,
            keeps_to_itself_until: None,
            figures: Figures::new(),
        }
    }

    /// Tells of a panic as of a failed write, for nobody would answer any more.
    pub fn panicked(&self) {
        self.syncer.fail(StoreError::Failed("the engine's writer panicked".to_owned()));
    }

    /// Whether a caller may lend its thread: not while the store stalls, for that thread serves others, too.
    pub fn takes_loans(&self) -> bool {
        self.state.settings.takes_loans && self.keeps_to_itself_until.is_none_or(|until| until <= Instant::now())
    }

    /// One group of what is queued, if anything is.
    pub fn queued_round(&mut self) -> After {
        match self.queue.take() {
            Some(first) => self.turn(Some(first)),
            None => After::More,
        }
    }

    /// Groups until nothing is queued and nothing that is dead can be removed.
    pub fn rounds(&mut self) -> After {
        loop {
            let first = if self.is_owed_a_round { None } else { self.queue.take() };
            let is_idle = first.is_none();
            let after = self.turn(first);
            if !matches!(after, After::More) || (is_idle && !self.sleep_max().is_zero()) {
                return after;
            }
        }
    }

    #[cfg(test)]
    pub fn sealing(&self) -> &super::sealing::Sealing {
        &self.state.message_ids.sealing
    }

    #[cfg(test)]
    pub fn message_id_bytes(&self) -> usize {
        self.state.message_ids.counted_bytes()
    }

    #[cfg(test)]
    pub fn idle_round(&mut self) {
        self.turn(None);
    }

    fn turn(&mut self, first: Option<Command>) -> After {
        if self.syncer.has_failed() {
            return After::Ended;
        }
        if self.stopping.is_some() {
            return After::Stop;
        }
        let began = Instant::now();
        if let Err(error) = self.round(first) {
            self.syncer.fail(error);
        }
        if self.syncer.has_failed() {
            return After::Ended;
        }
        let busy = began.elapsed();
        if busy >= SLOW_ROUND {
            self.keeps_to_itself_until = began.checked_add(busy + LOAN_PAUSE);
        }
        self.figures.count_busy(busy, &mut self.state);
        if self.stopping.is_some() { After::Stop } else { After::More }
    }

    /// How long to wait for a command before what is dead is looked at.
    pub fn sleep_max(&self) -> Duration {
        match self.state.dead.first_written() {
            _ if [self.offsets, self.timeouts, self.message_ids].iter().any(Look::has_more) => Duration::ZERO,
            _ if self.state.transactions.is_ending() || self.state.message_ids.is_telling() => Duration::ZERO,
            None if self.state.disk.is_low() => SLEEP_MAX_DISK_LOW,
            None => SLEEP_MAX,
            Some(written) if written <= self.syncer.published() => Duration::ZERO,
            Some(_) => PURGE_DELAY,
        }
    }

    /// Decides, writes and publishes one group, beginning with `first`.
    // A function of its own: `scripts/instructions` finds it by its name.
    #[inline(never)]
    fn round(&mut self, first: Option<Command>) -> Result<(), StoreError> {
        let mut group = Group::default();
        let now = self.environment.now();
        let now_ms = self.environment.monotonic_ms();
        self.state.transactions.set_now(now_ms);
        self.state.message_ids.set_now(now_ms);
        self.state.expiry_clock.look(now, now_ms);
        self.state.disk.look(self.state.store.as_ref(), now);
        // Before the commands: what waits for the rest of an end has waited longer than they have.
        transactions::end::carry_on(&mut self.state, &mut group, now);
        let (mut commands, mut bytes) = (0usize, 0usize);
        let mut next = first;
        while let Some(command) = next.take() {
            commands += 1;
            bytes += command.bytes();
            if let Command::Stop { reply } = command {
                self.stopping = Some(reply);
                break;
            }
            // What it replaces is counted in memory at once and read from the store: nobody may count the batches of the two together.
            let is_last = matches!(command, Command::Compact { .. });
            self.decide(&mut group, command, now);
            if !is_last && commands < GROUP_COMMANDS_MAX && bytes < GROUP_BYTES_MAX {
                next = self.queue.take();
            }
        }
        self.state.disk.note_written(bytes);
        if commands == 0 {
            // Alone in its group: rows that a command stages are not in the store yet, and would be missed.
            purge::purge(&mut self.state, &mut group, self.syncer.published());
            (self.is_owed_a_round, self.last_own_round_ms) = (false, now_ms);
        } else {
            let is_due = now_ms.saturating_sub(self.last_own_round_ms) >= OWN_ROUND_INTERVAL_MS;
            self.is_owed_a_round = is_due && self.state.dead.first_written().is_some();
            self.queued.take(commands, bytes);
            self.figures.group_commands.record(commands as f64);
        }
        // A group that is full leaves others waiting, who go before this.
        if self.producers.is_due(now_ms) && commands < GROUP_COMMANDS_MAX && bytes < GROUP_BYTES_MAX {
            housekeeping::expire_producers(&mut self.state, &mut group);
            // After a kill the next run takes what it does not find here for time in which no broker ran.
            group.rows.put(ExpiryClockRow::KEY.to_vec(), self.state.expiry_clock.row().encode());
            self.state.message_ids.stage_time(&mut group.rows);
            self.producers.note_done(now_ms, self.state.settings.producer_id_check_interval_ms, false);
        }
        if self.unremoved.is_due(now_ms) {
            self.state.dead.try_again();
            self.unremoved.note_done(now_ms, UNREMOVED_CHECK_MS, false);
        }
        if self.offsets.is_due(now_ms) {
            let has_more = !commit_offsets::expire(&mut self.state, &mut group);
            self.offsets.note_done(now_ms, self.state.settings.offsets_retention_check_interval_ms, has_more);
        }
        if self.timeouts.is_due(now_ms) {
            let has_more = !transactions::expiry::abort_timed_out(&mut self.state, &mut group, now);
            self.timeouts.note_done(now_ms, self.state.settings.transaction_timeout_check_interval_ms, has_more);
        }
        if self.message_ids.is_due(now_ms) || self.state.message_ids.is_look_owed() {
            let has_more = housekeeping::expire_message_ids(&mut self.state, &mut group);
            self.message_ids.note_done(now_ms, MESSAGE_IDS_CHECK_MS, has_more);
        }
        if self.transactional_ids.is_due(now_ms) {
            transactions::expiry::forget_idle(&mut self.state, &mut group);
            self.transactional_ids.note_done(now_ms, self.state.settings.transactional_id_check_interval_ms, false);
        }
        message_ids::tell(&mut self.state, &mut group, self.environment.as_mut(), now);
        self.commit(group)
    }

    fn decide(&mut self, group: &mut Group, command: Command, now: Timestamp) {
        let state = &mut self.state;
        match command {
            Command::Append { acks, batches, queued, reply } => {
                self.append(group, acks, batches, queued, reply, now);
            }
            Command::CreateTopics { topics, validate_only, reply } => {
                let environment = self.environment.as_mut();
                let created = topics.iter().map(|new| topics::create(state, group, new, validate_only, environment));
                let created = created.collect();
                answer_synced(group, reply, created);
            }
            Command::DeleteTopics { topics, reply } => {
                let deleted = topics.iter().map(|which| topics::delete(state, group, which)).collect();
                answer_synced(group, reply, deleted);
            }
            Command::CreatePartitions { topic, total, validate_only, reply } => {
                let outcome = topics::create_partitions(state, group, topic, total, validate_only);
                answer_synced(group, reply, outcome);
            }
            Command::SetTopicOverrides { topic, overrides, reply } => {
                let outcome = topics::set_overrides(state, group, topic, overrides);
                answer_synced(group, reply, outcome);
            }
            Command::SetBrokerOverrides { overrides, settings, reply } => {
                topics::set_defaults(state, group, settings.topic_defaults);
                state.settings.producer_id_expiration_ms = settings.producer_id_expiration_ms;
                state.broker_overrides = overrides;
                let row = BrokerOverrides(state.broker_overrides.clone());
                group.rows.put(BrokerOverrides::KEY.to_vec(), row.encode());
                answer_synced(group, reply, Ok(()));
            }
            Command::DeleteRecords { partition, before, reply } => {
                let outcome = delete_records::delete_records(state, group, partition, before);
                answer_synced(group, reply, outcome);
            }
            Command::MoveLogStarts { starts, reply } => {
                let moved = delete_records::move_log_starts(state, group, &starts);
                answer_synced(group, reply, moved);
            }
            Command::RemoveRecords { partitions, reply } => {
                delete_records::remove_records(state, group, &partitions);
                answer_synced(group, reply, ());
            }
            Command::Compact { partition, compaction, reply } => {
                let is_there = compact::compact(state, group, partition, compaction);
                answer_synced(group, reply, is_there);
            }
            Command::ExpiryClock { reply } => {
                let clock = state.expiry_clock.clone();
                group.when_written.answers.push(Box::new(move || drop(reply.send(clock))));
            }
            Command::CommitOffsets { group: group_id, offsets, reply } => {
                let refused = commit_offsets::commit(state, group, group_id, offsets);
                answer_synced(group, reply, refused);
            }
            Command::ChangeGroup { group: group_id, change, reply } => {
                groups::change(state, group, group_id, change);
                answer_synced(group, reply, ());
            }
            Command::WriteMarkers { marker, partitions, offsets, reply } => {
                let mut refused = markers::stage(state, group, marker, &partitions, now);
                refused.extend(transactions::offsets_partitions::end(state, group, &marker, &offsets));
                answer_synced(group, reply, refused);
            }
            Command::Sealed { sealed, reply } => {
                state.message_ids.note_sealed(group, &state.topics, sealed);
                group.when_written.answers.push(Box::new(move || {
                    // The thread has ended with the engine.
                    let _ = reply.send(());
                }));
            }
            Command::LookUpIds { topic, ids, reply } => {
                let found = state.message_ids.look_up(topic, &ids);
                answer_synced(group, reply, found);
            }
            Command::LookUpName { topic, name, reply } => {
                let found = state.message_ids.look_up_name(topic, &name);
                answer_synced(group, reply, found);
            }
            Command::DescribeProducers { partition, reply } => {
                let described = producer_states::describe(state, group, partition);
                answer_synced(group, reply, described);
            }
            Command::DescribeOffsetsProducers { index, count, reply } => {
                let described = transactions::offsets_partitions::describe(state, index, count);
                answer_synced(group, reply, described);
            }
            Command::IssueIds { count, reply } => {
                let first = state.issued_ids.take(group, count, now);
                answer_synced(group, reply, first);
            }
            Command::InitProducerId { reply } => {
                let id = producer_ids::next(&mut state.producer_ids, group);
                answer_synced(group, reply, (id, ProducerEpoch(0)));
            }
            Command::InitTransactions { init, reply } => {
                let outcome = transactions::producer::init_producer_id(state, group, &init, now);
                answer_synced(group, reply, outcome);
            }
            Command::AddPartitionsToTxn { producer, partitions, reply } => {
                let outcome = transactions::producer::add_partitions(state, group, &producer, &partitions, now);
                answer_synced(group, reply, outcome);
            }
            Command::AddOffsetsToTxn { producer, group: group_id, reply } => {
                let outcome = transactions::producer::add_group(state, group, &producer, &group_id, now);
                answer_synced(group, reply, outcome);
            }
            Command::TxnOffsetCommit { producer, group: group_id, offsets, reply } => {
                let outcome = transactions::offsets::stage(state, group, &producer, &group_id, offsets, now);
                answer_synced(group, reply, outcome);
            }
            Command::EndTxn { producer, result, reply } => {
                transactions::end::end_txn(state, group, &producer, result, reply, now);
            }
            Command::DescribeTransactions { transactional_ids, reply } => {
                let described = state.transactions.describe(&transactional_ids);
                answer_synced(group, reply, described);
            }
            Command::ListTransactions { states, reply } => {
                let listed = state.transactions.list(&states);
                answer_synced(group, reply, listed);
            }
            Command::Stop { .. } => unreachable!("taken out before"),
        }
    }

    fn append(
        &mut self,
        group: &mut Group,
        acks: Acks,
        batches: Vec<AppendBatch>,
        queued: Instant,
        reply: Reply<Vec<Appended>>,
        now: Timestamp,
    ) {
        let mut appended = Vec::with_capacity(batches.len());
        let mut synced = false;
        for batch in batches {
            let (answer, of_synced_topic) = append::append(&mut self.state, group, batch, now);
            synced |= of_synced_topic;
            appended.push(answer);
        }
        if self.state.producer_state_count > self.state.settings.producer_ids_max {
            housekeeping::expire_producers(&mut self.state, group);
        }
        let when_synced = synced && acks == Acks::All && !self.state.settings.has(Mutant::AnswerBatchEarly);
        let duration = if when_synced { &self.figures.append_synced } else { &self.figures.append_relaxed };
        let duration = duration.clone();
        let answer: Answer = Box::new(move || {
            duration.record(queued.elapsed());
            // A connection that has gone does not want its answer any more.
            let _ = reply.send(appended);
        });
        let consequences = if when_synced { &mut group.when_synced } else { &mut group.when_written };
        consequences.answers.push(answer);
    }

    /// Writes the group's rows as one, then publishes and answers what is due.
    fn commit(&mut self, mut group: Group) -> Result<(), StoreError> {
        if self.syncer.has_failed() {
            return Ok(());
        }
        group.seal(&self.state);
        if !group.rows.is_empty() {
            self.sequence = self.state.store.write(&group.rows, self.syncer.synced())?;
            self.syncer.written(self.sequence);
        }
        group.purged.drain(..).for_each(|purged| self.reclaimer.hand_over(purged));
        group.dead.drain(..).for_each(|dead| self.state.dead.push(self.sequence, dead));
        group.publish_appended(&mut self.state, self.sequence, self.syncer.synced());
        if !self.syncer.has_failed() {
            group.when_written.run(&self.catalog, &self.state.offsets);
        }
        if !group.when_synced.is_empty() {
            self.syncer.hand_over(self.sequence, group.when_synced);
        } else if group.flush_due {
            self.syncer.sync_within(self.sequence, Duration::ZERO);
        } else if let Some(ms) = group.flush_within_ms {
            self.syncer.sync_within(self.sequence, Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        }
        Ok(())
    }

    /// Marks the stop as clean, after everything before it, and closes the store.
    pub fn stop(self) {
        let Self { mut state, mut environment, syncer, stopping, .. } = self;
        let mut rows = Rows::default();
        state.expiry_clock.look(environment.now(), environment.monotonic_ms());
        state.message_ids.set_now(environment.monotonic_ms());
        state.message_ids.stage_time(&mut rows);
        rows.put(ExpiryClockRow::KEY.to_vec(), state.expiry_clock.row().encode());
        let epoch = BrokerEpoch { leader_epoch: state.leader_epoch, clean_stop: true };
        rows.put(BrokerEpoch::KEY.to_vec(), epoch.encode());
        let synced = syncer.synced();
        let Some(fatal) = syncer.finish() else { return };
        let closed =
            state.store.write(&rows, synced).and_then(|_| state.store.sync()).and_then(|()| state.store.close());
        match closed {
            Ok(()) => {
                let _ = stopping.map(|reply| reply.send(()));
            }
            // Everything acknowledged is synced, and the next start only recovers a little longer; but the disk is not as it should be.
            // Told before whoever asked for the stop finds the engine gone.
            Err(error) => fatal(error),
        }
    }
}

fn answer_synced<T: Send + 'static>(group: &mut Group, reply: Reply<T>, answer: T) {
    group.when_synced.answers.push(Box::new(move || {
        // Whoever asked may have gone; what was asked for is done all the same.
        let _ = reply.send(answer);
    }));
}
