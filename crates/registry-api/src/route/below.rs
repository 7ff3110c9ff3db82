//! The endpoints below a repository: what the parts of a path and a query are.

use http::Method;
use registry_digest::{Algorithm, ParseDigestError};
use registry_types::{Reference, RepositoryName};

use super::{PUSH_TAGS_MAX, Page, Route, RouteError, StartUpload};
use crate::query::{Query, decode_percent};

impl Page {
    pub(super) fn parse(query: &Query) -> Result<Page, RouteError> {
        let n = match query.first("n") {
            None | Some("") => None,
            // More digits than fit are a wish for everything: the server's own limit answers it.
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(text.parse().unwrap_or(usize::MAX))
            }
            Some(text) => return Err(RouteError::PageSize { n: shorten(text) }),
        };
        Ok(Page { n, last: query.first("last").filter(|last| !last.is_empty()).map(str::to_owned) })
    }
}

/// An endpoint below a repository; `path` is what follows `/v2/`.
pub(super) fn in_repository(method: &Method, path: &str, query: &Query) -> Result<Route, RouteError> {
    let (before, last) = path.rsplit_once('/').ok_or_else(|| unknown(path))?;
    if before.contains('%') {
        return Err(RouteError::Escaped);
    }
    let last = decode_percent(last).ok_or_else(|| unknown(path))?;
    let last = last.as_str();
    let mut from_right = before.rsplitn(3, '/');
    let (second, third) = (from_right.next().unwrap_or_default(), from_right.next());
    let name = |suffix: &str| before.strip_suffix(suffix).unwrap_or_default().parse::<RepositoryName>();

    match (third, second, last) {
        (Some("blobs"), "uploads", "") => start_upload(method, name("/blobs/uploads")?, query),
        (_, "blobs", "uploads") => start_upload(method, name("/blobs")?, query),
        (Some("blobs"), "uploads", id) => upload(method, name("/blobs/uploads")?, id, query),
        (_, "blobs", digest) => blob(method, name("/blobs")?, digest),
        (_, "manifests", reference) => manifest(method, name("/manifests")?, reference, query),
        (_, "tags", "list") => {
            allow(method, "GET, HEAD", &[Method::GET])?;
            Ok(Route::Tags { repository: name("/tags")?, page: Page::parse(query)? })
        }
        (_, "referrers", digest) => {
            allow(method, "GET, HEAD", &[Method::GET])?;
            referrers(name("/referrers")?, digest, query)
        }
        _ => Err(unknown(path)),
    }
}

fn start_upload(method: &Method, repository: RepositoryName, query: &Query) -> Result<Route, RouteError> {
    allow(method, "POST", &[Method::POST])?;
    let start = if let Some(mount) = query.first("mount") {
        match mount.parse() {
            Ok(digest) => {
                StartUpload::Mount { digest, from: query.first("from").and_then(|from| from.parse().ok()) }
            }
            // Nothing here can have such a digest: the same answer as for any other blob that is not here.
            Err(ParseDigestError::UnsupportedAlgorithm { .. }) => {
                StartUpload::Session { algorithm: Algorithm::default() }
            }
            Err(error) => return Err(error.into()),
        }
    } else if let Some(digest) = query.first("digest") {
        StartUpload::Whole { digest: digest.parse()? }
    } else {
        let algorithm = query.first("digest-algorithm").map(str::parse).transpose()?.unwrap_or_default();
        StartUpload::Session { algorithm }
    };
    Ok(Route::StartUpload { repository, start })
}

fn upload(method: &Method, repository: RepositoryName, id: &str, query: &Query) -> Result<Route, RouteError> {
    let method = allow(
        method,
        "GET, HEAD, PATCH, PUT, DELETE",
        &[Method::GET, Method::PATCH, Method::PUT, Method::DELETE],
    )?;
    let id = id.parse().map_err(|_| RouteError::Upload { id: shorten(id) })?;
    Ok(match *method {
        Method::PATCH => Route::AppendUpload { repository, id },
        Method::PUT => {
            let digest = query.first("digest").ok_or(RouteError::DigestMissing)?.parse()?;
            Route::FinishUpload { repository, id, digest }
        }
        Method::DELETE => Route::CancelUpload { repository, id },
        _ => Route::UploadStatus { repository, id },
    })
}

fn blob(method: &Method, repository: RepositoryName, digest: &str) -> Result<Route, RouteError> {
    let method = allow(method, "GET, HEAD, DELETE", &[Method::GET, Method::DELETE])?;
    let digest = digest.parse()?;
    Ok(match *method {
        Method::DELETE => Route::DeleteBlob { repository, digest },
        _ => Route::GetBlob { repository, digest },
    })
}

fn manifest(
    method: &Method,
    repository: RepositoryName,
    reference: &str,
    query: &Query,
) -> Result<Route, RouteError> {
    let method = allow(method, "GET, HEAD, PUT, DELETE", &[Method::GET, Method::PUT, Method::DELETE])?;
    let reference: Reference = reference.parse()?;
    Ok(match *method {
        Method::DELETE => Route::DeleteManifest { repository, reference },
        Method::PUT => {
            let tags = match &reference {
                Reference::Digest(_) => query.all("tag").map(str::parse).collect::<Result<Vec<_>, _>>()?,
                Reference::Tag(_) => Vec::new(),
            };
            if tags.len() > PUSH_TAGS_MAX {
                return Err(RouteError::TooManyTags);
            }
            Route::PutManifest { repository, reference, tags }
        }
        _ => Route::GetManifest { repository, reference },
    })
}

fn referrers(repository: RepositoryName, subject: &str, query: &Query) -> Result<Route, RouteError> {
    Ok(Route::Referrers {
        repository,
        subject: subject.parse()?,
        artifact_type: query.first("artifactType").filter(|kind| !kind.is_empty()).map(str::to_owned),
        last: query.first("last").map(str::parse).transpose()?,
    })
}

/// The method, `HEAD` taken as `GET`, if it is among `methods`.
pub(super) fn allow<'a>(
    method: &Method,
    allow: &'static str,
    methods: &'a [Method],
) -> Result<&'a Method, RouteError> {
    let effective = if method == Method::HEAD { &Method::GET } else { method };
    methods.iter().find(|known| *known == effective).ok_or(RouteError::Method { allow })
}

pub(super) fn unknown(path: &str) -> RouteError {
    RouteError::Unknown { path: shorten(path) }
}

/// What is repeated to the client of its own input is cut to a readable length.
fn shorten(text: &str) -> String {
    const READABLE_CHARS_MAX: usize = 128;
    text.chars().take(READABLE_CHARS_MAX).collect()
}
