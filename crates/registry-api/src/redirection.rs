//! What changes where clients are sent for the bytes of blobs.

use std::{fmt, sync::Arc};

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use registry_types::Location;

/// Changes where clients are sent for the bytes of a blob: to a content delivery network, or by another name of the store.
pub trait Redirection: fmt::Debug + Send + Sync {
    /// Where a client is sent that would be sent to `url`, which the store has signed or an earlier redirection made; nothing for not
    /// being sent anywhere. Does not wait for anything.
    fn lead(&self, location: &Location, url: Option<String>) -> Option<String>;

    /// Whether it needs no URL that the store has signed. Then the store is not asked for one.
    fn leads_elsewhere(&self) -> bool {
        false
    }
}

/// What changes where clients are sent, in this order.
#[derive(Clone, Debug, Default)]
pub struct Redirections(pub Vec<Arc<dyn Redirection>>);

impl Redirections {
    /// Whether clients are sent somewhere without a URL that the store has signed.
    pub(crate) fn lead_elsewhere(&self) -> bool {
        self.0.iter().any(|redirection| redirection.leads_elsewhere())
    }

    /// Where a client is sent for these bytes, if the store has signed this.
    pub(crate) fn lead(&self, location: &Location, signed: Option<String>) -> Option<String> {
        self.0.iter().fold(signed, |url, redirection| redirection.lead(location, url))
    }
}

/// To a server that has the files of the store: its URL, then the key of the object. The URL is not signed: that server
/// decides which clients may read.
#[derive(Clone, Debug)]
pub struct ToServer {
    /// Without a slash at its end.
    base: String,
}

impl ToServer {
    /// To this URL of a folder.
    pub fn new(base: &str) -> ToServer {
        ToServer { base: base.trim_end_matches('/').to_owned() }
    }
}

impl Redirection for ToServer {
    fn lead(&self, location: &Location, _: Option<String>) -> Option<String> {
        Some(format!("{}/{}", self.base, location.as_str()))
    }

    fn leads_elsewhere(&self) -> bool {
        true
    }
}

/// To the same place by another name: what stands here takes the place of parts of the URL that the store has signed. A signature of S3
/// counts for the host that it was made for, so that what stands under the other name must ask S3 under its own.
#[derive(Clone, Debug, Default)]
pub struct Rewritten {
    /// The scheme.
    pub scheme: Option<Scheme>,
    /// The host, with a port if it has one.
    pub host: Option<Authority>,
    /// What is taken off the beginning of the path.
    pub trim_path_prefix: String,
}

impl Rewritten {
    fn rewrite(&self, url: &str) -> Option<Uri> {
        let mut parts = url.parse::<Uri>().ok()?.into_parts();
        parts.scheme = self.scheme.clone().or(parts.scheme);
        parts.authority = self.host.clone().or(parts.authority);
        let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
        let trimmed = path.strip_prefix(&self.trim_path_prefix).unwrap_or(path);
        let path = format!("{}{trimmed}", if trimmed.starts_with('/') { "" } else { "/" });
        parts.path_and_query = Some(path.parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

impl Redirection for Rewritten {
    fn lead(&self, _: &Location, url: Option<String>) -> Option<String> {
        self.rewrite(&url?).map(|uri| uri.to_string())
    }
}

#[cfg(test)]
mod tests {
    use registry_types::UploadId;

    use super::*;

    #[test]
    fn a_server_of_files_is_asked_for_the_key() {
        let location = Location::of_upload(&UploadId::from_random([0xab; 16]));
        let expected = format!("https://cdn.example/files/{}", location.as_str());
        assert_eq!(ToServer::new("https://cdn.example/files/").lead(&location, None), Some(expected));
    }

    #[test]
    fn parts_of_a_signed_url_are_replaced_and_its_query_stays() {
        let location = Location::of_upload(&UploadId::from_random([0xab; 16]));
        let signed = "http://10.0.0.5:9000/images/store/blobs/ab/x?X-Amz-Signature=ab%2Fc";
        let lead = |rewritten: Rewritten| rewritten.lead(&location, Some(signed.to_owned())).unwrap();
        assert_eq!(lead(Rewritten::default()), signed);
        let all = Rewritten {
            scheme: Some(Scheme::HTTPS),
            host: Some(Authority::from_static("cdn.example:8443")),
            trim_path_prefix: "/images".to_owned(),
        };
        assert_eq!(lead(all), "https://cdn.example:8443/store/blobs/ab/x?X-Amz-Signature=ab%2Fc");
        let other = Rewritten { trim_path_prefix: "/other".to_owned(), ..Rewritten::default() };
        assert_eq!(lead(other), signed);
        assert_eq!(Rewritten::default().lead(&location, None), None);
    }
}
