use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::metrics::STORAGE_WRITE_STOPPED;
use crate::store::layer::as_below;
use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreStats};
use crate::telemetry::collector::tests::observing;
use crate::telemetry::health::BrokerState;

/// A store that tells of itself when it is let, and then that it takes no writes.
struct Hanging {
    rows: MemoryStore,
    asked: Arc<AtomicUsize>,
    let_go: Mutex<Receiver<()>>,
}

impl Store for Hanging {
    as_below!(
        rows: write, sync, sequence, get, scan, scan_range, last_before, read_log, scan_log, reclaim_log_range, move_log_range,
        move_oldest_batches, batch_space, slices, disk_space, close,
    );

    fn stats(&self) -> StoreStats {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // An error once the other end is gone.
        let _ = self.let_go.lock().expect("nobody panics").recv();
        StoreStats { gauges: vec![(STORAGE_WRITE_STOPPED, 1.0)], counters: Vec::new() }
    }
}

fn over_a_hanging_store() -> (Shared, Sender<()>, Arc<AtomicUsize>) {
    let ((hold, let_go), asked) = (channel(), Arc::<AtomicUsize>::default());
    let store = Hanging { rows: MemoryStore::new(), asked: Arc::clone(&asked), let_go: Mutex::new(let_go) };
    let observed = Observed {
        recorder: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
        version: "0",
        began: Instant::now(),
        health: Health::default(),
        collector: OnceLock::from(observing(Arc::default(), Arc::default(), Arc::new(store), 10)),
        running: OnceLock::new(),
    };
    observed.health.enter(BrokerState::Running);
    (Shared::of(Arc::new(observed)), hold, asked)
}

#[tokio::test]
async fn a_store_that_hangs_keeps_no_probe_waiting_and_one_thread() {
    let (shared, hold, asked) = over_a_hanging_store();
    for _ in 0..3 {
        assert_eq!(readiness(State(shared.clone())).await.status(), StatusCode::OK, "nothing else is known");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    drop(hold);
    assert_eq!(readiness(State(shared)).await.status(), StatusCode::SERVICE_UNAVAILABLE, "it takes no writes");
}
