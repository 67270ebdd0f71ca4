//! What operators see: the program's own words on stderr, metrics and health on the admin port.
//!
//! [`output`] sets up tracing, [`recorder`] the families with closed labels, [`collector`] renders those with topics and
//! partitions from the catalog, with what [`stability`] makes of their offsets, [`admin`] answers HTTP, [`overview`] and [`page`] for
//! people, [`dedup`] what topics remember of their messages. Nothing here takes a lock of the write path: a scrape reads atomics,
//! a snapshot of the catalog and a sample of the store's statistics.

pub mod admin;
pub mod collector;
pub mod dedup;
pub mod exposition;
pub mod fields;
pub mod health;
pub mod output;
pub mod overview;
pub mod page;
pub mod poll_delay;
mod process;
mod query;
pub mod recorder;
pub mod repetition;
pub mod stability;
