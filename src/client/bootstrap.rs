//! Where a cluster is, as people and Kafka's tools write it: `host:port`, several of them with commas.

use std::time::Duration;

use super::{ClientError, Connection, host_and_port};

/// Where a broker is, `host:port`, or several with commas: as given, else as the environment says, else on this machine.
pub fn bootstrap(given: Option<&str>) -> String {
    let given = given.map(str::to_owned).or_else(|| std::env::var("EINMAL_BOOTSTRAP").ok());
    given.unwrap_or_else(|| "localhost:9092".to_owned())
}

/// An address that cannot be one of a broker, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address of a broker: {advice}")]
pub struct BadAddress {
    text: String,
    advice: String,
}

/// The addresses in `text`, each as `host:port`.
///
/// # Errors
/// [`BadAddress`] of the first that is none; also where there is none at all.
pub fn addresses(text: &str) -> Result<Vec<String>, BadAddress> {
    let named = text.split(',').map(str::trim).filter(|address| !address.is_empty());
    let addresses = named.map(address).collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() {
        return Err(BadAddress { text: text.to_owned(), advice: "write HOST:PORT, e.g. localhost:9092".to_owned() });
    }
    Ok(addresses)
}

fn address(text: &str) -> Result<String, BadAddress> {
    let bad = |advice: String| BadAddress { text: text.to_owned(), advice };
    let place = match text.split_once("://") {
        None => text,
        // As in `listeners`, and as Kafka's tools take it.
        Some((scheme, place)) if scheme.eq_ignore_ascii_case("PLAINTEXT") => place,
        Some((scheme, place)) => {
            let place = place.trim_end_matches('/');
            return Err(bad(match scheme.to_ascii_uppercase().as_str() {
                "HTTP" | "HTTPS" => {
                    "Kafka's protocol is no HTTP: write HOST:PORT of a listener, e.g. localhost:9092 (9644 is the \
                                     admin port, for --admin)"
                        .to_owned()
                }
                "SSL" | "SASL_SSL" | "SASL_PLAINTEXT" => format!(
                    "einmal's commands speak neither TLS nor SASL: write HOST:PORT of a PLAINTEXT listener instead of {place}"
                ),
                _ => format!(
                    "write it without {scheme}://, e.g. {}",
                    if place.is_empty() { "localhost:9092" } else { place }
                ),
            }));
        }
    };
    let (host, port) = place.rsplit_once(':').ok_or_else(|| {
        bad(format!(
            "its port is missing: write HOST:PORT, e.g. {}:9092",
            if place.is_empty() { "localhost" } else { place }
        ))
    })?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse::<u16>().ok().filter(|port| *port > 0);
    match (host, port) {
        ("", _) => Err(bad("its host is missing: write HOST:PORT, e.g. localhost:9092".to_owned())),
        (_, None) => Err(bad("what follows the last : is no port: write HOST:PORT, e.g. localhost:9092".to_owned())),
        (host, Some(port)) => Ok(host_and_port(host, port.into())),
    }
}

/// Connects to the first of `bootstrap` (as [`addresses`] takes them) that answers. Each has its share of `patience`, so that one that is
/// silent leaves the others theirs.
///
/// # Errors
/// [`ClientError::Address`]; or why the only one does not answer; or [`ClientError::NoneAnswers`].
pub fn open_any(bootstrap: &str, client_id: &'static str, patience: Duration) -> Result<Connection, ClientError> {
    let addresses = addresses(bootstrap)?;
    let share = patience / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let share = share.max(Duration::from_millis(1));
    let mut errors = Vec::new();
    for address in &addresses {
        match Connection::open(address, client_id, share) {
            Ok(connection) => return Ok(connection),
            Err(error) => errors.push((address.clone(), error)),
        }
    }
    match errors.pop() {
        Some((_, error)) if errors.is_empty() => Err(error),
        last => Err(ClientError::NoneAnswers(errors.into_iter().chain(last).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_brokers_are_named_with_commas() {
        for (text, expected) in [
            ("a:9092", &["a:9092"][..]),
            ("a:9092,b:9093", &["a:9092", "b:9093"]),
            (" a:1 , b:2, ", &["a:1", "b:2"]),
            ("PLAINTEXT://a:9092,plaintext://b:1", &["a:9092", "b:1"]),
            ("[::1]:9092", &["[::1]:9092"]),
            ("::1:9092", &["[::1]:9092"]),
            ("127.0.0.1:65535", &["127.0.0.1:65535"]),
        ] {
            assert_eq!(
                addresses(text).as_deref(),
                Ok(&expected.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_says_what_to_write() {
        for (text, word) in [
            ("http://localhost:9092", "no HTTP"),
            ("https://a/", "no HTTP"),
            ("SSL://a:9093", "neither TLS nor SASL"),
            ("sasl_ssl://a:9093", "neither TLS nor SASL"),
            ("kafka://a:9092", "without kafka://, e.g. a:9092"),
            ("tcp://", "e.g. localhost:9092"),
            ("a", "port is missing: write HOST:PORT, e.g. a:9092"),
            ("a:9092,b", "e.g. b:9092"),
            (":9092", "host is missing"),
            ("a:", "no port"),
            ("a:0", "no port"),
            ("a:65536", "no port"),
            ("a:9092/", "no port"),
            ("", "write HOST:PORT"),
            (" , ", "write HOST:PORT"),
        ] {
            let said = addresses(text).expect_err(text).to_string();
            assert!(said.contains(word), "{text}: {said}");
        }
    }
}
