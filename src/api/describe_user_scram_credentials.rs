//! DescribeUserScramCredentials: there are no users, so each that is named is not found.
//!
//! Mirrors `ScramImage.describe`.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use kafka_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use super::apis::count_error;
use super::told::told;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Answers each user once; null or an empty list, which mean all, finds none.
pub async fn describe_user_scram_credentials(
    _: Context,
    header: RequestHeader,
    request: DescribeUserScramCredentialsRequest,
) -> Result<DescribeUserScramCredentialsResponse, Close> {
    let mut mentions: BTreeMap<StrBytes, usize> = BTreeMap::new();
    for user in request.users.unwrap_or_default() {
        *mentions.entry(user.name).or_default() += 1;
    }
    let results = mentions.into_iter().map(|(user, mentions)| {
        let (error, message) = match mentions {
            1 => (
                ErrorCode::RESOURCE_NOT_FOUND,
                format!("Attempt to describe a user credential that does not exist: {}", user.as_str()),
            ),
            _ => (
                ErrorCode::DUPLICATE_RESOURCE,
                format!(
                    "Cannot describe SCRAM credentials for the same user twice in a single request: {}",
                    user.as_str()
                ),
            ),
        };
        count_error(&header, error);
        DescribeUserScramCredentialsResult::default()
            .with_user(user)
            .with_error_code(error.0)
            .with_error_message(Some(told(message)))
    });
    Ok(DescribeUserScramCredentialsResponse::default().with_results(results.collect()))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;

    use super::*;
    use crate::api::testing::{TestBroker, text};

    #[tokio::test]
    async fn no_user_is_found_and_one_that_is_named_twice_is_refused() {
        let broker = TestBroker::start();
        let named = |names: &[&str]| {
            let users = names.iter().map(|name| UserName::default().with_name(text(name)));
            DescribeUserScramCredentialsRequest::default().with_users(Some(users.collect()))
        };
        let answer = broker.call(0, &named(&["b", "a", "", "b"])).await;
        let found: Vec<_> = answer.results.iter().map(|result| (result.user.as_str(), result.error_code)).collect();
        assert_eq!(found, [("", 91), ("a", 91), ("b", 92)]);
        let all = DescribeUserScramCredentialsRequest::default().with_users(None);
        for all in [all, named(&[])] {
            let answer = broker.call(0, &all).await;
            assert_eq!((answer.error_code, answer.results.len()), (0, 0));
        }
    }
}
