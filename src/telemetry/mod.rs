//! What operators see: the program's own words on stderr, metrics and health on the admin port.
//!
//! [`output`] sets up tracing, [`recorder`] the families with closed labels, [`collector`] renders those with topics and
//! partitions from the catalog, with what [`stability`] makes of their offsets, [`admin`] answers HTTP, [`overview`] and [`page`] for
//! people, [`dedup`] what topics remember of their messages. A scrape takes no lock of the write path: it reads atomics, a
//! snapshot of the catalog, a sample of the store's statistics, and who is connected. The page and [`dedup`] copy the list of senders
//! under its lock; only who looks for one id asks the writer. [`turns`] bounds how much of this goes on at once, [`hosts`] by which names
//! browsers are answered.

pub mod admin;
pub mod collector;
pub mod dedup;
pub mod exposition;
pub mod fields;
mod gzip;
pub mod health;
pub mod hosts;
mod name;
pub mod output;
pub mod overview;
pub mod page;
pub mod poll_delay;
mod process;
mod query;
mod questions;
pub mod recorder;
pub mod repetition;
pub mod stability;
mod turns;
