//! `NAME=VALUE` on the command line.

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Setting {
    pub(in crate::cli) name: String,
    pub(in crate::cli) value: String,
}

/// Takes the text apart at its first `=`.
pub(in crate::cli) fn parse(text: &str) -> Result<Setting, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok(Setting { name: name.trim().to_owned(), value: value.to_owned() })
        }
        _ => Err("write it as NAME=VALUE, e.g. retention.ms=3600000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_equals_sign_parts_name_and_value() {
        let setting = |name: &str, value: &str| Ok(Setting { name: name.to_owned(), value: value.to_owned() });
        assert_eq!(parse("retention.ms=1"), setting("retention.ms", "1"));
        assert_eq!(parse(" a = b=c"), setting("a", " b=c"));
        assert_eq!(parse("a="), setting("a", ""));
        assert!(parse("a").is_err() && parse("=b").is_err());
    }
}
