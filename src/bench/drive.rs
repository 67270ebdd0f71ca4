//! The one loop of a run: what is due is sent, what came is taken in, once a second a line tells how far it is.

use super::BenchError;
use super::clock::{SECOND_NS, monotonic_ns};
use super::consumer::Consumers;
use super::producer::Producers;
use super::progress::Progress;
use super::reactor::Reactor;

/// Time after sending ended in which consumers must have read everything.
const DRAIN_NS: u64 = 30 * SECOND_NS;

/// What may end the reading of a run that sends nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadUntil {
    /// At this time, ns.
    pub(super) time_ns: u64,
    /// After this many records.
    pub(super) records: u64,
}

/// Both sides of a run; one may be absent.
pub(super) struct Run {
    pub(super) producers: Option<Producers>,
    pub(super) consumers: Option<Consumers>,
    pub(super) read_until: ReadUntil,
}

impl Run {
    /// Runs to the end. Answers when that was, ns.
    pub(super) fn drive(&mut self, progress: &mut Progress) -> Result<u64, BenchError> {
        let mut reactor = Reactor::new()?;
        let producer_tokens = self.producers.as_ref().map_or(0, Producers::connection_count);
        if let Some(producers) = &mut self.producers {
            producers.register(&reactor)?;
        }
        if let Some(consumers) = &mut self.consumers {
            consumers.register(&reactor, producer_tokens)?;
        }
        let mut ready = Vec::new();
        loop {
            let mut now_ns = monotonic_ns();
            if let Some(producers) = &mut self.producers {
                producers.send_due(now_ns)?;
                producers.measure.roll(now_ns, producers.backlog);
            }
            if let Some(consumers) = &mut self.consumers {
                consumers.measure.roll(now_ns, 0);
            }
            progress.tick(now_ns, self);
            if self.is_over(now_ns) {
                progress.end();
                return Ok(now_ns);
            }
            let wake_ns = self.producers.as_ref().map_or(u64::MAX, Producers::next_wake_ns);
            let wake_ns = wake_ns.min(progress.next_ns()).min(self.read_until.time_ns);
            reactor.wait(wake_ns, &mut ready)?;
            now_ns = monotonic_ns();
            for event in &ready {
                match event.token.checked_sub(producer_tokens) {
                    None => {
                        if let Some(producers) = &mut self.producers {
                            producers.on_ready(*event, now_ns)?;
                        }
                    }
                    Some(index) => {
                        if let Some(consumers) = &mut self.consumers {
                            consumers.on_ready(index, *event, now_ns)?;
                        }
                    }
                }
            }
        }
    }

    fn is_over(&mut self, now_ns: u64) -> bool {
        match (&self.producers, &mut self.consumers) {
            (Some(producers), None) => producers.is_done() || is_stuck(producers, now_ns),
            (Some(producers), Some(consumers)) => {
                if !producers.is_done() {
                    return is_stuck(producers, now_ns);
                }
                consumers.end_at(producers.acked_end.clone());
                consumers.is_done() || is_stuck(producers, now_ns)
            }
            (None, Some(consumers)) => {
                now_ns >= self.read_until.time_ns || consumers.records >= self.read_until.records || consumers.is_done()
            }
            (None, None) => true,
        }
    }
}

/// Whether sending ended so long ago that nothing more is to be expected.
fn is_stuck(producers: &Producers, now_ns: u64) -> bool {
    producers.is_idle_since(now_ns.saturating_sub(DRAIN_NS))
}
