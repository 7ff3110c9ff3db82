//! From method and URI to a [`Route`]: a pure function, no I/O, no state.
//!
//! The path is read from the right, because a repository name may itself contain `blobs` or `tags` as a component.

mod below;

use http::{Method, Uri};
use registry_auth::{Access, Action, ActionSet};
use registry_digest::{Algorithm, Digest, ParseDigestError};
use registry_types::{
    ParseNameError, ParseReferenceError, ParseTagError, Reference, RepositoryName, Tag, UploadId,
};

use self::below::{allow, in_repository, unknown};
use crate::query::Query;

/// The most `tag` parameters on one push by digest. Spec: at least 10 should work. Each is a header of the answer, of which
/// some clients take no more than a hundred.
pub const PUSH_TAGS_MAX: usize = 64;

/// One endpoint, with everything that its path and query say.
///
/// Spec: distribution-spec main, "Endpoints"; the names in the comments are its table's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// `/`: says that the server lives, to load balancers, and what it is, to people.
    Alive,
    /// `/v2/` (end-1).
    Version,
    /// `/v2/_catalog`: Docker's list of repositories.
    Catalog {
        /// Which page.
        page: Page,
    },
    /// `/v2/<name>/tags/list` (end-8a, end-8b).
    Tags {
        /// Whose tags.
        repository: RepositoryName,
        /// Which page.
        page: Page,
    },
    /// `GET`, `HEAD /v2/<name>/manifests/<reference>` (end-3).
    GetManifest {
        /// Where.
        repository: RepositoryName,
        /// By tag or by digest.
        reference: Reference,
    },
    /// `PUT /v2/<name>/manifests/<reference>` (end-7a, end-7b).
    PutManifest {
        /// Where.
        repository: RepositoryName,
        /// By tag or by digest.
        reference: Reference,
        /// Further tags, of a push by digest (`?tag=`).
        tags: Vec<Tag>,
    },
    /// `DELETE /v2/<name>/manifests/<reference>` (end-9).
    DeleteManifest {
        /// Where.
        repository: RepositoryName,
        /// A tag alone, or a manifest with all its tags.
        reference: Reference,
    },
    /// `GET`, `HEAD /v2/<name>/blobs/<digest>` (end-2).
    GetBlob {
        /// Where.
        repository: RepositoryName,
        /// Which.
        digest: Digest,
    },
    /// `DELETE /v2/<name>/blobs/<digest>` (end-10).
    DeleteBlob {
        /// Where.
        repository: RepositoryName,
        /// Which.
        digest: Digest,
    },
    /// `POST /v2/<name>/blobs/uploads/` (end-4a, end-4b, end-4c, end-11).
    StartUpload {
        /// Where.
        repository: RepositoryName,
        /// How.
        start: StartUpload,
    },
    /// `GET`, `HEAD /v2/<name>/blobs/uploads/<id>` (end-13).
    UploadStatus {
        /// Where.
        repository: RepositoryName,
        /// Which session.
        id: UploadId,
    },
    /// `PATCH /v2/<name>/blobs/uploads/<id>` (end-5).
    AppendUpload {
        /// Where.
        repository: RepositoryName,
        /// Which session.
        id: UploadId,
    },
    /// `PUT /v2/<name>/blobs/uploads/<id>?digest=` (end-6).
    FinishUpload {
        /// Where.
        repository: RepositoryName,
        /// Which session.
        id: UploadId,
        /// What the whole must be.
        digest: Digest,
    },
    /// `DELETE /v2/<name>/blobs/uploads/<id>` (end-14).
    CancelUpload {
        /// Where.
        repository: RepositoryName,
        /// Which session.
        id: UploadId,
    },
    /// `/v2/<name>/referrers/<digest>` (end-12a, end-12b).
    Referrers {
        /// Where.
        repository: RepositoryName,
        /// Of which manifest.
        subject: Digest,
        /// Only referrers of this type.
        artifact_type: Option<String>,
        /// Strictly after this one, in the order of digests: what our own `Link` headers say.
        last: Option<Digest>,
    },
}

/// What a `POST` to `uploads/` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartUpload {
    /// A session, to be filled by later requests.
    Session {
        /// What its bytes are hashed with as they arrive.
        algorithm: Algorithm,
    },
    /// The whole blob in this request's body.
    Whole {
        /// Its digest.
        digest: Digest,
    },
    /// A blob that is already here, in another repository; a session if it is not.
    Mount {
        /// Which blob.
        digest: Digest,
        /// Where it lies; any repository that the caller may pull, if the client does not say or says nonsense.
        from: Option<RepositoryName>,
    },
}

/// A page of a list: `n` and `last` of the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many entries; what the server thinks fit, if absent.
    pub n: Option<usize>,
    /// Strictly after this entry, which need not exist.
    pub last: Option<String>,
}

/// Why a request names no endpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// No endpoint has such a path.
    #[error("no endpoint has the path `{path}`")]
    Unknown {
        /// The path as sent, cut to a readable length.
        path: String,
    },
    /// The endpoint exists, without this method.
    #[error("this endpoint allows {allow}")]
    Method {
        /// The methods that it has, as an `Allow` header lists them.
        allow: &'static str,
    },
    /// The path is right but for its last slash.
    #[error("the path is `{path}`")]
    Moved {
        /// The right path, with the query.
        path: String,
    },
    /// Something else than the last part of the path is escaped. A proxy with rules for paths may not see through that.
    #[error(
        "escapes such as `%2F` may stand in the last part of a path alone: names of repositories need none"
    )]
    Escaped,
    /// The repository's name is malformed.
    #[error(transparent)]
    Name(#[from] ParseNameError),
    /// A digest is malformed or of an unsupported algorithm.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
    /// The closing `PUT` of an upload names no digest.
    #[error("the query needs `digest=<algorithm>:<hex>`, the digest of the whole blob")]
    DigestMissing,
    /// A tag is malformed.
    #[error(transparent)]
    Tag(#[from] ParseTagError),
    /// `tag` stands more often than [`PUSH_TAGS_MAX`] times.
    #[error("a push sets at most {PUSH_TAGS_MAX} tags")]
    TooManyTags,
    /// `n` is not a number from 0 on.
    #[error("`n` must be a whole number from 0 on, not `{n}`")]
    PageSize {
        /// What was sent.
        n: String,
    },
    /// The upload's id is not one of ours.
    #[error("`{id}` is not the id of an upload")]
    Upload {
        /// What was sent.
        id: String,
    },
}

impl From<ParseReferenceError> for RouteError {
    fn from(error: ParseReferenceError) -> Self {
        match error {
            ParseReferenceError::Tag(error) => RouteError::Tag(error),
            ParseReferenceError::Digest(error) => RouteError::Digest(error),
        }
    }
}

impl Route {
    /// Finds the endpoint of a request. `HEAD` finds what `GET` finds.
    ///
    /// # Errors
    /// [`RouteError`], which says what was wrong and what was expected.
    pub fn parse(method: &Method, uri: &Uri) -> Result<Route, RouteError> {
        let path = uri.path();
        if path == "/" {
            return Ok(Route::Alive);
        }
        if let Some(path) = without_last_slash(path) {
            let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
            return Err(RouteError::Moved { path: format!("{path}{query}") });
        }
        let query = Query::parse(uri.query().unwrap_or_default());
        match path.strip_prefix("/v2") {
            Some("") => Err(RouteError::Moved { path: "/v2/".to_owned() }),
            Some("/") => allow(method, "GET, HEAD", &[Method::GET]).map(|_| Route::Version),
            Some("/_catalog") => {
                allow(method, "GET, HEAD", &[Method::GET])?;
                Ok(Route::Catalog { page: Page::parse(&query)? })
            }
            Some(rest) if rest.starts_with('/') => in_repository(method, &rest[1..], &query),
            _ => Err(unknown(path)),
        }
    }

    /// What is the same for all requests to the endpoint: the one table of endpoints.
    pub(crate) fn info(&self) -> Info<'_> {
        use Need::*;
        use Route::*;
        match self {
            Alive => Info::new("base", Nothing, false),
            Version => Info::new("base", Login, false),
            Catalog { .. } => Info::new("catalog", List, false),
            Tags { repository, .. } => Info::new("tags", In(repository, PULL), false),
            GetManifest { repository, .. } => Info::new("manifest", In(repository, PULL), false),
            PutManifest { repository, reference, tags } => {
                let moves_tags = matches!(reference, Reference::Tag(_)) || !tags.is_empty();
                Info::new("manifest", In(repository, if moves_tags { PUSH_TAG } else { PUSH }), true)
            }
            DeleteManifest { repository, .. } => Info::new("manifest", In(repository, DELETE), true),
            GetBlob { repository, .. } => Info::new("blob", In(repository, PULL), false),
            DeleteBlob { repository, .. } => Info::new("blob", In(repository, DELETE), true),
            StartUpload { repository, start } => {
                let need = match start {
                    self::StartUpload::Mount { from: Some(source), .. } => Mount { repository, source },
                    _ => In(repository, PUSH),
                };
                Info::new("blob_upload", need, true)
            }
            UploadStatus { repository, .. } => Info::new("blob_upload_chunk", In(repository, PUSH), false),
            AppendUpload { repository, .. } => Info::new("blob_upload_chunk", In(repository, PUSH), true),
            FinishUpload { repository, .. } => Info::new("blob_upload_chunk", In(repository, PUSH), true),
            // Push permission includes cancelling unfinished uploads.
            CancelUpload { repository, .. } => Info::new("blob_upload_chunk", In(repository, PUSH), true),
            Referrers { repository, .. } => Info::new("referrers", In(repository, PULL), false),
        }
    }

    /// What the caller must be allowed to do; nothing for what every client may ask.
    pub fn required_access(&self) -> Option<Access> {
        Some(match self.info().need {
            Need::Nothing => return None,
            Need::Login => Access::Base,
            Need::List => Access::Catalog,
            Need::In(repository, actions) => Access::to(repository.clone(), actions),
            Need::Mount { repository, source } => {
                let (name, source) = (repository.clone(), Some(source.clone()));
                Access::Repository { name, actions: PUSH, source }
            }
        })
    }

    /// The repository that the request is about, if it is about one.
    pub(crate) fn repository_mut(&mut self) -> Option<&mut RepositoryName> {
        use Route::*;
        match self {
            Alive | Version | Catalog { .. } => None,
            Tags { repository, .. }
            | GetManifest { repository, .. }
            | PutManifest { repository, .. }
            | DeleteManifest { repository, .. }
            | GetBlob { repository, .. }
            | DeleteBlob { repository, .. }
            | StartUpload { repository, .. }
            | UploadStatus { repository, .. }
            | AppendUpload { repository, .. }
            | FinishUpload { repository, .. }
            | CancelUpload { repository, .. }
            | Referrers { repository, .. } => Some(repository),
        }
    }

    /// Whether the request would change something.
    pub fn is_write(&self) -> bool {
        self.info().is_write
    }
}

const PULL: ActionSet = ActionSet::PULL;
/// What uploads and manifests by digest need: a client that adds to a repository sees what is in it.
const PUSH: ActionSet = ActionSet::of(&[Action::Pull, Action::Push]);
/// What manifests by tag need.
const PUSH_TAG: ActionSet = ActionSet::of(&[Action::Pull, Action::Push, Action::Tag]);
const DELETE: ActionSet = ActionSet::of(&[Action::Delete]);

/// What is the same for all requests to an endpoint.
pub(crate) struct Info<'a> {
    /// Under which name it is counted: the Go registry's, where it has one.
    pub(crate) label: &'static str,
    need: Need<'a>,
    /// Whether the request would change something.
    pub(crate) is_write: bool,
}

/// What a caller needs.
enum Need<'a> {
    Nothing,
    Login,
    /// To list repositories.
    List,
    /// To do something in a repository.
    In(&'a RepositoryName, ActionSet),
    /// To push what another repository has.
    Mount {
        repository: &'a RepositoryName,
        source: &'a RepositoryName,
    },
}

impl<'a> Info<'a> {
    fn new(label: &'static str, need: Need<'a>, is_write: bool) -> Info<'a> {
        Info { label, need, is_write }
    }
}

/// The path of an endpoint that has a slash too many, as the Go registry has it; two endpoints end with one.
fn without_last_slash(path: &str) -> Option<&str> {
    let is_below = path.starts_with("/v2/") && path != "/v2/" && !path.ends_with("/blobs/uploads/");
    if is_below && !path.ends_with("//") { path.strip_suffix('/') } else { None }
}

#[cfg(test)]
mod tests;
