//! The requests that subcommands share.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::protocol::Request;

use crate::cli::text;
use crate::client::{ClientError, Cluster};
use crate::types::{ErrorCode, Offset, PartitionIndex};

/// Between two tries of what a broker is not ready for.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Asks the group's coordinator, and again while there is none yet: the first one to ask for any makes Kafka create the topic of
/// coordinators. `code` is the one of the answer.
pub(super) fn coordinator<R: Request>(
    cluster: &mut Cluster,
    group: &str,
    (api, request, versions): (&'static str, &R, (i16, i16)),
    timeout: Duration,
    code: impl Fn(&R::Response) -> Option<i16>,
) -> Result<R::Response, ClientError> {
    let give_up = Instant::now() + timeout;
    loop {
        let coordinator = cluster.group_coordinator(group)?;
        let answer = cluster.broker(coordinator)?.call(api, request, versions)?;
        match code(&answer).map(ErrorCode) {
            Some(
                ErrorCode::NOT_COORDINATOR
                | ErrorCode::COORDINATOR_NOT_AVAILABLE
                | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ) if Instant::now() < give_up => thread::sleep(RETRY_AFTER),
            _ => return Ok(answer),
        }
    }
}

/// All offsets that the group has committed.
pub(in crate::cli) fn committed(
    cluster: &mut Cluster,
    group: &str,
    timeout: Duration,
) -> Result<BTreeMap<(String, PartitionIndex), Offset>, ClientError> {
    let request = OffsetFetchRequest::default().with_group_id(text(group).into()).with_topics(None);
    // From version 8 on requests name groups in another place.
    let asked = ("OffsetFetch", &request, (2, 7));
    let answer = coordinator(cluster, group, asked, timeout, |answer| Some(answer.error_code))?;
    ClientError::check("OffsetFetch", answer.error_code, None)?;
    let mut committed = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            ClientError::check("OffsetFetch", partition.error_code, Some(topic.name.as_str()))?;
            if partition.committed_offset >= 0 {
                committed.insert((topic.name.to_string(), partition.partition_index), partition.committed_offset);
            }
        }
    }
    Ok(committed)
}
