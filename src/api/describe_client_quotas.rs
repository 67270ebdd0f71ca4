//! DescribeClientQuotas: there are none, whatever is asked for; what Kafka refuses to be asked is refused.
//!
//! Mirrors `ClientQuotasImage.describe`.

use std::collections::BTreeSet;

use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use super::Context;
use super::apis::count_error;
use super::told::told;
use crate::engine::command::Refused;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Kinds of clients that quotas are given to.
const ENTITY_TYPES: [&str; 3] = ["user", "client-id", "ip"];

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

/// Answers an empty list.
pub async fn describe_client_quotas(
    _: Context,
    header: RequestHeader,
    request: DescribeClientQuotasRequest,
) -> Result<DescribeClientQuotasResponse, Close> {
    Ok(match check(&request) {
        Ok(()) => DescribeClientQuotasResponse::default().with_entries(Some(Vec::new())),
        Err(refused) => {
            count_error(&header, refused.error);
            DescribeClientQuotasResponse::default()
                .with_error_code(refused.error.0)
                .with_error_message(Some(told(refused.message)))
                .with_entries(None)
        }
    })
}

fn check(request: &DescribeClientQuotasRequest) -> Result<(), Refused> {
    let mut types = BTreeSet::new();
    for component in &request.components {
        let entity_type = component.entity_type.as_str();
        if entity_type.is_empty() {
            return Err(invalid("Invalid empty entity type."));
        }
        if !types.insert(entity_type) {
            return Err(invalid(format!("Entity type {entity_type} cannot appear more than once in the filter.")));
        }
        if !ENTITY_TYPES.contains(&entity_type) {
            let message = format!("Unsupported entity type {entity_type}");
            return Err(Refused::new(ErrorCode::UNSUPPORTED_VERSION, message));
        }
        match (component.match_type, &component._match) {
            (EXACT, Some(_)) | (DEFAULT | SPECIFIED, None) => {}
            (EXACT, None) => return Err(invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.")),
            (DEFAULT, Some(_)) => {
                return Err(invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string."));
            }
            (SPECIFIED, Some(_)) => {
                return Err(invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string."));
            }
            (other, _) => return Err(invalid(format!("Unknown match type {other}"))),
        }
    }
    if types.contains("ip") && types.len() > 1 {
        return Err(invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
             filter component.",
        ));
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_client_quotas_request::ComponentData;

    use super::*;
    use crate::api::testing::{TestBroker, text};

    /// Components of a filter, and the code and the begin of the message that they are answered with.
    type Case<'a> = (&'a [(&'a str, i8, Option<&'a str>)], i16, &'a str);

    /// What a real Kafka 4.3.1 answered.
    #[tokio::test]
    async fn filters_are_judged_and_nothing_is_found() {
        let broker = TestBroker::start();
        let cases: [Case<'_>; 11] = [
            (&[], 0, ""),
            (&[("user", 0, Some("x")), ("client-id", 1, None)], 0, ""),
            (&[("ip", 2, None)], 0, ""),
            (&[("", 0, None)], 42, "Invalid empty entity type."),
            (&[("user", 0, None)], 42, "Request specified MATCH_TYPE_EXACT, but set"),
            (&[("user", 1, Some("x"))], 42, "Request specified MATCH_TYPE_DEFAULT, but also"),
            (&[("user", 2, Some("x"))], 42, "Request specified MATCH_TYPE_SPECIFIED, but also"),
            (&[("user", 3, None)], 42, "Unknown match type 3"),
            (&[("bad", 0, Some("x"))], 35, "Unsupported entity type bad"),
            (&[("user", 0, Some("x")), ("user", 0, Some("y"))], 42, "Entity type user cannot appear more than once"),
            (&[("ip", 0, Some("x")), ("user", 0, Some("y"))], 42, "Invalid entity filter component combination."),
        ];
        for (filter, error, message) in cases {
            let components = filter.iter().map(|(entity_type, match_type, matched)| {
                ComponentData::default()
                    .with_entity_type(text(entity_type))
                    .with_match_type(*match_type)
                    .with_match(matched.map(text))
            });
            let request = DescribeClientQuotasRequest::default().with_components(components.collect());
            for version in [0, 1] {
                let answer = broker.call(version, &request).await;
                assert_eq!(answer.error_code, error, "{filter:?}");
                assert!(answer.error_message.unwrap_or_default().starts_with(message), "{filter:?}");
                assert_eq!(answer.entries, (error == 0).then(Vec::new), "{filter:?}");
            }
        }
    }
}
