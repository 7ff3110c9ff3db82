use thiserror::Error;

use crate::{DescriptorError, ManifestKind, MediaType};

/// Why a manifest is refused. The texts are for whoever sent it; what they repeat of it is cut to 100 bytes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ManifestError {
    /// More than [`MANIFEST_BYTES_MAX`](crate::MANIFEST_BYTES_MAX).
    #[error("a manifest has at most {limit_bytes} bytes, this has {actual_bytes}")]
    TooLarge {
        /// How large it is, as far as is known.
        actual_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The type is not one of [`MediaType::MANIFESTS`], or neither the request nor the document names one.
    #[error("{}; accepted are {}", unsupported(media_type.as_deref()), accepted())]
    UnsupportedMediaType {
        /// What was named.
        media_type: Option<String>,
    },
    /// Docker's oldest format.
    #[error(
        "manifests of Docker's schema 1 are not accepted; push the image again with a client of this decade"
    )]
    Schema1,
    /// Not UTF-8.
    #[error("the manifest is not UTF-8 at byte {position}")]
    NotUtf8 {
        /// Where the first offending byte is.
        position: usize,
    },
    /// Deeper than [`MANIFEST_DEPTH_MAX`](crate::MANIFEST_DEPTH_MAX).
    #[error("the manifest is nested deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// More than [`MANIFEST_ENTRIES_MAX`](crate::MANIFEST_ENTRIES_MAX).
    #[error("the annotations of the manifest, and its lists of texts, have more than {limit} entries in all")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// Not JSON, or a field is of the wrong type.
    #[error("the manifest can not be read at line {line}, column {column}: {reason}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1; 0 at the end of a line.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A field stands there twice, so that two readers may see two manifests.
    #[error("the manifest has the field {name:?} twice")]
    DuplicateField {
        /// Its name.
        name: String,
    },
    /// A field that some readers take for a known one, since they ignore case.
    #[error("the manifest has a field {name:?}, which some clients read as {field:?}")]
    LookalikeField {
        /// Its name.
        name: String,
        /// The one it would be taken for.
        field: &'static str,
    },
    /// More fields than [`MANIFEST_FIELDS_MAX`](crate::MANIFEST_FIELDS_MAX).
    #[error("the manifest has more than {limit} fields")]
    TooManyFields {
        /// The limit.
        limit: usize,
    },
    /// The document names another type than the request.
    #[error("the manifest was sent as {content_type}, but says that it is {found:?}")]
    MediaTypeMismatch {
        /// The request's.
        content_type: MediaType,
        /// The document's.
        found: String,
    },
    /// `schemaVersion` is not 2.
    #[error("`schemaVersion` of a manifest is 2, not {found}")]
    SchemaVersion {
        /// What it is.
        found: i64,
    },
    /// A field that must be there is not, or is null.
    #[error("the manifest has no `{field}`")]
    MissingField {
        /// Its name.
        field: &'static str,
    },
    /// A field of the other kind of manifest, so that two readers may see two manifests.
    #[error("the manifest was sent as {}, which has no `{field}`", match kind {
        ManifestKind::Image => "an image",
        ManifestKind::Index => "an index",
    })]
    UnexpectedField {
        /// What the media type says that it is.
        kind: ManifestKind,
        /// The field.
        field: &'static str,
    },
    /// More than [`MANIFEST_DESCRIPTORS_MAX`](crate::MANIFEST_DESCRIPTORS_MAX).
    #[error("`{field}` of a manifest has at most {limit} entries, this has {actual}")]
    TooManyDescriptors {
        /// `layers` or `manifests`.
        field: &'static str,
        /// The limit.
        limit: usize,
        /// How many there are.
        actual: usize,
    },
    /// `artifactType` is too long, or has something other than printable ASCII in it.
    #[error("`artifactType` has at most {limit_bytes} printable ASCII characters")]
    ArtifactType {
        /// The limit.
        limit_bytes: usize,
    },
    /// Something that the manifest refers to is described wrongly.
    #[error("`{path}`: {reason}")]
    Descriptor {
        /// The field, such as `layers[3].digest`.
        path: String,
        /// What is wrong with it.
        reason: DescriptorError,
    },
}

fn unsupported(media_type: Option<&str>) -> String {
    match media_type {
        Some(media_type) => format!("{media_type:?} is not a type of manifest"),
        None => "neither `Content-Type` nor `mediaType` names the type of the manifest".to_owned(),
    }
}

fn accepted() -> String {
    MediaType::MANIFESTS.each_ref().map(MediaType::as_str).join(", ")
}
