//! Where Kafka keeps the offsets of a group. Here nothing is kept there, but tools ask by it.

/// The partition of `__consumer_offsets`, which has `partitions` of them, 1 and up: Java's hash of the characters of `group_id`
/// (`GroupCoordinatorService.partitionFor` in Kafka).
pub fn offsets_partition(group_id: &str, partitions: u32) -> u32 {
    let hash = group_id.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    (hash & i32::MAX.unsigned_abs()) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_looked_for_where_kafka_keeps_them() {
        // Computed by Java: ("...".hashCode() & 0x7fffffff) % 50.
        for (group, partition) in [("", 0), ("a", 47), ("group", 47), ("polygenelubricants", 0), ("é", 33)] {
            assert_eq!(offsets_partition(group, 50), partition, "{group}");
        }
    }
}
