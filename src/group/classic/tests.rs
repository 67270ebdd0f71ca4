//! The machine by itself: a table of states and requests, and what single rules say.

mod harness;
mod members;
mod reasons;
mod restart;
mod schedule;
mod table;
mod timeouts;
