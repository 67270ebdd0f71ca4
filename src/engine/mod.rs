//! The single writer: commands in, one write per group of them, answers out.
pub mod command;
/// Handle to the engine.
#[derive(Clone)]
pub struct Engine {}
