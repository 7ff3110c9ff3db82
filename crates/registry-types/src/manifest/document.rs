//! The document of a manifest: from bytes to fields, from fields to content.

use std::{borrow::Cow, collections::BTreeMap};

use serde::de;

use super::{
    MANIFEST_DEPTH_MAX, MANIFEST_DESCRIPTORS_MAX, MANIFEST_ENTRIES_MAX, MANIFEST_FIELDS_MAX, ManifestError,
    ManifestKind, depth, entries,
    object::{Ambiguity, Fields, Object, Texts},
    raw::{Capped, RawDescriptor, Text},
};
use crate::{Descriptor, DescriptorError, MEDIA_TYPE_BYTES_MAX, MediaType, text::excerpt};

/// How much of the document an error repeats, in bytes.
const EXCERPT_BYTES_MAX: usize = 100;

type AnyDescriptor<'a> = Object<RawDescriptor<'a>>;
type Descriptors<'a> = Capped<AnyDescriptor<'a>, MANIFEST_DESCRIPTORS_MAX>;

/// The fields of a manifest of either kind, as far as they are known. Null is the same as absent, since that is what
/// programs in Go write for an empty list.
#[derive(Default)]
pub(super) struct Document<'a> {
    schema_version: Option<i64>,
    media_type: Option<Text<'a>>,
    artifact_type: Option<Text<'a>>,
    config: Option<AnyDescriptor<'a>>,
    layers: Option<Descriptors<'a>>,
    manifests: Option<Descriptors<'a>>,
    /// The field `manifests` is there, be it null.
    names_manifests: bool,
    subject: Option<AnyDescriptor<'a>>,
    annotations: Option<Texts>,
}

/// What a manifest holds and refers to, checked.
pub(super) struct Content {
    pub(super) config: Option<Descriptor>,
    pub(super) descriptors: Vec<Descriptor>,
    pub(super) subject: Option<Descriptor>,
    pub(super) artifact_type: Option<String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// The kind of a manifest that is accepted.
pub(super) fn supported(media_type: &MediaType) -> Result<ManifestKind, ManifestError> {
    if [MediaType::DOCKER_SCHEMA1, MediaType::DOCKER_SCHEMA1_SIGNED].contains(media_type) {
        return Err(ManifestError::Schema1);
    }
    media_type.kind().ok_or_else(|| unsupported(Some(media_type.as_str())))
}

fn unsupported(media_type: Option<&str>) -> ManifestError {
    ManifestError::UnsupportedMediaType {
        media_type: media_type.map(|text| excerpt(text, EXCERPT_BYTES_MAX)),
    }
}

impl<'a> Document<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Document<'a>, ManifestError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| ManifestError::NotUtf8 { position: error.valid_up_to() })?;
        if depth::is_deeper(text, MANIFEST_DEPTH_MAX) {
            return Err(ManifestError::TooDeep { limit: MANIFEST_DEPTH_MAX });
        }
        if entries::are_more(text, MANIFEST_ENTRIES_MAX, MANIFEST_DEPTH_MAX) {
            return Err(ManifestError::TooManyEntries { limit: MANIFEST_ENTRIES_MAX });
        }
        let document: Object<Document<'a>> =
            serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        if let Some(ambiguity) = document.ambiguity {
            return Err(ambiguous(ambiguity, ""));
        }
        match document.fields.annotations.as_ref().and_then(|annotations| annotations.ambiguity.clone()) {
            Some(ambiguity) => Err(ambiguous(ambiguity, "annotations.")),
            None => Ok(document.fields),
        }
    }

    /// The type that request and document agree on.
    pub(super) fn media_type(&self, content_type: Option<&MediaType>) -> Result<MediaType, ManifestError> {
        let named = self.media_type.as_ref().map(|text| &*text.0).filter(|text| !text.is_empty());
        match (content_type, named) {
            (None, None) if self.schema_version == Some(1) => Err(ManifestError::Schema1),
            (None, None) => Err(unsupported(None)),
            (None, Some(named)) => MediaType::verbatim(named).map_err(|_| unsupported(Some(named))),
            (Some(content_type), Some(named)) if content_type != named => {
                let found = excerpt(named, EXCERPT_BYTES_MAX);
                Err(ManifestError::MediaTypeMismatch { content_type: content_type.clone(), found })
            }
            (Some(content_type), None) if is_docker(content_type) && self.schema_version != Some(1) => {
                Err(ManifestError::MissingField { field: "mediaType" })
            }
            (Some(content_type), _) => Ok(content_type.clone()),
        }
    }

    /// Version and fields are those of the kind. A document with the fields of both would be an image to one client
    /// and an index to another.
    pub(super) fn check_form(&self, kind: ManifestKind) -> Result<(), ManifestError> {
        match self.schema_version {
            Some(2) => {}
            Some(1) => return Err(ManifestError::Schema1),
            Some(found) => return Err(ManifestError::SchemaVersion { found }),
            None => return Err(ManifestError::MissingField { field: "schemaVersion" }),
        }
        let unexpected = match kind {
            ManifestKind::Image => self.manifests.as_ref().map(|_| "manifests"),
            ManifestKind::Index if self.config.is_some() => Some("config"),
            ManifestKind::Index => self.layers.as_ref().map(|_| "layers"),
        };
        match unexpected {
            Some(field) => Err(ManifestError::UnexpectedField { kind, field }),
            None if kind == ManifestKind::Image && self.config.is_none() => missing("config"),
            None if kind == ManifestKind::Index && !self.names_manifests => missing("manifests"),
            None => Ok(()),
        }
    }

    pub(super) fn check_content(self) -> Result<Content, ManifestError> {
        let config = self.config.map(|config| check_descriptor(config, "config")).transpose()?;
        let descriptors = match (self.layers, self.manifests) {
            (Some(layers), _) => check_descriptors(layers, "layers")?,
            (None, Some(manifests)) => check_descriptors(manifests, "manifests")?,
            (None, None) => Vec::new(),
        };
        // Docker's formats know no subject. Clients that attach to their images all the same mean what OCI means by it.
        let subject = self.subject.map(|subject| check_descriptor(subject, "subject")).transpose()?;
        let artifact_type = self.artifact_type.map(|text| text.0).filter(|text| !text.is_empty());
        Ok(Content {
            config,
            descriptors,
            subject,
            artifact_type: artifact_type.map(check_artifact_type).transpose()?,
            annotations: self.annotations.unwrap_or_default().texts,
        })
    }
}

fn missing<T>(field: &'static str) -> Result<T, ManifestError> {
    Err(ManifestError::MissingField { field })
}

fn is_docker(media_type: &MediaType) -> bool {
    [MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST].contains(media_type)
}

fn check_descriptors(list: Descriptors<'_>, field: &'static str) -> Result<Vec<Descriptor>, ManifestError> {
    if list.count > MANIFEST_DESCRIPTORS_MAX {
        let (limit, actual) = (MANIFEST_DESCRIPTORS_MAX, list.count);
        return Err(ManifestError::TooManyDescriptors { field, limit, actual });
    }
    let checked = list.entries.into_iter().enumerate();
    checked
        .map(|(index, raw)| raw.check().map_err(|reason| misplaced(&format!("{field}[{index}]"), reason)))
        .collect()
}

fn check_descriptor(raw: AnyDescriptor<'_>, field: &str) -> Result<Descriptor, ManifestError> {
    raw.check().map_err(|reason| misplaced(field, reason))
}

#[cold]
fn misplaced(parent: &str, reason: DescriptorError) -> ManifestError {
    let path = match reason.field() {
        "" => parent.to_owned(),
        field => format!("{parent}.{}", field.escape_debug()),
    };
    ManifestError::Descriptor { path, reason }
}

/// What is wrong with the names of the document's fields, or of the texts in one of them.
#[cold]
fn ambiguous(ambiguity: Ambiguity, parent: &str) -> ManifestError {
    match ambiguity {
        Ambiguity::Duplicate { name } => ManifestError::DuplicateField { name: format!("{parent}{name}") },
        Ambiguity::Lookalike { name, field } => ManifestError::LookalikeField { name, field },
        Ambiguity::TooManyFields => ManifestError::TooManyFields { limit: MANIFEST_FIELDS_MAX },
    }
}

/// The same rule as for the media types of descriptors, which stand in for an artifact type that is not there.
fn check_artifact_type(text: Cow<'_, str>) -> Result<String, ManifestError> {
    match MediaType::verbatim(&text) {
        Ok(_) => Ok(text.into_owned()),
        Err(_) => Err(ManifestError::ArtifactType { limit_bytes: MEDIA_TYPE_BYTES_MAX }),
    }
}

/// What the JSON parser says, without the position that it appends, and cut: it repeats texts of the document whole.
#[cold]
fn unreadable(error: &serde_json::Error) -> ManifestError {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let position = format!(" at line {line} column {column}");
    let reason = excerpt(message.strip_suffix(&position).unwrap_or(&message), EXCERPT_BYTES_MAX);
    ManifestError::Json { line, column, reason }
}

impl<'de> Fields<'de> for Document<'de> {
    const NAMES: &'static [&'static str] = &[
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "manifests",
        "subject",
        "annotations",
    ];
    const WHAT: &'static str = "a manifest";

    fn read<A: de::MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "schemaVersion" => self.schema_version = map.next_value()?,
            "mediaType" => self.media_type = map.next_value()?,
            "artifactType" => self.artifact_type = map.next_value()?,
            "config" => self.config = map.next_value()?,
            "layers" => self.layers = map.next_value()?,
            "manifests" => {
                self.manifests = map.next_value()?;
                self.names_manifests = true;
            }
            "subject" => self.subject = map.next_value()?,
            "annotations" => self.annotations = map.next_value()?,
            _ => drop(map.next_value::<de::IgnoredAny>()?),
        }
        Ok(())
    }
}
