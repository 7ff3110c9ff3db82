//! `Link` headers. Spec: distribution-spec, "Listing Tags"; RFC 8288.

use http::{HeaderMap, header};

use crate::{query::encode, response::set};

/// `Link: </path?a=b&c=d>; rel="next"`.
pub(crate) fn link_to_next(headers: &mut HeaderMap, path: &str, parameters: &[(&str, &str)]) {
    let query: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    set(headers, header::LINK, format!("<{path}?{}>; rel=\"next\"", query.join("&")));
}
