//! ApiVersions: which APIs and versions there are, and which features.
//!
//! Mirrors `ApiVersionManager`. A version that is not ours is answered in the form of version 0 with our range of this one API:
//! a client that cannot know the shape of any newer form starts over with what it finds there (KIP-511).

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::apis::{API_VERSIONS, APIS, count_error, find, frame, typed};
use super::{Answer, Api, Context};
use crate::types::ErrorCode;
use crate::wire::{Close, Request, RequestHeader, Segments, message};

/// Features with the levels that work, of which the highest is in force: clients change their behaviour by them. At 2 of
/// `transaction.version` they use KIP-890, where a batch adds its partition and an end raises the epoch.
pub(super) const FEATURES: [(&str, i16, i16); 3] = [
    ("group.version", 0, 1),
    ("metadata.version", METADATA_VERSION_MIN, METADATA_VERSION),
    ("transaction.version", 0, 2),
];

/// 4.3-IV0, as Kafka 4.3 has it. Tools show the name and read from it which admin APIs to expect.
const METADATA_VERSION: i16 = 30;
/// 3.3-IV3, the lowest that Kafka 4 knows: its tools have no name for a lower one.
const METADATA_VERSION_MIN: i16 = 7;

/// Answers at any time, also before authentication.
pub fn api_versions(cx: Context, request: Request) -> Answer {
    Answer::Serial(Box::pin(async move { answer(&cx, request).map(Some) }))
}

fn answer(cx: &Context, request: Request) -> Result<Segments, Close> {
    let own = find(API_VERSIONS).expect("this handler stands in the table");
    let version = request.header.api_version;
    if version < own.versions.0 || version > own.versions.1 {
        count_error(&request.header, ErrorCode::UNSUPPORTED_VERSION);
        let refusal = ApiVersionsResponse::default()
            .with_error_code(ErrorCode::UNSUPPORTED_VERSION.0)
            .with_api_keys(vec![line(own)]);
        return message::encode_as(&request.header, 0, false, &refusal);
    }
    let (header, request) = typed::<ApiVersionsRequest>(request)?;
    if version >= 3
        && !(is_software_word(&request.client_software_name) && is_software_word(&request.client_software_version))
    {
        count_error(&header, ErrorCode::INVALID_REQUEST);
        let refusal = ApiVersionsResponse::default().with_error_code(ErrorCode::INVALID_REQUEST.0);
        return frame(&header, &refusal);
    }
    if version >= 3 {
        let (name, version) = (&request.client_software_name, &request.client_software_version);
        cx.broker.clients.runs(cx.arrival.connection, name, version);
    }
    frame(&header, &all(&header))
}

fn all(header: &RequestHeader) -> ApiVersionsResponse {
    let answer = ApiVersionsResponse::default().with_api_keys(APIS.iter().map(line).collect());
    if header.api_version < 3 {
        return answer;
    }
    // Clients of version 3 refuse a feature whose lowest level is 0.
    let supported = FEATURES.iter().filter(|(_, min, _)| header.api_version > 3 || *min > 0).map(|(name, min, max)| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(name))
            .with_min_version(*min)
            .with_max_version(*max)
    });
    let finalized = FEATURES.iter().map(|(name, _, level)| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_static_str(name))
            .with_min_version_level(*level)
            .with_max_version_level(*level)
    });
    answer
        .with_supported_features(supported.collect())
        .with_finalized_features_epoch(0)
        .with_finalized_features(finalized.collect())
}

fn line(api: &Api) -> ApiVersion {
    ApiVersion::default().with_api_key(api.key).with_min_version(api.versions.0).with_max_version(api.versions.1)
}

/// Kafka's `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || [b'-', b'.'].contains(byte);
    first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(inner)
}

#[cfg(test)]
#[path = "api_versions_tests.rs"]
mod tests;
