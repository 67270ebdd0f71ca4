//! Who brings a batch.

/// Who brings a batch, as far as its topic wants to know. Others do not ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// What the client calls itself in the header of its request; empty if it does not say.
    pub client_id: Box<str>,
    /// Who it is, as the broker has found out: type and name as in Kafka's `KafkaPrincipal`.
    pub principal: Box<str>,
}

impl Sender {
    /// Everybody, until clients say who they are and prove it (`KafkaPrincipal.ANONYMOUS`).
    pub const ANONYMOUS: &str = "User:ANONYMOUS";

    /// A client that has not proved who it is.
    pub fn anonymous(client_id: &str) -> Self {
        Self { client_id: client_id.into(), principal: Self::ANONYMOUS.into() }
    }
}
