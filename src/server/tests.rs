//! Connections over real sockets, with an API table whose requests the test answers by hand.

mod bounds;
mod ends;
mod harness;
mod order;
