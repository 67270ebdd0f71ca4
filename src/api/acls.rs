//! DescribeAcls, CreateAcls and DeleteAcls: there is no authorizer, which each of them is answered with.
//!
//! Mirrors `AclApis` of a Kafka whose `authorizer.class.name` is empty. Admin consoles take the code for "no access control here".

use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use super::apis::count_error;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

const ERROR: ErrorCode = ErrorCode::SECURITY_DISABLED;

/// Kafka has two sentences for one thing, which its tools print.
const NONE_TO_DESCRIBE: &str = "No Authorizer is configured on the broker";
const NONE_TO_CHANGE: &str = "No Authorizer is configured.";

/// Refused as a whole.
pub async fn describe_acls(
    _: Context,
    header: RequestHeader,
    _: DescribeAclsRequest,
) -> Result<DescribeAclsResponse, Close> {
    count_error(&header, ERROR);
    Ok(DescribeAclsResponse::default()
        .with_error_code(ERROR.0)
        .with_error_message(Some(StrBytes::from_static_str(NONE_TO_DESCRIBE))))
}

/// Refused one by one.
pub async fn create_acls(
    _: Context,
    header: RequestHeader,
    request: CreateAclsRequest,
) -> Result<CreateAclsResponse, Close> {
    let results = request.creations.iter().map(|_| {
        count_error(&header, ERROR);
        AclCreationResult::default()
            .with_error_code(ERROR.0)
            .with_error_message(Some(StrBytes::from_static_str(NONE_TO_CHANGE)))
    });
    Ok(CreateAclsResponse::default().with_results(results.collect()))
}

/// Refused filter by filter.
pub async fn delete_acls(
    _: Context,
    header: RequestHeader,
    request: DeleteAclsRequest,
) -> Result<DeleteAclsResponse, Close> {
    let results = request.filters.iter().map(|_| {
        count_error(&header, ERROR);
        DeleteAclsFilterResult::default()
            .with_error_code(ERROR.0)
            .with_error_message(Some(StrBytes::from_static_str(NONE_TO_CHANGE)))
    });
    Ok(DeleteAclsResponse::default().with_filter_results(results.collect()))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_acls_request::AclCreation;
    use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;

    use super::*;
    use crate::api::testing::TestBroker;

    #[tokio::test]
    async fn each_is_told_that_there_is_no_authorizer() {
        let broker = TestBroker::start();
        for version in 1..=3 {
            let described = broker.call(version, &DescribeAclsRequest::default()).await;
            assert_eq!((described.error_code, described.resources.len()), (54, 0));
            assert_eq!(described.error_message.as_deref(), Some("No Authorizer is configured on the broker"));
            let creations = CreateAclsRequest::default().with_creations(vec![AclCreation::default(); 2]);
            let created = broker.call(version, &creations).await;
            assert_eq!(created.results.iter().map(|of| of.error_code).collect::<Vec<_>>(), [54, 54]);
            assert_eq!(created.results[0].error_message.as_deref(), Some("No Authorizer is configured."));
            let filters = DeleteAclsRequest::default().with_filters(vec![DeleteAclsFilter::default(); 2]);
            let deleted = broker.call(version, &filters).await;
            assert_eq!(deleted.filter_results.iter().map(|of| of.error_code).collect::<Vec<_>>(), [54, 54]);
        }
    }
}
