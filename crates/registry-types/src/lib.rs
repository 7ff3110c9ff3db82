//! The vocabulary of a container registry.
//!
//! Texts from outside are parsed once, at the edge, into types that prove they were checked: [`RepositoryName`],
//! [`Tag`], [`Reference`], [`UploadId`], [`Location`], [`MediaType`]. A [`Manifest`] is what a pushed manifest says,
//! beside the bytes as they came. [`ErrorCode`] and [`ErrorBody`] are what a client is told when something fails.
//!
//! ```
//! use registry_types::{Manifest, MediaType, Reference, RepositoryName};
//!
//! let name: RepositoryName = "library/alpine".parse()?;
//! assert!("Library/alpine".parse::<RepositoryName>().is_err());
//! assert!(matches!("3.22".parse()?, Reference::Tag(_)));
//!
//! let content_type: MediaType = "application/vnd.oci.image.index.v1+json; charset=utf-8".parse()?;
//! let manifest = Manifest::parse(Some(&content_type), r#"{"schemaVersion":2,"manifests":[]}"#.into())?;
//! assert!(manifest.children().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it is not: it does no I/O and reads no clock, and it knows neither HTTP nor a database. Whether something exists
//! or may be seen is for others to say.
//!
//! | Module | What |
//! |---|---|
//! | `repository`, `tag`, `reference` | what manifests are asked for by |
//! | `upload_id`, `location` | upload sessions, and the keys of stored objects |
//! | `media_type`, `descriptor`, `platform` | what describes content |
//! | `manifest` | the four accepted manifest formats, parsed and checked |
//! | `cause` | the actor and the request that caused a change |
//! | `viewer`, `pattern`, `version` | what a caller may see, and which names are meant |
//! | `retention` | which images are to be kept, and which go |
//! | `network`, `allowed` | addresses, and which hosts users may name |
//! | `event` | what can happen, which of it a receiver wants, and in which format |
//! | `stores`, `secret` | how a store of bytes is used, and with which credentials |
//! | `error_code`, `error_body` | errors on the wire |

#![forbid(unsafe_code)]

mod allowed;
mod cause;
mod descriptor;
mod error_body;
mod error_code;
mod event;
mod location;
mod manifest;
mod media_type;
mod network;
mod pattern;
mod platform;
mod policies;
mod rate_limit;
mod reference;
mod repository;
pub mod retention;
mod rules;
mod secret;
mod signing;
mod stores;
mod tag;
mod text;
mod upload_id;
mod version;
mod viewer;

pub use allowed::{Allowed, ParseAllowedError};
pub use cause::{
    Cause, REQUEST_ADDRESS_BYTES_MAX, REQUEST_HOST_BYTES_MAX, REQUEST_ID_BYTES_MAX, REQUEST_METHOD_BYTES_MAX,
    REQUEST_USER_AGENT_BYTES_MAX, RequestSource,
};
pub use descriptor::{DESCRIPTOR_SIZE_MAX, Descriptor, DescriptorError};
pub use error_body::{ErrorBody, ErrorEntry};
pub use error_code::ErrorCode;
pub use event::{EventFilter, EventKind, ParseEventKindError, ParseWebhookFormatError, WebhookFormat};
pub use location::{LOCATION_BYTES_MAX, Location, ParseLocationError};
pub use manifest::{
    MANIFEST_BYTES_MAX, MANIFEST_DEPTH_MAX, MANIFEST_DESCRIPTORS_MAX, MANIFEST_ENTRIES_MAX,
    MANIFEST_FIELDS_MAX, Manifest, ManifestError, ManifestKind, image_labels,
};
pub use media_type::{MEDIA_TYPE_BYTES_MAX, MediaType, ParseMediaTypeError};
pub use network::{Network, ParseNetworkError};
pub use pattern::{ParsePatternError, Pattern};
pub use platform::Platform;
pub use policies::{
    AnonymousAccess, ParseUrlPatternError, RedirectPolicy, ReferencePolicy, UrlPattern, UrlPolicy,
};
pub use rate_limit::{RateLimit, RateLimits};
pub use reference::{ParseReferenceError, Reference};
pub use repository::{ParseNameError, REPOSITORY_NAME_BYTES_MAX, RepositoryName};
pub use rules::{ClientAuth, ImmutableTags, ManifestClass, MinimumVersion, Quota, RequiredChildren};
pub use secret::Secret;
pub use signing::SigningAlgorithm;
pub use stores::{AzureCredentials, Durability, GcsCredentials, S3Credentials, S3Encryption};
pub use tag::{ParseTagError, TAG_BYTES_MAX, Tag};
pub use upload_id::{ParseUploadIdError, UploadId};
pub use version::{ParseVersionRangeError, Version, VersionRange};
pub use viewer::{NameRange, Viewer};

/// The examples of the README are compiled like these.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
