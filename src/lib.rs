//! einmal is a Kafka wire-protocol broker in one process, with its log in RocksDB.
//!
//! Stock Kafka clients use it unchanged. Because one process owns every partition, one write to the store holds a batch of
//! records *and* everything that makes it count exactly once: the producer's sequence, the transaction's outcome and the
//! consumer's offset. What Kafka spreads over several logs and recovers by protocol is committed here in one piece.
//!
//! # How a change happens
//!
//! Everything that changes state has the same four steps:
//!
//! 1. **Decide.** A pure function looks at state, time and a command, and returns rows to write and an answer to give.
//! 2. **Commit.** The rows of all commands that arrived meanwhile go into one write of the store, which is synced before the
//!    next step if somebody asked for that.
//! 3. **Publish.** High watermark and last stable offset move; long polls that wait for them wake.
//! 4. **Answer.** Only now does any client hear of it.
//!
//! A commit that fails ends the process: nothing was published, nothing answered, and what is on disk is a prefix of what was
//! decided. There is no code to roll back, because there is nothing to roll back to.
//!
//! # Code map
//!
//! In reading order, which is also the direction of dependencies: a module uses those above it in this list.
//!
//! | Module | Holds |
//! |---|---|
//! | [`types`] | words that all share: partitions, offsets, producers, error codes |
//! | [`metrics`] | the catalogue of metrics |
//! | [`spelling`] | the known name that a misspelt one stands for |
//! | [`config`] | the one table of settings, and how sources are laid over each other |
//! | [`wire`] | frames, headers, bodies; pure |
//! | [`record`] | record batches: header view, validation, codecs; pure |
//! | [`producer`] | what a partition knows of each idempotent producer; pure |
//! | [`transaction`] | states of transactions, and who may move them; pure |
//! | [`group`] | who is a member of a group, in which generation; pure |
//! | [`dedup`] | which messages are sent again, by their ids; pure |
//! | [`store`] | rows in RocksDB, or in memory for tests |
//! | [`log`] | what readers see: topics, offsets, newest batches |
//! | [`engine`] | the single writer |
//! | [`coordinator`] | drives groups: time, parked requests, what is stored of them |
//! | [`api`] | one handler per API, and the table of them |
//! | [`server`] | listeners and connections |
//! | [`telemetry`] | tracing, metrics and health as operators see them |
//! | [`app`] | one broker from start to stop |
//! | [`client`] | asks any broker, blocking; uses [`types`] alone |
//! | [`bench`](mod@bench) | measures any broker from a client's side; uses [`client`], [`record`] and [`types`] alone |
//! | [`cli`] | what people do with any cluster from the command line; uses [`client`], [`record`], [`spelling`] and [`types`] alone |
//! | [`verify`] | finds damage in a data directory that no broker uses |
//!
//! Outside the library: `bench/` runs [`bench`](mod@bench) against einmal and Apache Kafka in turn and writes the pages under
//! `bench/results/`; `benches/` counts the instructions of the hot paths for the gate.
//!
//! A produced batch comes in through [`server`], is decoded by [`wire`] and checked by [`record`] on its connection's task,
//! handed by [`api`] to [`engine`], which asks [`producer`], writes to [`store`] and publishes to [`log`]. A fetch goes from
//! [`api`] to [`log`], and on to [`store`] only for what is not in memory.
//!
//! # Invariants
//!
//! 1. Nothing is answered before the write that contains it is committed at the durability it asked for.
//! 2. Log start ≤ last stable offset ≤ high watermark ≤ log end, always.
//! 3. A batch is stored byte for byte as received, except base offset and leader epoch (and, for LogAppendTime, the timestamp
//!    fields and the CRC over them). In topics that recognise repeated messages, a batch of which some were sent before is stored
//!    without them, every other record at the offset that it would have had; in topics with a `compression.type` of their own, the
//!    records of a batch are stored with that codec, each record byte for byte as received.
//! 4. A producer's sequence and the batch that advances it are in the same write.
//! 5. A transaction's markers, offsets and state are in the same write.
//! 6. State changes in one place, and recovery uses the same code.
//! 7. Responses leave a connection in the order in which its requests arrived.
//! 8. Everything a peer can make grow has a limit with a name in the configuration.
//! 9. Bytes from the network never panic, abort or hang the process.
//! 10. An API exists exactly when it is in [`api::APIS`], and an advertised version is an implemented one.
//! 11. After a failed commit nothing more is written; the process ends with a clear message.
//! 12. Group generation, members and offsets survive a restart; a restart shorter than the session timeout causes no
//!     rebalance.
//! 13. Producer ids are drawn from a random high block range, so that they never collide with those of a Kafka cluster taken
//!     into use later.
//! 14. Offsets that a transaction will commit are pending under an open or prepared transaction, and under no other.
#![warn(missing_docs)]

pub mod types;

pub mod metrics;

pub mod spelling;

pub mod config;

pub mod wire;

pub mod record;

pub mod producer;

pub mod transaction;

pub mod group;

pub mod dedup;

pub mod store;

pub mod log;

pub mod engine;

pub mod coordinator;

pub mod api;

pub mod server;

pub mod telemetry;

pub mod app;

pub mod client;

pub mod bench;

pub mod cli;

pub mod verify;
