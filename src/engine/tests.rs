//! The engine's promises, proved on the memory store: nothing here sleeps, order is made by holding the store's sync back.

mod claims;
mod compaction;
mod disk_watch;
mod durability;
mod failure;
mod gated_store;
mod groups;
mod harness;
mod interrupted_ends;
mod isolation;
mod isolation_model;
mod message_ids;
mod message_ids_model;
mod model;
mod mutants;
mod offsets;
mod producers;
mod reads;
mod reclaimer;
mod retention;
mod sequences;
mod simulation;
mod topics;
mod transactional_world;
mod transactions;
mod versions;
