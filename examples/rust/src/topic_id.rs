//! The id of a topic. librdkafka tells it, rdkafka does not wrap it yet.

use std::ffi::{CStr, CString};
use std::ptr;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka_sys::*;

use crate::{PATIENCE, Result, client};

/// A topic that is deleted and created anew has another id, and other records at the same offsets.
pub fn topic_id(topic: &str) -> Result<String> {
    let asking: BaseConsumer = client(&[]).create()?;
    let name = CString::new(topic)?;
    // SAFETY: the client outlives the queue, the queue the event, and the event the result and what it points to. What librdkafka
    // gives out is null only where that is looked for; the text of an id belongs to the id.
    unsafe {
        let names = rd_kafka_TopicCollection_of_topic_names([name.as_ptr()].as_mut_ptr(), 1);
        let queue = rd_kafka_queue_new(asking.client().native_ptr());
        rd_kafka_DescribeTopics(asking.client().native_ptr(), names, ptr::null(), queue);
        let event = rd_kafka_queue_poll(queue, PATIENCE.as_millis() as i32);
        let id = if event.is_null() { Err("no answer".into()) } else { read(event) };
        if !event.is_null() {
            rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(queue);
        rd_kafka_TopicCollection_destroy(names);
        id
    }
}

unsafe fn read(event: *mut rd_kafka_event_t) -> Result<String> {
    unsafe {
        if rd_kafka_event_error(event) as i32 != 0 {
            return Err(CStr::from_ptr(rd_kafka_event_error_string(event)).to_string_lossy().into());
        }
        let mut count = 0;
        let found = *rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &mut count);
        let error = rd_kafka_TopicDescription_error(found);
        if !error.is_null() && rd_kafka_error_code(error) as i32 != 0 {
            return Err(CStr::from_ptr(rd_kafka_error_string(error)).to_string_lossy().into());
        }
        Ok(CStr::from_ptr(rd_kafka_Uuid_base64str(rd_kafka_TopicDescription_topic_id(found))).to_string_lossy().into())
    }
}
