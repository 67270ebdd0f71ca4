//! How partitions are spread over connections.

use crate::bench::arguments::Load;
use crate::types::PartitionIndex;

/// A group of partitions on a connection.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) connection: usize,
    pub(super) first_partition: PartitionIndex,
    pub(super) partition_count: usize,
    pub(super) next_sequence: i32,
}

/// Requests a second that make `records_per_second`, where lanes have `partitions_per_request` partitions but for the last.
pub(in crate::bench) fn requests_per_second(load: &Load, partitions: i32) -> f64 {
    let partitions = partitions.max(1) as u32;
    let groups = partitions.div_ceil(load.partitions_per_request);
    let records_per_round = f64::from(partitions) * f64::from(load.records_per_batch);
    load.rate / records_per_round * f64::from(groups)
}

/// The lanes of `partitions` over `connections`, in turn: each group on one connection or, if there are more connections than
/// groups, each connection with one group.
pub(super) fn lanes(partitions: i32, per_request: u32, connections: usize) -> Vec<Lane> {
    let partitions = partitions.max(1) as usize;
    let per_request = per_request as usize;
    let groups = partitions.div_ceil(per_request);
    let lane = |index: usize| {
        let first = index % groups * per_request;
        Lane {
            connection: index % connections,
            first_partition: first as PartitionIndex,
            partition_count: per_request.min(partitions - first),
            next_sequence: 0,
        }
    };
    (0..groups.max(connections)).map(lane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(partitions: i32, per_request: u32, connections: usize, expected: &[(usize, i32, usize)]) {
        let lanes = lanes(partitions, per_request, connections);
        let lanes: Vec<_> =
            lanes.iter().map(|lane| (lane.connection, lane.first_partition, lane.partition_count)).collect();
        assert_eq!(lanes, expected);
    }

    #[test]
    fn every_partition_is_in_a_lane_and_every_connection_has_one() {
        check(1, 1, 1, &[(0, 0, 1)]);
        check(3, 1, 2, &[(0, 0, 1), (1, 1, 1), (0, 2, 1)]);
        check(5, 2, 2, &[(0, 0, 2), (1, 2, 2), (0, 4, 1)]);
        check(2, 1, 3, &[(0, 0, 1), (1, 1, 1), (2, 0, 1)]);
        check(2, 100, 2, &[(0, 0, 2), (1, 0, 2)]);
    }
}
