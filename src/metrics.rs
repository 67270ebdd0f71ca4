//! The catalogue: every metric's name, type, source, labels with the values that are known beforehand, and help, in one table.
//!
//! A family comes wholly from one [`Source`]. The families of other exporters that are shown under their names are in [`compat`].
//!
//! Names begin with `einmal_`, but for the `process_` ones that all Prometheus clients share, and end with their unit, counters
//! with `_total`. Labels are from a closed list: what identifies a client, a message or a transaction is never a label.

/// What a family measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Classic buckets.
    Histogram,
}

/// Where the samples of a family come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The crate `metrics`, under the name here: counted where it happens. Its labels are closed.
    Recorder,
    /// The collector in `telemetry`, which reads what exists when it is asked: so the series of a deleted topic or group vanish at once.
    Collector,
    /// The store's statistics, which the collector samples.
    Store,
    /// The kernel's and the runtime's figures of this process.
    Process,
}

/// One family of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Full name with unit.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Where its samples come from.
    pub source: Source,
    /// Label names. None takes values that a client can invent, but for topics and groups, which are capped.
    pub labels: &'static [&'static str],
    /// The values of each label, where they are known beforehand and each goes with each; of a family of the recorder, these series are
    /// there from the start.
    pub values: &'static [&'static [&'static str]],
    /// For people.
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident = $name:literal $kind:ident $source:ident [$($label:literal $(= $($value:literal)|+)?),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*
        /// All families.
        pub const FAMILIES: &[Family] = &[$(Family {
            name: $name,
            kind: Kind::$kind,
            source: Source::$source,
            labels: &[$($label),*],
            values: &[$(&[$($($value),+)?]),*],
            help: $help,
        }),*];
    };
}

families! {
    BUILD_INFO = "einmal_build_info" Gauge Recorder ["version", "revision", "rustc"] "Always 1; the labels tell which build runs";
    CONFIG_INFO = "einmal_config_info" Gauge Recorder ["durability", "mode"] "Always 1; the labels tell the default durability and the mode";

    REQUEST_DURATION_SECONDS = "einmal_request_duration_seconds" Histogram Recorder ["api"] "From a parsed request to its queued answer, deliberate waiting included";
    REQUEST_PHASE_SECONDS = "einmal_request_phase_seconds" Histogram Collector ["api", "phase"] "Where the time of requests goes: queue, behind an earlier request of the connection; handle, on a thread; wait, for the disk, for records or for others; send, behind earlier answers and until the socket has taken it";
    REQUESTS_TOTAL = "einmal_requests_total" Counter Recorder ["api", "version"] "Requests by API and version";
    REQUEST_ERRORS_TOTAL = "einmal_request_errors_total" Counter Recorder ["api", "error"] "Error codes answered, per partition or item";
    REQUESTS_IN_FLIGHT = "einmal_requests_in_flight" Gauge Recorder ["api"] "Requests parsed and not yet answered";
    REQUEST_SIZE_BYTES = "einmal_request_size_bytes" Histogram Recorder ["api"] "Request frames";
    RESPONSE_SIZE_BYTES = "einmal_response_size_bytes" Histogram Recorder ["api"] "Response frames";
    REQUEST_MEMORY_WAITS_TOTAL = "einmal_request_memory_waits_total" Counter Recorder ["size" = "small" | "large"] "Requests that had to wait for memory while they were received";
    PROTOCOL_ERRORS_TOTAL = "einmal_protocol_errors_total" Counter Recorder ["reason" = "bad_length" | "too_large" | "unsupported_api" | "unsupported_version" | "decode" | "crc" | "magic" | "tls_on_plaintext" | "http_on_kafka_port"] "Frames that ended a connection";
    PRODUCE_ACKS_TOTAL = "einmal_produce_acks_total" Counter Recorder ["acks" = "0" | "1" | "all"] "Produce requests by the promise they ask for";
    FETCH_SESSIONS = "einmal_fetch_sessions" Gauge Recorder [] "Cached fetch sessions";
    FETCH_MEMORY_BYTES = "einmal_fetch_memory_bytes" Gauge Recorder [] "Memory granted to answers that are read or sent, as of the last one that was granted any";
    FETCH_MEMORY_WAITS_TOTAL = "einmal_fetch_memory_waits_total" Counter Recorder [] "Answers that had to wait for memory";
    FETCH_WAITING = "einmal_fetch_waiting" Gauge Recorder [] "Fetches that wait for data";

    TOPIC_BYTES_IN_TOTAL = "einmal_topic_bytes_in_total" Counter Collector ["topic"] "Bytes of appended batches";
    TOPIC_BYTES_OUT_TOTAL = "einmal_topic_bytes_out_total" Counter Collector ["topic"] "Bytes of fetched batches";
    TOPIC_RECORDS_IN_TOTAL = "einmal_topic_records_in_total" Counter Collector ["topic"] "Records appended";
    TOPIC_RECORDS_OUT_TOTAL = "einmal_topic_records_out_total" Counter Collector ["topic"] "Records of fetched batches, markers left out";
    TOPIC_BATCHES_IN_TOTAL = "einmal_topic_batches_in_total" Counter Collector ["topic"] "Batches appended";
    TOPIC_PRODUCE_FAILED_TOTAL = "einmal_topic_produce_failed_total" Counter Collector ["topic"] "Batches refused";
    TOPIC_FETCH_FAILED_TOTAL = "einmal_topic_fetch_failed_total" Counter Collector ["topic"] "Partitions of fetches answered with an error";

    PRODUCER_BATCHES_TOTAL = "einmal_producer_batches_total" Counter Recorder ["outcome" = "appended" | "duplicate" | "out_of_order" | "fenced" | "unknown_producer" | "txn_state_rejected"] "Idempotent batches by outcome; duplicate: answered with the original offset, nothing written";
    PRODUCER_DUPLICATE_RECORDS_TOTAL = "einmal_producer_duplicate_records_total" Counter Collector ["topic"] "Records of dropped duplicate batches";
    PRODUCER_DUPLICATE_BYTES_TOTAL = "einmal_producer_duplicate_bytes_total" Counter Collector ["topic"] "Bytes of dropped duplicate batches";
    PRODUCER_OUT_OF_ORDER_TOTAL = "einmal_producer_out_of_order_total" Counter Collector ["topic"] "Batches refused for a gap in their producer's sequence";
    PRODUCER_IDS = "einmal_producer_ids" Gauge Recorder ["kind" = "idempotent" | "transactional"] "Producer states in memory, of partitions that were written to or asked for them since the start; transactional: transactional ids known";
    DEDUP_CHECKED_RECORDS_TOTAL = "einmal_dedup_checked_records_total" Counter Collector ["topic"] "Records whose message id was looked up (message.dedup.mode)";
    DEDUP_DUPLICATES_TOTAL = "einmal_dedup_duplicates_total" Counter Collector ["topic", "reason"] "Records whose message id was known: dropped, marked, or refused with their batch; by what: batch (an earlier record of the same batch), open (an id in memory), sealed (in a file), sequence (their sender's number), pending (a record of their own open transaction)";
    DEDUP_MISSING_ID_TOTAL = "einmal_dedup_missing_id_total" Counter Collector ["topic"] "Records without a message id or number that were taken unchecked (message.dedup.missing.id)";
    DEDUP_HOLES_RECORDS_TOTAL = "einmal_dedup_holes_records_total" Counter Collector ["topic"] "Records that were left out of batches of which the rest was stored";
    DEDUP_REWRITTEN_BATCHES_TOTAL = "einmal_dedup_rewritten_batches_total" Counter Collector ["topic"] "Batches that were stored without some of their records, or with marks";
    DEDUP_SUPPRESSED_BATCHES_TOTAL = "einmal_dedup_suppressed_batches_total" Counter Collector ["topic"] "Batches that were not stored because all of their records were known";
    DEDUP_REJECTED_TOTAL = "einmal_dedup_rejected_total" Counter Collector ["topic"] "Batches refused for a record that was known, a claim of another or another version (INVALID_RECORD)";
    DEDUP_PENDING_CONFLICTS_TOTAL = "einmal_dedup_pending_conflicts_total" Counter Collector ["topic"] "Batches refused until a transaction with the same message ends (NOT_ENOUGH_REPLICAS)";
    DEDUP_THROTTLED_TOTAL = "einmal_dedup_throttled_total" Counter Collector ["topic"] "Batches refused until there is room for their message ids (NOT_ENOUGH_REPLICAS), which their clients send again: the window is full (message.dedup.overflow=throttle), or memory is";
    DEDUP_BYPASSED_TOTAL = "einmal_dedup_bypassed_total" Counter Collector ["topic"] "Records that were stored unchecked for their sender (message.dedup.bypass.principals)";
    DEDUP_AUDIT_MISSED_TOTAL = "einmal_dedup_audit_missed_total" Counter Collector ["topic"] "Records that were there already and of which message.dedup.audit.topic is not told: it cannot be written, or they are too many at once";
    DEDUP_EVICTED_TOTAL = "einmal_dedup_evicted_total" Counter Collector ["topic"] "Message ids forgotten before their window was over, for want of room";
    DEDUP_LIVE_IDS = "einmal_dedup_live_ids" Gauge Collector ["topic"] "Message ids that a topic remembers, or names in mode sequence";
    DEDUP_OLDEST_ID_AGE_SECONDS = "einmal_dedup_oldest_id_age_seconds" Gauge Collector ["topic"] "For how long the oldest of these has been remembered, by the time that brokers have run";
    DEDUP_INDEX_BYTES = "einmal_dedup_index_bytes" Gauge Recorder [] "Memory of message ids, over all topics: what is held against einmal.dedup.memory.bytes";
    DEDUP_SCAN_SECONDS = "einmal_dedup_scan_seconds" Histogram Recorder [] "Time that it took to read the message ids out of a batch, on its connection";
    DEDUP_RECOVERY_SECONDS = "einmal_dedup_recovery_seconds" Gauge Recorder [] "Time that it took to bring message ids back at the start";
    DEDUP_SLICES = "einmal_dedup_slices" Gauge Recorder [] "Files of message ids that have left memory";
    DEDUP_SEALED_BYTES = "einmal_dedup_sealed_bytes" Gauge Recorder [] "Bytes of these files on disk; about 1.4 of 38 are in memory, too";
    DEDUP_SEAL_SECONDS = "einmal_dedup_seal_seconds" Histogram Recorder [] "Time that it took to write such a file";
    PRODUCER_DUPLICATE_AGE_SECONDS = "einmal_producer_duplicate_age_seconds" Histogram Recorder [] "Age of the original batch, by its timestamps, when its retry arrives";
    PRODUCER_STATE_BYTES = "einmal_producer_state_bytes" Gauge Recorder [] "Memory of these producer states; those of other partitions are on disk";
    PRODUCER_IDS_ALLOCATED_TOTAL = "einmal_producer_ids_allocated_total" Counter Recorder [] "Producer ids handed out";
    PRODUCER_IDS_EXPIRED_TOTAL = "einmal_producer_ids_expired_total" Counter Recorder [] "Producer states dropped after producer.id.expiration.ms";
    PRODUCER_SEQUENCE_WRAPS_TOTAL = "einmal_producer_sequence_wraps_total" Counter Recorder [] "Sequences that wrapped to 0";
    PRODUCER_NONIDEMPOTENT_BATCHES_TOTAL = "einmal_producer_nonidempotent_batches_total" Counter Recorder [] "Batches without a producer id";

    TXN_STATES = "einmal_txn_states" Gauge Recorder ["state"] "Transactional ids by the state of their transaction";
    TXN_OPEN = "einmal_txn_open" Gauge Recorder [] "Transactions that are open, or decided and not carried out everywhere";
    TXN_OLDEST_OPEN_AGE_SECONDS = "einmal_txn_oldest_open_age_seconds" Gauge Collector [] "Age of the oldest open transaction, 0 if none is open";
    TXN_TIMEOUT_MAX_SECONDS = "einmal_txn_timeout_max_seconds" Gauge Collector [] "Longest timeout of an open transaction, 0 if none is open";
    TXN_BYTES = "einmal_txn_bytes" Gauge Recorder [] "Memory of transactional ids and what belongs to their transactions";
    TXN_COMPLETED_TOTAL = "einmal_txn_completed_total" Counter Recorder ["result", "initiator"] "Transactions ended, by outcome and by who ended them";
    TXN_DURATION_SECONDS = "einmal_txn_duration_seconds" Histogram Recorder ["result" = "commit" | "abort"] "From the first participant of a transaction to the decision of its end";
    TXN_END_DURATION_SECONDS = "einmal_txn_end_duration_seconds" Histogram Recorder ["result" = "commit" | "abort"] "From EndTxn to its durable end";
    TXN_PARTITIONS = "einmal_txn_partitions" Histogram Recorder [] "Partitions of an ended transaction";
    TXN_RECORDS = "einmal_txn_records" Histogram Recorder [] "Records of an ended transaction, as far as they came since the start of the broker";
    TXN_MARKERS_PENDING = "einmal_txn_markers_pending" Gauge Recorder [] "Decided transactions that are too large for one write and not carried out everywhere";
    TXN_FENCED_TOTAL = "einmal_txn_fenced_total" Counter Recorder ["reason" = "newer_epoch" | "init_producer_id" | "timeout"] "Producers shut out: an open transaction aborted in their stead, or a request of an older epoch refused";
    TXN_VERIFICATION_FAILED_TOTAL = "einmal_txn_verification_failed_total" Counter Recorder ["reason" = "not_in_transaction" | "state" | "unknown_id"] "Batches refused that are not of the transaction that they claim to be of";
    TXN_OFFSET_COMMITS_TOTAL = "einmal_txn_offset_commits_total" Counter Recorder ["result" = "committed" | "aborted" | "superseded" | "refused"] "Offsets sent in transactions, by what became of them";
    TXN_LATE_REQUESTS_TOTAL = "einmal_txn_late_requests_total" Counter Recorder [] "Requests of transactional producers that had gone on to a younger connection; theirs was closed";
    LSO_LAG_RECORDS_MAX = "einmal_lso_lag_records_max" Gauge Collector [] "Most offsets of a partition between last stable offset and high watermark: what an open transaction keeps from readers of committed records";
    LSO_STALLED_SECONDS_MAX = "einmal_lso_stalled_seconds_max" Gauge Collector [] "Longest time that a last stable offset below its high watermark has not moved";
    PARTITIONS_LATE_TXN = "einmal_partitions_late_txn" Gauge Collector [] "Partitions in which that is longer than transaction.max.timeout.ms and five minutes: a transaction hangs";

    GROUPS = "einmal_groups" Gauge Collector ["protocol", "state"] "Groups with members, or that had some, by protocol and state";
    GROUP_MEMBERS = "einmal_group_members" Gauge Collector ["group"] "Members of a group";
    GROUP_MEMBERS_BYTES = "einmal_group_members_bytes" Gauge Recorder [] "Memory of groups and their members";
    GROUP_REBALANCES_TOTAL = "einmal_group_rebalances_total" Counter Collector ["group", "reason"] "Generations that a group began, and assignments that a consumer group was given, by what caused them first";
    GROUP_LAG_RECORDS = "einmal_group_lag_records" Gauge Collector ["group", "topic"] "Records between a group's committed offsets and the high watermarks";
    GROUP_LAG_COMMITTED_RECORDS = "einmal_group_lag_committed_records" Gauge Collector ["group", "topic"] "The same to the last stable offsets, where a transaction holds these back: what read_committed readers may read";
    GROUP_LAG_SECONDS = "einmal_group_lag_seconds" Gauge Collector ["group", "topic"] "Age of the oldest record that a group has not committed, 0 if it has all";
    GROUP_LAG_RECORDS_MAX = "einmal_group_lag_records_max" Gauge Collector ["group"] "Lag of a group in the partition where it is largest";
    GROUP_LAST_COMMIT_TIMESTAMP_SECONDS = "einmal_group_last_commit_timestamp_seconds" Gauge Collector ["group"] "When a group last committed, Unix time";
    GROUP_COMMITS_TOTAL = "einmal_group_commits_total" Counter Collector ["group", "result"] "Offsets that a group committed since the start, and that were refused";
    GROUP_OFFSETS = "einmal_group_offsets" Gauge Recorder [] "Committed offsets, over all groups";
    GROUP_OFFSETS_EXPIRED_TOTAL = "einmal_group_offsets_expired_total" Counter Recorder [] "Committed offsets forgotten after offsets.retention.minutes or a time of their own";

    TOPICS = "einmal_topics" Gauge Collector [] "Topics";
    PARTITIONS = "einmal_partitions" Gauge Collector [] "Partitions of all topics";
    PARTITION_HIGH_WATERMARK = "einmal_partition_high_watermark" Gauge Collector ["topic", "partition"] "End of what consumers may see";
    PARTITION_LOG_START_OFFSET = "einmal_partition_log_start_offset" Gauge Collector ["topic", "partition"] "First readable offset";
    PARTITION_SIZE_BYTES = "einmal_partition_size_bytes" Gauge Collector ["topic", "partition"] "Bytes of readable batches";
    TOPIC_OLDEST_RECORD_AGE_SECONDS = "einmal_topic_oldest_record_age_seconds" Gauge Collector ["topic"] "Age of the oldest readable record by its timestamp: what retention has left";
    PARTITION_LSO_LAG_RECORDS = "einmal_partition_lso_lag_records" Gauge Collector ["topic", "partition"] "Records that an open transaction holds back from read_committed readers; only where there are some";
    RETENTION_DELETED_BYTES_TOTAL = "einmal_retention_deleted_bytes_total" Counter Collector ["topic", "reason"] "Bytes of batches that retention, requests and compaction took from readers";
    APPEND_DURATION_SECONDS = "einmal_append_duration_seconds" Histogram Recorder ["durability" = "fsync" | "os"] "From a queued append to its answer";
    ENGINE_THREAD_PANICS_TOTAL = "einmal_engine_thread_panics_total" Counter Recorder ["thread"] "Threads beside the writer that panicked: retention, compaction, the return of space or the move of message ids to files stands still until a restart";
    ENGINE_QUEUE_COMMANDS = "einmal_engine_queue_commands" Gauge Recorder [] "Commands that wait for the writer";
    ENGINE_QUEUE_BYTES = "einmal_engine_queue_bytes" Gauge Recorder [] "Bytes of batches in these commands, and of what groups store";
    ENGINE_GROUP_COMMANDS = "einmal_engine_group_commands" Histogram Recorder [] "Commands per commit group";
    ENGINE_BUSY_SECONDS_TOTAL = "einmal_engine_busy_seconds_total" Counter Collector [] "Time the one writer worked";
    WAL_SYNC_DURATION_SECONDS = "einmal_wal_sync_duration_seconds" Histogram Recorder [] "One fsync of the write-ahead log";
    WAL_SYNC_RUNNING_SECONDS = "einmal_wal_sync_running_seconds" Gauge Collector [] "How long the fsync of the write-ahead log that is under way has taken so far, 0 if none is: a disk that hangs";
    WAL_BYTES_WRITTEN_TOTAL = "einmal_wal_bytes_written_total" Counter Store [] "Bytes written to the write-ahead log";
    WAL_SYNCS_TOTAL = "einmal_wal_syncs_total" Counter Store [] "Fsyncs of the write-ahead log";
    FSYNC_DISABLED = "einmal_fsync_disabled" Gauge Collector [] "1 if the broker's default answers acks=all from the page cache";
    TOPICS_RELAXED_DURABILITY = "einmal_topics_relaxed_durability" Gauge Collector [] "Topics whose acks=all is answered from the page cache";
    DISK_LOW = "einmal_disk_low" Gauge Collector [] "1 while Produce and new topics are refused, as less than the reserve of disk space is free";
    TAIL_CACHE_BYTES = "einmal_tail_cache_bytes" Gauge Recorder [] "Newest batches kept in memory";
    TAIL_CACHE_HITS_TOTAL = "einmal_tail_cache_hits_total" Counter Recorder [] "Reads answered from the tail cache";
    TAIL_CACHE_MISSES_TOTAL = "einmal_tail_cache_misses_total" Counter Recorder [] "Reads answered by the store";
    STORAGE_WRITE_STOPPED = "einmal_storage_write_stopped" Gauge Store ["db"] "1 while RocksDB refuses writes";
    STORAGE_DELAYED_WRITE_RATE_BYTES = "einmal_storage_delayed_write_rate_bytes" Gauge Store ["db"] "Rate RocksDB slows writes to, 0 healthy";
    STORAGE_STALL_SECONDS_TOTAL = "einmal_storage_stall_seconds_total" Counter Store ["db"] "Time writes were stalled";
    STORAGE_PENDING_COMPACTION_BYTES = "einmal_storage_pending_compaction_bytes" Gauge Store ["db"] "Bytes that wait for compaction";
    STORAGE_L0_FILES = "einmal_storage_l0_files" Gauge Store ["db"] "Files in level 0";
    STORAGE_RUNNING_COMPACTIONS = "einmal_storage_running_compactions" Gauge Store ["db"] "Compactions under way";
    STORAGE_RUNNING_FLUSHES = "einmal_storage_running_flushes" Gauge Store ["db"] "Flushes under way";
    STORAGE_BACKGROUND_ERRORS = "einmal_storage_background_errors" Gauge Store ["db"] "Errors of background work since the start";
    STORAGE_BACKGROUND_FAILING = "einmal_storage_background_failing" Gauge Store ["db"] "1 while background work has failed within the last five minutes; the log says how";
    STORAGE_FLUSH_BYTES_TOTAL = "einmal_storage_flush_bytes_total" Counter Store ["db"] "Bytes written by flushes";
    STORAGE_COMPACTION_WRITTEN_BYTES_TOTAL = "einmal_storage_compaction_written_bytes_total" Counter Store ["db"] "Bytes written by compactions";
    STORAGE_COMPACTION_READ_BYTES_TOTAL = "einmal_storage_compaction_read_bytes_total" Counter Store ["db"] "Bytes read by compactions";
    STORAGE_SST_BYTES = "einmal_storage_sst_bytes" Gauge Store ["db"] "Table files";
    STORAGE_BLOB_BYTES = "einmal_storage_blob_bytes" Gauge Store ["db"] "Blob files";
    STORAGE_BLOB_GARBAGE_BYTES = "einmal_storage_blob_garbage_bytes" Gauge Store ["db"] "Garbage in live blob files";
    STORAGE_RECLAIM_FAILURES_TOTAL = "einmal_storage_reclaim_failures_total" Counter Recorder ["reason" = "error" | "no_room"] "Times that space of removed batches could not be given back: error, or no_room to move what lives beside it; tried again within a minute";
    STORAGE_MEMTABLE_BYTES = "einmal_storage_memtable_bytes" Gauge Store ["db"] "Memtables";
    STORAGE_LIVE_DATA_BYTES = "einmal_storage_live_data_bytes" Gauge Store ["db"] "Estimate of live data in table files";
    STORAGE_TABLE_READER_BYTES = "einmal_storage_table_reader_bytes" Gauge Store ["db"] "Memory of indexes and filters outside the block cache";
    STORAGE_BLOCK_CACHE_HITS_TOTAL = "einmal_storage_block_cache_hits_total" Counter Store ["db"] "Blocks found in the cache";
    STORAGE_BLOCK_CACHE_MISSES_TOTAL = "einmal_storage_block_cache_misses_total" Counter Store ["db"] "Blocks read from files";
    STORAGE_BLOCK_CACHE_USAGE_BYTES = "einmal_storage_block_cache_usage_bytes" Gauge Store ["db"] "Block cache in use";
    STORAGE_BLOCK_CACHE_CAPACITY_BYTES = "einmal_storage_block_cache_capacity_bytes" Gauge Store ["db"] "Size of the block cache";
    STORAGE_BLOCK_CACHE_PINNED_BYTES = "einmal_storage_block_cache_pinned_bytes" Gauge Store ["db"] "Block cache that cannot be evicted";
    STORAGE_OLDEST_SNAPSHOT_AGE_SECONDS = "einmal_storage_oldest_snapshot_age_seconds" Gauge Store ["db"] "Age of the oldest snapshot, 0 if there is none: one that leaks keeps dead data";
    STORAGE_DISK_TOTAL_BYTES = "einmal_storage_disk_total_bytes" Gauge Store ["dir"] "Size of the data directory's file system";
    STORAGE_DISK_FREE_BYTES = "einmal_storage_disk_free_bytes" Gauge Store ["dir"] "Free space of the data directory's file system";
    STORAGE_CORRUPTION_TOTAL = "einmal_storage_corruption_total" Counter Store [] "Reads of damaged data, of batches and other rows as of files of message ids";
    RECOVERY_SECONDS = "einmal_recovery_seconds" Gauge Store [] "Time the last start took to recover";
    RECOVERY_REPLAYED_BYTES = "einmal_recovery_replayed_bytes" Gauge Store [] "Write-ahead log replayed at the last start";

    CONNECTIONS = "einmal_connections" Gauge Recorder ["listener"] "Open connections";
    CONNECTIONS_OPENED_TOTAL = "einmal_connections_opened_total" Counter Recorder ["listener"] "Connections accepted";
    CONNECTIONS_CLOSED_TOTAL = "einmal_connections_closed_total" Counter Recorder ["listener", "cause" = "client" | "idle" | "error" | "auth" | "limit" | "shutdown"] "Connections closed";
    CONNECTIONS_REJECTED_TOTAL = "einmal_connections_rejected_total" Counter Recorder ["listener", "reason" = "max" | "max_per_ip"] "Connections refused at accept";
    BOOTSTRAP_ONLY_CONNECTIONS_TOTAL = "einmal_bootstrap_only_connections_total" Counter Recorder ["listener"] "Connections that asked for nothing but metadata for 30 s, of clients that do nothing else: their advertised address may be wrong";
    CLIENT_SOFTWARE = "einmal_client_software" Gauge Collector ["name", "version"] "Open connections by what clients say they run; other: below the 50 most used, or not said";
    METRICS_FOLDED = "einmal_metrics_folded" Gauge Collector ["family"] "1 if series were folded together or left out to keep the family small";
    LOG_MESSAGES_TOTAL = "einmal_log_messages_total" Counter Recorder ["level" = "error" | "warn" | "info" | "debug" | "trace"] "Log lines by level";
    PANICS_TOTAL = "einmal_panics_total" Counter Recorder [] "Panics caught";

    RUNTIME_WORKERS = "einmal_runtime_workers" Gauge Process [] "Threads that serve connections";
    RUNTIME_TASKS = "einmal_runtime_tasks" Gauge Process [] "Tasks on them: connections, parked requests, timers";
    RUNTIME_POLL_DELAY_SECONDS = "einmal_runtime_poll_delay_seconds" Histogram Recorder [] "How long a task that is ready waits for one of them, tried four times a second";
    RUNTIME_BUSY_SECONDS_TOTAL = "einmal_runtime_busy_seconds_total" Counter Process [] "Time they worked, over all of them";

    PROCESS_CPU_SECONDS_TOTAL = "process_cpu_seconds_total" Counter Process [] "User and system time";
    PROCESS_RESIDENT_MEMORY_BYTES = "process_resident_memory_bytes" Gauge Process [] "Memory in RAM";
    PROCESS_VIRTUAL_MEMORY_BYTES = "process_virtual_memory_bytes" Gauge Process [] "Address space";
    PROCESS_OPEN_FDS = "process_open_fds" Gauge Process [] "Open file descriptors";
    PROCESS_MAX_FDS = "process_max_fds" Gauge Process [] "Most file descriptors that may be open";
    PROCESS_THREADS = "process_threads" Gauge Process [] "Threads";
    PROCESS_START_TIME_SECONDS = "process_start_time_seconds" Gauge Process [] "Start of the process, Unix time";
}

pub mod compat;
pub mod phases;
