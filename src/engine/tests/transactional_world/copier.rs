//! What a copier calls, and what it makes of the answers.

use super::*;

impl World {
    /// A producer for the transactional id of this number: nothing of an older one is open any more. None comes to be where a fault
    /// leaves that open for ever.
    pub(super) async fn new_copier(&mut self, number: usize, instance: u64) -> Option<Copier> {
        let id = format!("copier-{number}");
        // Each copier has one of its own, younger than those of before.
        let arrival = Arrival { connection: ConnectionId(instance), ..Arrival::default() };
        let init =
            InitTransactions { transactional_id: Arc::from(id.as_str()), timeout_ms: TIMEOUT_MS, given: None, arrival };
        let mut tries = 0;
        let (producer_id, producer_epoch) = loop {
            tries += 1;
            if tries == 100 {
                assert!(self.broker.settings.mutant.is_some(), "no producer comes to be");
                self.is_stuck = true;
                return None;
            }
            match self.broker.engine().init_transactions(init.clone()).await.expect("engine runs") {
                Ok(producer) => break producer,
                Err(TransactionRefused::Concurrent) => self.broker.idle_round(),
                Err(refused) => panic!("{refused:?}"),
            }
        };
        let at = self.at();
        self.history.push(Event::Initialized { id: id.clone(), instance, at });
        let version = if self.roll(2) == 0 { TransactionVersion::V1 } else { TransactionVersion::V2 };
        let transactional_id = Arc::from(id.as_str());
        let producer = TransactionProducer { transactional_id, producer_id, producer_epoch, version, arrival };
        let position = self.committed(number).unwrap_or(0);
        Some(Copier { number, instance, producer, position, sequences: HashMap::new(), begun: 0, open: None })
    }

    /// Where the next one goes on. What is pending is so no more: whoever staged it was fenced.
    fn committed(&self, number: usize) -> Option<i64> {
        let partition = self.broker.partition(INPUTS[number]).id;
        self.broker.started.offsets.progress(GROUP, partition).committed.map(|committed| committed.offset)
    }

    pub(super) async fn replace(&mut self, number: usize) {
        let old = self.copiers[number].clone();
        let Some(new) = self.new_copier(number, old.instance + 1).await else { return };
        self.copiers[number] = new;
        if old.open.is_some() {
            self.zombies.push(old);
        }
    }

    pub(super) fn next_call(&mut self, copier: &mut Copier) -> Option<Call> {
        let is_at_end = copier.position == VALUES;
        if copier.open.is_none() {
            if is_at_end {
                return None;
            }
            copier.begun += 1;
            let txn = format!("t{}.{}.{}", copier.number, copier.instance, copier.begun);
            let (id, instance, at) = (copier.producer.transactional_id.to_string(), copier.instance, self.at());
            self.history.push(Event::Begin { id, instance, txn: txn.clone(), at });
            copier.open = Some(Open { txn, staged: false, failed: false });
        }
        let open = copier.open.as_ref().expect("begun");
        let (txn, staged) = (open.txn.clone(), open.staged);
        match self.roll(10) {
            _ if staged && self.roll(5) == 0 => Some(self.end(&txn, TransactionResult::Abort)),
            _ if staged => Some(self.end(&txn, TransactionResult::Commit)),
            0..=6 if !is_at_end => Some(self.send(copier, &txn)),
            9 => Some(self.end(&txn, TransactionResult::Abort)),
            _ => Some(Call::Stage { offset: copier.position }),
        }
    }

    pub(super) fn send(&mut self, copier: &mut Copier, txn: &str) -> Call {
        let seq = copier.position;
        copier.position += 1;
        let partition = partition_no(copier.number);
        let name = format!("p{}", copier.number);
        let output = usize::try_from(seq).expect("small") % OUTPUTS.len();
        let consumed = payload(&format!("{name}/{seq}"), "fill");
        self.history.push(Event::Consumed { txn: txn.to_owned(), partition, offset: seq, payload: consumed });
        let value = payload(&format!("{name}/{seq}"), txn);
        let (producer, number) = (name, u64::try_from(seq).expect("small"));
        let partition = partition_no(output);
        self.history.push(Event::Send { txn: txn.to_owned(), producer, seq: number, partition });
        let next = copier.sequences.entry(output).or_default();
        let sequence = *next;
        *next += 1;
        Call::Send { output, seq, batch: AppendBatchOf { value, sequence } }
    }

    pub(super) fn end(&mut self, txn: &str, result: TransactionResult) -> Call {
        let (txn, commit, at) = (txn.to_owned(), result == TransactionResult::Commit, self.at());
        self.history.push(Event::Ending { txn, commit, at });
        Call::End { result }
    }

    /// Makes a call until it is answered. One in six meets a power cut, before or after it is answered.
    pub(super) async fn make(mut self, copier: &mut Copier, call: Call) -> Self {
        if self.roll(6) > 0 {
            let answer = Self::call(&self.broker, copier.clone(), call.clone()).await;
            self.hear(copier, &call, answer, false);
            return self;
        }
        self.broker.store.syncs.hold();
        let handle = TestEngineHandle::of(&self.broker);
        let (asking, what) = (copier.clone(), call.clone());
        let running = tokio::spawn(async move { handle.call(asking, what).await });
        tokio::task::yield_now().await;
        self.broker.written().await;
        self.poll().await;
        tokio::task::yield_now().await;
        let told = running.is_finished();
        let keep = self.broker.store.memory.unsynced_writes() + 1;
        let keep = self.pick(keep);
        if told {
            let answer = running.await.expect("no panic");
            self.hear(copier, &call, answer.expect("engine runs"), false);
            self.broker = self.broker.crash(keep);
            return self;
        }
        self.broker = self.broker.crash(keep);
        drop(running);
        let answer = Self::call(&self.broker, copier.clone(), call.clone()).await;
        self.hear(copier, &call, answer, true);
        self
    }

    pub(super) async fn call(broker: &TestEngine, copier: Copier, call: Call) -> Answer {
        TestEngineHandle::of(broker).call(copier, call).await.expect("engine runs")
    }

    pub(super) fn hear(&mut self, copier: &mut Copier, call: &Call, answer: Answer, is_retry: bool) {
        let Some(open) = &mut copier.open else { return };
        let txn = open.txn.clone();
        match (call, answer) {
            (Call::Send { output, seq, .. }, Answer::Sent { error: 0, base_offset }) => {
                let (producer, seq) = (format!("p{}", copier.number), u64::try_from(*seq).expect("small"));
                let partition = partition_no(*output);
                self.history.push(Event::Sent { txn, producer, seq, partition, offset: base_offset });
            }
            (Call::Stage { offset }, Answer::Staged(true)) => {
                open.staged = true;
                self.history.push(Event::Staged { txn, partition: partition_no(copier.number), offset: *offset });
            }
            (Call::End { result }, Answer::Ended(Ok((producer_id, producer_epoch)))) => {
                let commit = *result == TransactionResult::Commit;
                let at = self.at();
                self.history.push(Event::Ended { txn, commit, at });
                if copier.producer.version == TransactionVersion::V2 {
                    copier.producer = TransactionProducer { producer_id, producer_epoch, ..copier.producer.clone() };
                    copier.sequences.clear();
                }
                copier.open = None;
                if !commit {
                    copier.position = self.committed(copier.number).unwrap_or(0);
                }
            }
            (Call::End { result: TransactionResult::Commit }, Answer::Ended(Err(_))) => {
                // An end that was asked for before may have come to pass.
                if !is_retry {
                    let at = self.at();
                    self.history.push(Event::Ended { txn, commit: false, at });
                }
                open.failed = true;
            }
            _ => open.failed = true,
        }
    }

    /// Aborts, or begins anew as another instance if that is refused, too.
    pub(super) async fn give_up(mut self, copier: &mut Copier) -> Self {
        let txn = copier.open.as_ref().expect("open").txn.clone();
        let asked =
            self.history.iter().any(|event| matches!(event, Event::Ending { txn: of, commit: true, .. } if *of == txn));
        if !asked {
            let call = self.end(&txn, TransactionResult::Abort);
            let answer = Self::call(&self.broker, copier.clone(), call.clone()).await;
            // Sequences of what failed are unknown to V1; a new epoch makes them plain.
            let is_plain = copier.producer.version == TransactionVersion::V2;
            self.hear(copier, &call, answer, false);
            if copier.open.is_none() && is_plain {
                return self;
            }
        }
        if let Some(new) = self.new_copier(copier.number, copier.instance + 1).await {
            *copier = new;
        }
        self
    }
}

/// What a call needs of the broker, so that it can be left behind when the power goes.
struct TestEngineHandle {
    engine: crate::engine::Engine,
    outputs: [PartitionId; OUTPUTS.len()],
    inputs: [PartitionId; INPUTS.len()],
}

impl TestEngineHandle {
    fn of(broker: &TestEngine) -> Self {
        let outputs = OUTPUTS.map(|name| broker.partition(name).id);
        Self { engine: broker.engine().clone(), outputs, inputs: INPUTS.map(|name| broker.partition(name).id) }
    }

    /// None: the broker has gone.
    async fn call(self, copier: Copier, call: Call) -> Option<Answer> {
        let producer = copier.producer;
        match call {
            Call::Send { output, batch, .. } => {
                let partition = self.outputs[output];
                if producer.version == TransactionVersion::V1 {
                    let added = self.engine.add_partitions_to_txn(producer.clone(), vec![partition]).await.ok()?;
                    if added.is_err() {
                        return Some(Answer::Sent { error: 1, base_offset: -1 });
                    }
                }
                let built = plain(&[&batch.value])
                    .producer(producer.producer_id, producer.producer_epoch, batch.sequence)
                    .transactional();
                let append = AppendBatch { transaction: Some(Arc::new(producer)), ..to(partition, &built) };
                let appended = self.engine.append(Acks::All, vec![append]).await.ok()?.remove(0);
                Some(Answer::Sent { error: appended.error.0, base_offset: appended.base_offset })
            }
            Call::Stage { offset } => {
                if producer.version == TransactionVersion::V1 {
                    let added = self.engine.add_offsets_to_txn(producer.clone(), GROUP.to_owned()).await.ok()?;
                    if added.is_err() {
                        return Some(Answer::Staged(false));
                    }
                }
                let committed = CommittedOffset {
                    offset,
                    leader_epoch: LeaderEpoch(-1),
                    metadata: String::new(),
                    commit_timestamp: 0,
                    expire_timestamp: -1,
                };
                let offsets = vec![OffsetToCommit { partition: self.inputs[copier.number], committed }];
                let staged = self.engine.txn_offset_commit(producer, GROUP.to_owned(), offsets).await.ok()?;
                Some(Answer::Staged(staged.is_ok_and(|refused| refused.is_empty())))
            }
            Call::End { result } => Some(Answer::Ended(self.engine.end_txn(producer, result).await.ok()?)),
        }
    }
}
