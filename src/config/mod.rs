//! Stub.
/// Broker settings in force.
#[derive(Debug)]
pub struct Config {}
/// Topic settings in force.
#[derive(Debug, Clone)]
pub struct TopicConfig {}
