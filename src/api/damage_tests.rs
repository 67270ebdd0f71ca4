//! What the log says of records that cannot be read.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest};

use super::testing::{TestBroker, batch, topic_name};
use crate::store::memory::MemoryStore;
use crate::store::schema::log_prefix;
use crate::store::{Rows, Store};
use crate::types::ErrorCode;

/// What is logged.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("one thread"))).expect("text")
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn damage_is_logged_under_the_name_of_the_topic() {
    let store = Arc::new(MemoryStore::new());
    let broker = TestBroker::over(store.clone(), &[("einmal.tail.cache.bytes", "0")]);
    let topic = broker.create_topic("orders", 1).await;
    broker.append(&topic, 0, batch(1, &["a"])).await;
    let mut rows = Rows::default();
    let damaged = |bytes: &[u8]| Bytes::from_iter([0xff].iter().chain(&bytes[1..]).copied());
    store
        .scan(&log_prefix(topic.partitions[0].id), &mut |key, bytes| rows.put(key.to_vec(), damaged(bytes)))
        .expect("rows in memory");
    store.write(&rows, 0).expect("rows in memory");

    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let part = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let named = FetchTopic::default().with_topic(topic_name("orders")).with_partitions(vec![part]);
    let fetch = FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![named]);
    let fetched = broker.call(12, &fetch).await;
    assert_eq!(fetched.responses[0].partitions[0].error_code, ErrorCode::KAFKA_STORAGE_ERROR.0);
    let said = written.take();
    assert!(said.contains("topic=\"orders\" partition=0"), "{said}");
    assert!(said.contains("corrupt data at partition orders-0 offset 0: "), "{said}");
    assert!(!said.contains('#'), "{said}");

    let part = ListOffsetsPartition::default().with_timestamp(1);
    let named = ListOffsetsTopic::default().with_name(topic_name("orders")).with_partitions(vec![part]);
    let listed = broker.call(4, &ListOffsetsRequest::default().with_topics(vec![named])).await;
    assert_eq!(listed.topics[0].partitions[0].error_code, ErrorCode::KAFKA_STORAGE_ERROR.0);
    let said = written.take();
    assert!(said.contains("partition orders-0 offset 0: ") && !said.contains('#'), "{said}");
}
