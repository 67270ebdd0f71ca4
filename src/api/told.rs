//! The texts of refusals, as clients are told them.

use kafka_protocol::protocol::StrBytes;

/// Longest text of a refusal, bytes. A text that repeats what was sent may be of any length, but a STRING of the protocol has 32,767
/// bytes at the most, and an answer with a longer one could not be sent at all.
pub const TEXT_BYTES_MAX: usize = 4 << 10;

/// `text` as clients are told it: of a longer one than [`TEXT_BYTES_MAX`] the beginning.
pub fn told(text: impl Into<String>) -> StrBytes {
    let mut text = text.into();
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        // The rest of a long one would be kept with it.
        text.shrink_to_fit();
    }
    StrBytes::from_string(text)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_topics_request::CreatableTopic;
    use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
    use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
    use kafka_protocol::messages::{CreateTopicsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest};

    use super::*;
    use crate::api::testing::{TestBroker, text, topic_name};

    #[test]
    fn long_texts_are_told_up_to_a_whole_character() {
        let ascii = |count| "x".repeat(count);
        for (text, expected) in [
            (String::new(), 0),
            (ascii(TEXT_BYTES_MAX), TEXT_BYTES_MAX),
            (ascii(TEXT_BYTES_MAX + 1), TEXT_BYTES_MAX),
            (format!("{}ü", ascii(TEXT_BYTES_MAX - 2)), TEXT_BYTES_MAX),
            (format!("{}ü", ascii(TEXT_BYTES_MAX - 1)), TEXT_BYTES_MAX - 1),
            (format!("{}\u{1f980}", ascii(TEXT_BYTES_MAX - 3)), TEXT_BYTES_MAX - 3),
            (ascii(1 << 20), TEXT_BYTES_MAX),
        ] {
            let told = told(text.clone());
            assert_eq!(told.len(), expected, "of {} bytes", text.len());
            assert!(text.starts_with(told.as_str()));
        }
    }

    #[tokio::test]
    async fn names_as_long_as_a_string_may_be_are_refused_in_short() {
        let broker = TestBroker::start();
        let name = "n".repeat(i16::MAX as usize);
        let asked = |kind| DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(&name));
        let describe = DescribeConfigsRequest::default().with_resources(vec![asked(2), asked(4)]);
        let described = broker.call(1, &describe).await.results.into_iter();
        let described = described.map(|of| (of.error_code, of.error_message));
        let changed = |kind| AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(&name));
        let alter = IncrementalAlterConfigsRequest::default().with_resources(vec![changed(2), changed(4)]);
        let altered = broker.call(0, &alter).await.responses.into_iter();
        let altered = altered.map(|of| (of.error_code, of.error_message));
        let create = CreateTopicsRequest::default().with_topics(vec![
            CreatableTopic::default().with_name(topic_name(&name)).with_num_partitions(1).with_replication_factor(1),
        ]);
        let created = broker.call(2, &create).await.topics.into_iter().map(|of| (of.error_code, of.error_message));
        let refused: Vec<(i16, usize)> = described
            .chain(altered)
            .chain(created)
            .map(|(error, message)| (error, message.expect("a text").len()))
            .collect();
        assert_eq!(refused, [17, 42, 17, 42, 17].map(|error| (error, TEXT_BYTES_MAX)));
    }
}
