//! What to do about an error that has a usual cause.

use std::io::ErrorKind;

use crate::client::{ClientError, Peer};
use crate::types::ErrorCode;

/// The advice to `error`, ready to follow its sentence; empty where nothing better is known than what the error says itself.
pub(super) fn after(error: &ClientError) -> String {
    advice(error).map(|advice| format!("; {advice}")).unwrap_or_default()
}

/// What to do about `error`.
pub(super) fn advice(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Connect { error, .. } => Some(match error.kind() {
            ErrorKind::ConnectionRefused => {
                "nothing listens there: start the broker, publish its port if it runs in a container, or name the right \
                 host and port (--bootstrap-server, EINMAL_BOOTSTRAP)"
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                "the host does not answer: the address is wrong, or a firewall drops what is sent to it"
            }
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                "there is no way to this host: the address is of another network, such as that of containers"
            }
            _ => {
                "if the name does not resolve, check its spelling; names of containers resolve only within their network"
            }
        }),
        ClientError::NotKafka { peer: Peer::Tls, .. } => Some(
            "this is a listener for TLS, which einmal's commands do not speak: name the port of a PLAINTEXT listener",
        ),
        ClientError::NotKafka { peer: Peer::Http, .. } => {
            Some("this is a web server, perhaps an admin port: name the port of listeners")
        }
        ClientError::NotKafka { peer: Peer::Unknown, .. } => {
            Some("another program listens there: name the port of the broker's listeners")
        }
        ClientError::Silent { .. } => {
            Some("the broker is overloaded, still starting, or no Kafka: see its log, or wait longer (--timeout)")
        }
        ClientError::Broken { api, .. } => match *api {
            "ApiVersions" => Some(
                "a listener for TLS does so, a proxy without a broker behind it, or another program: name the port of a \
                 PLAINTEXT listener",
            ),
            "Metadata" => Some(
                "a listener that asks for SASL does so after ApiVersions, and einmal's commands have no credentials: name a \
                 PLAINTEXT one",
            ),
            _ => Some("the broker's log says why"),
        },
        ClientError::Refused { api, error: ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH, .. } => {
            Some(advice_to_fenced(api))
        }
        ClientError::NoneAnswers(errors) => errors.first().and_then(|(_, error)| advice(error)),
        ClientError::Refused { api: "Fetch", error: ErrorCode::OFFSET_OUT_OF_RANGE, .. } => Some(
            "what was there is deleted: --from-beginning or --offset begins elsewhere, a group is set back by `einmal group reset`",
        ),
        _ => None,
    }
}

/// What a newer epoch of a producer means to who asked with an older one.
fn advice_to_fenced(api: &str) -> &'static str {
    match api {
        "InitProducerId" => {
            "another producer of this transactional id has begun at the same time: `einmal txn describe` shows whether it has a \
             transaction open now; if so, try again"
        }
        "WriteTxnMarkers" => {
            "the producer has begun anew since, which has ended that transaction: `einmal txn producers` shows what is open now"
        }
        _ => {
            "the transaction is aborted, nothing of it is kept: another producer has taken its transactional id over, somebody has \
             aborted it (`einmal txn abort`), or it was open for longer than its timeout of one minute; end the other producer or take \
             another id, then send all of it again"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn usual_errors_say_what_to_do() {
        let connect = |kind| ClientError::Connect { address: "h:1".to_owned(), error: io::Error::from(kind) };
        let broken = |api, kind| ClientError::Broken { api, error: io::Error::from(kind) };
        let fenced = |api| ClientError::Refused { api, error: ErrorCode::PRODUCER_FENCED, message: String::new() };
        let (error, message) = (ErrorCode::OFFSET_OUT_OF_RANGE, String::new());
        let deleted = ClientError::Refused { api: "Fetch", error, message };
        let other = |peer| ClientError::NotKafka { address: ([127, 0, 0, 1], 1).into(), peer };
        for (error, word) in [
            (connect(ErrorKind::ConnectionRefused), "start the broker"),
            (connect(ErrorKind::TimedOut), "firewall"),
            (connect(ErrorKind::Other), "resolve"),
            (other(Peer::Tls), "PLAINTEXT"),
            (other(Peer::Http), "admin port"),
            (broken("ApiVersions", ErrorKind::UnexpectedEof), "TLS"),
            (broken("Metadata", ErrorKind::UnexpectedEof), "SASL"),
            (fenced("EndTxn"), "nothing of it is kept"),
            (fenced("InitProducerId"), "try again"),
            (fenced("WriteTxnMarkers"), "begun anew"),
            (
                ClientError::Silent {
                    address: ([127, 0, 0, 1], 1).into(),
                    api: "Metadata",
                    patience: std::time::Duration::from_secs(30),
                },
                "--timeout",
            ),
            (deleted, "einmal group reset"),
        ] {
            let said = after(&error);
            assert!(said.starts_with("; ") && said.contains(word), "{error}: {said}");
        }
        assert_eq!(after(&ClientError::NoTopic("t".to_owned())), "");
    }
}
