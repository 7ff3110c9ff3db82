//! A request's query string, decoded once.

/// The most parameters that are looked at; what follows is ignored.
pub(crate) const PARAMETERS_MAX: usize = 256;

/// The decoded parameters in the order they were sent.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `a=b&c=d`. A parameter that is not UTF-8 once decoded is left out.
    pub(crate) fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(PARAMETERS_MAX);
        Query(
            pairs
                .filter_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((decode_form(key)?, decode_form(value)?))
                })
                .collect(),
        )
    }

    /// The first value of a parameter.
    pub(crate) fn first(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// Decodes `%41` and, as forms have it, `+`. A digest never holds a `+`, so nothing is lost.
fn decode_form(text: &str) -> Option<String> {
    decode_percent(&text.replace('+', " "))
}

/// Decodes `%41`; nothing if the result is not UTF-8. A `%` that begins no escape stands for itself.
pub(crate) fn decode_percent(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex_value(*high) << 4 | hex_value(*low));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// Encodes everything but unreserved characters, `/` and `:`, for a path or query that we write ourselves.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("tag=1.0&tag=latest&artifactType=application%2Fx+y&empty&bad=%ff");
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["1.0", "latest"]);
        assert_eq!(query.first("artifactType"), Some("application/x y"));
        assert_eq!(query.first("empty"), Some(""));
        assert_eq!(query.first("bad"), None);
    }

    #[test]
    fn a_lone_percent_stands_for_itself() {
        assert_eq!(decode_percent("100%").as_deref(), Some("100%"));
        assert_eq!(decode_percent("%zz%41").as_deref(), Some("%zzA"));
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        let text = "application/vnd.x+json; a=b é";
        assert_eq!(decode_percent(&encode(text)).as_deref(), Some(text));
    }
}
