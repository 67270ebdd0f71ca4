use std::io::Read as _;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::api::Broker;
use crate::api::testing::TestBroker;
use crate::engine::command::NewTopic;
use crate::log::catalog::{Catalog, Topics};
use crate::metrics::STORAGE_WRITE_STOPPED;
use crate::store::layer::as_below;
use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreError, StoreStats};
use crate::telemetry::collector::tests::{observing, topic};
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
    let observed = observed(observing(Arc::default(), Arc::default(), Arc::new(store), 10));
    (Shared::of(Arc::new(observed)), hold, asked)
}

fn observed(collector: Collector) -> Observed {
    let observed = Observed {
        recorder: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
        version: "0",
        began: Instant::now(),
        health: Health::default(),
        collector: OnceLock::from(collector),
        running: OnceLock::new(),
    };
    observed.health.enter(BrokerState::Running);
    observed
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

/// A store whose syncs can be held back, and of which nothing else is.
struct Unsynced {
    rows: MemoryStore,
    is_held: AtomicBool,
    let_go: Mutex<Receiver<()>>,
}

impl Store for Unsynced {
    as_below!(
        rows: write, sequence, get, scan, scan_range, last_before, read_log, scan_log, reclaim_log_range, move_log_range,
        move_oldest_batches, batch_space, slices, disk_space, stats, close,
    );

    fn sync(&self) -> Result<(), StoreError> {
        if self.is_held.load(Ordering::SeqCst) {
            // An error once the other end is gone.
            let _ = self.let_go.lock().expect("nobody panics").recv();
        }
        self.rows.sync()
    }
}

#[tokio::test]
async fn a_sync_that_hangs_keeps_nobody_from_what_the_page_tells_beside_it() {
    let (hold, let_go) = channel();
    let (rows, is_held, let_go) = (MemoryStore::new(), AtomicBool::new(false), Mutex::new(let_go));
    let store = Arc::new(Unsynced { rows, is_held, let_go });
    let broker = TestBroker::over(store.clone(), &[]);
    broker.create_topic_with("window", 1, &[("message.dedup.mode", "window")]).await;
    broker.create_topic_with("sequence", 1, &[("message.dedup.mode", "sequence")]).await;
    let Broker { engine, catalog, extractor, sealed_ids, .. } = &*broker.cx.broker;
    let observed = Observed {
        running: OnceLock::from(Running {
            engine: engine.clone(),
            extractor: *extractor,
            sealed_ids: sealed_ids.clone(),
        }),
        ..observed(observing(catalog.clone(), Arc::default(), Arc::new(MemoryStore::new()), 10))
    };
    let (hanging, overrides) = (engine.clone(), Default::default());
    store.is_held.store(true, Ordering::SeqCst);
    let waiting = tokio::spawn(async move {
        hanging.create_topics(vec![NewTopic { name: "third".into(), partitions: 1, overrides }], false).await
    });
    // It has asked by the time that this goes on.
    tokio::task::yield_now().await;
    let shared = Shared::of(Arc::new(observed));

    let (status, page) = told(people(State(shared.clone()), RawQuery(None)).await).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("verdict odd\">It serves, but the writer does not answer"), "{page}");
    assert!(page.contains("<td>window</td>") && !page.contains("None is open."), "{page}");
    type Part = fn(&Overview) -> serde_json::Value;
    let parts: [(Part, &str); 3] = [
        (Overview::summary_json, "the writer does not answer"),
        (Overview::topics_json, "\"topic\":\"sequence\""),
        (Overview::transactions_json, "\"open\":null"),
    ];
    for (part, there) in parts {
        let (status, json) = told(json(State(shared.clone()), Asked::default(), part).await).await;
        assert!(status == StatusCode::OK && json.contains(there), "{json}");
    }
    let find = |query: &str| dedup_find(State(shared.clone()), RawQuery(Some(query.to_owned())));
    let ids = issue_ids(State(shared.observed.clone()), RawQuery(None), HeaderMap::new());
    let mut waiting_for_it = pin!(async { tokio::join!(find("topic=window&id=a"), find("topic=sequence&id=a"), ids) });
    let scrape = tokio::select! {
        biased;
        _ = &mut waiting_for_it => panic!("a scrape waits for the writer"),
        scrape = metrics(State(shared.clone()), HeaderMap::new()) => scrape,
    };
    assert_eq!(told(scrape).await.0, StatusCode::OK);
    let (window, sequence, ids) = waiting_for_it.await;
    for answer in [window.into_response(), sequence.into_response(), ids] {
        assert_eq!(told(answer).await, (StatusCode::SERVICE_UNAVAILABLE, format!("{SILENCE}\n")));
    }

    drop(hold);
    waiting.await.expect("no panic").expect("it is synced");
    let (_, json) = told(json(State(shared.clone()), Asked::default(), Overview::transactions_json).await).await;
    assert_eq!(json, "{\"held_back\":[],\"held_back_left_out\":0,\"open\":[],\"open_left_out\":0}\n");
}

#[tokio::test]
async fn metrics_are_sent_in_gzip_to_those_who_take_it() {
    let (catalog, mut topics) = (Arc::new(Catalog::default()), Topics::default());
    (1..=50).for_each(|no| topics.insert(Arc::new(topic(no, &format!("t{no}"), 1))));
    catalog.publish(Arc::new(topics));
    let observed = observed(observing(catalog, Arc::default(), Arc::new(MemoryStore::new()), 1_000));
    let shared = Shared::of(Arc::new(observed));
    let scrape = |accepted: &'static str| {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
        let answer = metrics(State(shared.clone()), headers);
        async move { answer.await.expect("made").into_parts() }
    };
    let types = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("# TYPE")).map(str::to_owned).collect()
    };
    let (plain, body) = scrape("identity").await;
    assert!(!plain.headers.contains_key(header::CONTENT_ENCODING));
    let (_, body) = told(Response::from_parts(plain, body)).await;
    let (packed, bytes) = scrape("gzip").await;
    assert_eq!(packed.headers[header::CONTENT_ENCODING], "gzip");
    assert_eq!(packed.headers[header::VARY], "Accept-Encoding");
    let bytes = axum::body::to_bytes(bytes, usize::MAX).await.expect("a body");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip of text");
    assert_eq!(types(&text), types(&body));
    assert!(text.contains("topic=\"t50\"") && bytes.len() * 5 < text.len(), "{} of {} bytes", bytes.len(), text.len());
}

/// Status and body.
async fn told(answer: impl IntoResponse) -> (StatusCode, String) {
    let answer = answer.into_response();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}
