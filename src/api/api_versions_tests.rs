use super::*;
use crate::api::testing::{TestBroker, decode, text};

fn request() -> ApiVersionsRequest {
    ApiVersionsRequest::default().with_client_software_name(text("x")).with_client_software_version(text("1.0"))
}

fn ranges(answer: &ApiVersionsResponse) -> Vec<(i16, (i16, i16))> {
    answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect()
}

#[test]
fn software_names_are_those_of_kip_511() {
    for good in ["a", "librdkafka", "apache-kafka-java", "2.15.0", "4.3.1-rc0"] {
        assert!(is_software_word(good), "{good}");
    }
    for bad in ["", "-a", "a-", "a b", ".", "a_b", "ä"] {
        assert!(!is_software_word(bad), "{bad}");
    }
}

#[tokio::test]
async fn the_table_is_answered_in_every_version() {
    let broker = TestBroker::start();
    let table: Vec<_> = APIS.iter().map(|api| (api.key, api.versions)).collect();
    for version in 0..=4 {
        let asked = if version >= 3 { request() } else { ApiVersionsRequest::default() };
        let answer = broker.call(version, &asked).await;
        assert_eq!((answer.error_code, ranges(&answer)), (0, table.clone()), "version {version}");
        let features: Vec<_> =
            answer.finalized_features.iter().map(|of| (of.name.as_str(), of.max_version_level)).collect();
        if version >= 3 {
            let finalized = vec![("group.version", 1), ("metadata.version", 30), ("transaction.version", 2)];
            assert_eq!((features, answer.finalized_features_epoch), (finalized, 0));
            let supported = answer.supported_features.iter();
            let supported: Vec<_> = supported.map(|of| (of.name.as_str(), of.min_version, of.max_version)).collect();
            let all = [("group.version", 0, 1), ("metadata.version", 7, 30), ("transaction.version", 0, 2)];
            assert_eq!(supported, if version > 3 { &all } else { &all[1..2] }, "version {version}");
        } else {
            assert!(features.is_empty() && answer.finalized_features_epoch == -1);
        }
    }
}

#[tokio::test]
async fn an_unknown_version_is_answered_in_the_form_of_version_0_with_the_range_of_this_api() {
    let broker = TestBroker::start();
    for version in [5, 99, i16::MAX, -1] {
        // Whatever its body is: nobody here can know.
        let body = bytes::BytesMut::from(&[0xff; 9][..]);
        let segments = broker.send_body(API_VERSIONS, version, body).await.expect("answered").expect("not silent");
        let answer = decode::<ApiVersionsRequest>(0, segments);
        assert_eq!((answer.error_code, ranges(&answer)), (35, vec![(API_VERSIONS, (0, 4))]), "version {version}");
    }
}

#[tokio::test]
async fn a_bad_software_name_is_refused_in_the_form_that_was_asked_for() {
    let broker = TestBroker::start();
    for version in [3, 4] {
        let (name, number) =
            (request().with_client_software_name(text("a b")), request().with_client_software_version(text("")));
        for bad in [name, number] {
            let answer = broker.call(version, &bad).await;
            assert_eq!((answer.error_code, answer.api_keys.len()), (42, 0), "version {version}");
        }
    }
}
