//! Answers in gzip, for those who say that they take it, as Prometheus does.

use axum::http::{HeaderMap, header};

/// Whether the sender of these headers takes gzip: it is named in `Accept-Encoding`, and not with a weight of 0 (RFC 9110 §12.5.3). Who
/// takes just anything is given what he can read for sure.
pub(super) fn is_taken(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_gzip && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_for_those_who_name_it() {
        for (lists, expected) in [
            (&[][..], false),
            (&["gzip"], true),
            (&["GZIP;q=0.5"], true),
            (&["deflate, gzip ; q=1.0"], true),
            (&["br", "gzip"], true),
            (&["gzip;q=0"], false),
            (&["gzip;q=0.000, identity"], false),
            (&["gzip;q=much"], false),
            (&["identity"], false),
            (&["*"], false),
            (&["gzipped"], false),
        ] {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(list));
            }
            assert_eq!(is_taken(&headers), expected, "{lists:?}");
        }
    }
}
