//! The query of a request to the admin port.

use super::name::shown;

/// Values that one query may have.
const VALUES_MAX: usize = 32;

/// Names with their values, in their order. Values are bytes: ids of messages need not be text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Reads `name=value&…`, of which only `names` may occur.
    pub fn read(query: Option<&str>, names: &[&str]) -> Result<Self, String> {
        let mut read = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !names.contains(&name) {
                return Err(format!("{:?} is none of {}", shown(name), names.join(", ")));
            }
            if read.len() == VALUES_MAX {
                return Err(format!("a query has {VALUES_MAX} values at most"));
            }
            let value =
                plain(value).ok_or_else(|| format!("the value of {name} has a % without two digits behind it"))?;
            read.push((name.to_owned(), value));
        }
        Ok(Self(read))
    }

    /// The values of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_slice())
    }

    /// The first value of a name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_slice())
    }

    /// The same, which has to be text.
    pub fn text(&self, name: &str) -> Result<Option<&str>, String> {
        let value = self.first(name).map(std::str::from_utf8).transpose();
        value.map_err(|_| format!("the value of {name} is not UTF-8"))
    }
}

/// A value without its `%` and `+`; none where digits are missing.
fn plain(value: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            byte => byte,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::admin::quoted;

    #[test]
    fn a_value_comes_back_from_a_query() {
        for text in ["", "orders.v-1_~", "a b+c&d=e%f#\"<é", "\u{0}"] {
            let query = Query::read(Some(&format!("x={}", quoted(text.as_bytes()))), &["x"]).expect("good");
            assert_eq!(query.text("x"), Ok(Some(text)));
        }
    }

    #[test]
    fn values_are_any_bytes_and_names_are_known() {
        let query = Query::read(Some("topic=a%2Fb&id=x+y&id=%00%fF&&id"), &["topic", "id"]).expect("good");
        assert_eq!(query.text("topic"), Ok(Some("a/b")));
        assert_eq!(query.all("id").collect::<Vec<_>>(), [&b"x y"[..], &[0, 255], b""]);
        assert_eq!(query.first("other"), None);
        assert_eq!(Query::read(None, &[]), Ok(Query::default()));
        for bad in ["id=%", "id=%1", "id=%xy", "id=%é", "other=1", "%69d=1"] {
            assert!(Query::read(Some(bad), &["id"]).is_err(), "{bad}");
        }
        assert!(Query::read(Some("id=%ff"), &["id"]).expect("good").text("id").is_err());
        assert!(Query::read(Some(&"id=&".repeat(33)), &["id"]).is_err());
        let told = Query::read(Some(&"x".repeat(60_000)), &["id"]).expect_err("no such name");
        assert!(told.len() < 300, "{told}");
    }
}
