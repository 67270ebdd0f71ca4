//! The command line of `einmal bench`, in Kafka's words.

use clap::{Args, Subcommand, ValueEnum};

use super::limits::Options as Limits;
use super::schedule::Arrival;
use crate::client::bootstrap;
use crate::record::codec::Codec;

/// Measures a broker, einmal or any Kafka.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Send records, and measure the time until they are acknowledged
    Produce(Produce),
    /// Read records as fast as the broker gives them
    Consume(Consume),
    /// Send records and read them at the same time, and measure the time from one to the other
    E2e(EndToEnd),
    /// Measure what this machine can do at best: memory, checksums, loopback, page cache, disk
    Limits(Limits),
    /// Open many connections and hold them
    Connections(Connections),
    /// Join consumer groups with many members, and measure how fast they rebalance and commit
    Groups(Groups),
    /// Run transactions, one after the other in each of several producers, and measure how fast they are committed
    Transactions(Transactions),
    /// Serve fixed answers: what a run against it costs is the client's own cost
    NullServer(NullServer),
}

/// Where and what.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Where the broker listens, host:port, or several with commas: the first that answers; else EINMAL_BOOTSTRAP, else localhost:9092. Only it is talked to
    #[arg(long, visible_alias = "bootstrap", value_name = "HOST:PORT", default_value_t = bootstrap(None))]
    pub bootstrap_server: String,
    /// Topic to write to and read from
    #[arg(long, default_value = "einmal-bench")]
    pub topic: String,
    /// Write the result to a file as JSON; - for stdout
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,
    /// Read back or decode everything: counts, offsets without gaps, checksums
    #[arg(long)]
    pub verify: bool,
}

/// What is sent, and how.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// Create the topic with this many partitions where it is missing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub create_partitions: Option<i32>,
    /// Setting of the topic when it is created, as often as needed
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub topic_config: Vec<(String, String)>,
    /// Bytes of each record's value
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    pub record_size: u32,
    /// Records in each batch
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub records_per_batch: u32,
    /// Compression of the batches
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub compression: Compression,
    /// Header of each record with a random UUID as text, another one in every record. Not with --compression
    #[arg(long, value_name = "NAME")]
    pub id_header: Option<String>,
    /// When the broker is to answer: all, 1 or 0
    #[arg(long, value_enum, default_value_t = Acks::All)]
    pub acks: Acks,
    /// Send as idempotent producers, one per connection
    #[arg(long)]
    pub idempotent: bool,
    /// Records a second, sent when they are due whether or not the broker keeps up (open loop). 0: as fast as --in-flight
    /// allows (closed loop)
    #[arg(long, value_name = "RECORDS_PER_S", default_value_t = 0.0, value_parser = rate)]
    pub rate: f64,
    /// How requests are spread over time
    #[arg(long, value_enum, default_value_t = Arrival::Constant)]
    pub arrival: Arrival,
    /// Seed of arrivals and payload
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Seconds to measure, after the warm-up. Default 10, unless --records is given
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<f64>,
    /// Records to send instead, rounded up to whole requests
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warm_up"])]
    pub records: Option<u64>,
    /// Seconds to send before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = rate)]
    pub warm_up: f64,
    /// Connections that send
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// Requests in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub in_flight: u32,
    /// Partitions in each request, one batch for each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub partitions_per_request: u32,
    /// Time for an answer; a request without one is counted with this time (request.timeout.ms)
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..=3_600_000))]
    pub request_timeout_ms: u32,
}

/// How records are read.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    /// Whether records of open and aborted transactions are read (isolation.level)
    #[arg(long, value_enum, default_value_t = Isolation::ReadUncommitted)]
    pub isolation_level: Isolation,
    /// Longest wait of the broker for something to read (fetch.max.wait.ms)
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(i32).range(0..))]
    pub fetch_max_wait_ms: i32,
    /// Bytes that the broker waits for (fetch.min.bytes)
    #[arg(long, value_name = "BYTES", default_value_t = 1, value_parser = clap::value_parser!(i32).range(0..))]
    pub fetch_min_bytes: i32,
    /// Largest answer (fetch.max.bytes)
    #[arg(long, value_name = "BYTES", default_value_t = 50 << 20, value_parser = clap::value_parser!(i32).range(1..=128 << 20))]
    pub fetch_max_bytes: i32,
    /// Largest part of an answer for one partition (max.partition.fetch.bytes)
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(i32).range(1..=128 << 20))]
    pub max_partition_fetch_bytes: i32,
}

/// `einmal bench produce`
#[derive(Debug, Clone, Args)]
pub struct Produce {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub load: Load,
}

/// `einmal bench consume`
#[derive(Debug, Clone, Args)]
pub struct Consume {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,
    /// Where to begin
    #[arg(long, value_enum, default_value_t = From::Earliest)]
    pub from: From,
    /// Connections that share the partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// Seconds to read. Default: until what was there at the start is read
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<f64>,
    /// Records to read at least
    #[arg(long, value_name = "N")]
    pub records: Option<u64>,
}

/// `einmal bench e2e`
#[derive(Debug, Clone, Args)]
pub struct EndToEnd {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub load: Load,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,
    /// Consumers, each of which reads everything
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub consumers: u32,
}

/// `einmal bench connections`
#[derive(Debug, Clone, Args)]
pub struct Connections {
    /// Where the broker listens, host:port, or several with commas: the first that answers; else EINMAL_BOOTSTRAP, else localhost:9092
    #[arg(long, visible_alias = "bootstrap", value_name = "HOST:PORT", default_value_t = bootstrap(None))]
    pub bootstrap_server: String,
    /// Connections to open
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub count: u32,
    /// ApiVersions requests a second on each connection, once all are open
    #[arg(long, value_name = "REQUESTS_PER_S", default_value_t = 0.0, value_parser = rate)]
    pub rate_per_connection: f64,
    /// Seconds to hold them once all are open. Default: until killed
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<f64>,
    /// Spread over this many loopback addresses from 127.0.0.1 on, for limits per address and more than 28,000 connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=250))]
    pub source_addresses: u8,
    /// Write the result to a file as JSON; - for stdout
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,
}

/// `einmal bench groups`
#[derive(Debug, Clone, Args)]
pub struct Groups {
    /// Where the broker listens, host:port, or several with commas: the first that answers; else EINMAL_BOOTSTRAP, else localhost:9092
    #[arg(long, visible_alias = "bootstrap", value_name = "HOST:PORT", default_value_t = bootstrap(None))]
    pub bootstrap_server: String,
    /// Topic that members subscribe to and commit offsets of
    #[arg(long, default_value = "einmal-bench")]
    pub topic: String,
    /// Create the topic with this many partitions where it is missing
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..))]
    pub create_partitions: i32,
    /// How the ids of the groups begin. Default: a name that no other run has, whose members may still be there
    #[arg(long)]
    pub group: Option<String>,
    /// Groups
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub groups: u32,
    /// Members of each group, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub members: u32,
    /// Time between heartbeats of a member (heartbeat.interval.ms)
    #[arg(long, value_name = "MS", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub heartbeat_interval_ms: u32,
    /// One member of the first group leaves once all are stable
    #[arg(long)]
    pub lose: bool,
    /// Restart this many members of the first group in turn
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub restarts: u32,
    /// While the groups are held, each member commits as fast as it is answered
    #[arg(long)]
    pub commit: bool,
    /// Seconds to hold the groups at the end
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<f64>,
    /// Write the result to a file as JSON; - for stdout
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,
}

/// `einmal bench transactions`
#[derive(Debug, Clone, Args)]
pub struct Transactions {
    /// Where the broker listens, host:port, or several with commas: the first that answers; else EINMAL_BOOTSTRAP, else localhost:9092. It must serve transactions of version 2 (KIP-890)
    #[arg(long, visible_alias = "bootstrap", value_name = "HOST:PORT", default_value_t = bootstrap(None))]
    pub bootstrap_server: String,
    /// Topic to write to
    #[arg(long, default_value = "einmal-bench")]
    pub topic: String,
    /// Create the topic with this many partitions where it is missing
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..))]
    pub create_partitions: i32,
    /// Transactional producers, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub producers: u32,
    /// How their transactional ids begin
    #[arg(long, default_value = "einmal-bench")]
    pub transactional_id: String,
    /// Partitions that each transaction writes to, one batch for each, all in one request
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub partitions_per_transaction: u32,
    /// Bytes of each record's value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    pub record_size: u32,
    /// Records in each batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub records_per_batch: u32,
    /// Transactions a second of all producers, begun when they are due. 0: as fast as they are committed
    #[arg(long, value_name = "TRANSACTIONS_PER_S", default_value_t = 0.0, value_parser = rate)]
    pub rate: f64,
    /// Seconds to measure, after the warm-up
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub duration: f64,
    /// Seconds before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = rate)]
    pub warm_up: f64,
    /// Write the result to a file as JSON; - for stdout
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,
}

/// `einmal bench null-server`
#[derive(Debug, Clone, Args)]
pub struct NullServer {
    /// Where to listen
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// Partitions of each topic
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// Bytes of each record of a fetch's answer
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    pub record_size: u32,
    /// Records in the one batch that a fetch gives of each partition
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub records_per_batch: u32,
}

/// Compression of the sent batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Compression {
    None,
    Lz4,
    Zstd,
}

impl Compression {
    pub(super) fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd => Codec::Zstd,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// When a produce is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Acks {
    /// Never.
    #[value(name = "0")]
    None,
    /// By the leader.
    #[value(name = "1")]
    Leader,
    /// By all replicas in sync.
    #[value(name = "all", alias = "-1")]
    All,
}

impl Acks {
    pub(super) fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Leader => "1",
            Self::All => "all",
        }
    }
}

/// Which records are read (`isolation.level`), in Kafka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Isolation {
    #[value(name = "read_uncommitted")]
    ReadUncommitted,
    #[value(name = "read_committed")]
    ReadCommitted,
}

/// Where a consumer begins (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum From {
    Earliest,
    Latest,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, e.g. flush.messages=1")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// A number of at least 0.
fn rate(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1e9).contains(&number) { Ok(number) } else { Err("not between 0 and 1000000000".to_owned()) }
}

/// A number above 0.
fn seconds(text: &str) -> Result<f64, String> {
    rate(text).and_then(|number| if number > 0.0 { Ok(number) } else { Err("not above 0".to_owned()) })
}
