use metrics_exporter_prometheus::PrometheusBuilder;

use super::harness::*;
use crate::engine::command::Acks;
use crate::metrics::{ENGINE_QUEUE_BYTES, ENGINE_QUEUE_COMMANDS};

#[tokio::test]
async fn what_waits_for_the_writer_is_told_in_commands_and_bytes() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let broker = metrics::with_local_recorder(&recorder, TestEngine::start);
    let metrics = recorder.handle();
    let waiting = || {
        let page = metrics.render();
        [ENGINE_QUEUE_COMMANDS, ENGINE_QUEUE_BYTES].map(|name| {
            let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            value.expect("there from the first command on")
        })
    };
    broker.create("t", &[]).await;
    assert_eq!(waiting(), [0.0, 0.0]);
    let held = broker.hold_writer();
    let (one, other) = (plain(&["a"]), plain(&["b", "c"]));
    let bytes =
        [&one, &other].map(|batch| to(broker.partition("t").id, batch).bytes.len()).iter().sum::<usize>() as f64;
    let (one, other) = (broker.send("t", Acks::All, one), broker.send("t", Acks::All, other));
    assert_eq!(waiting(), [2.0, bytes]);
    drop(held);
    assert!(one.await.is_ok() && other.await.is_ok());
    assert_eq!(waiting(), [0.0, 0.0]);
}
