//! Descriptors as they stand in JSON: everything optional, nothing checked, texts borrowed. Checking comes second, so
//! that an error can name the place.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de};
use serde_json::Number;

use super::{
    MANIFEST_FIELDS_MAX,
    object::{Ambiguity, Fields, Object, Texts},
};
use crate::{DESCRIPTOR_SIZE_MAX, Descriptor, DescriptorError, MediaType, Platform};

/// A text that is borrowed unless it has escapes.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A descriptor before it is checked. Unknown fields are ignored.
#[derive(Default)]
pub(crate) struct RawDescriptor<'a> {
    media_type: Option<Text<'a>>,
    digest: Option<Text<'a>>,
    size: Option<Number>,
    urls: Option<Vec<String>>,
    annotations: Option<Texts>,
    artifact_type: Option<String>,
    platform: Option<Object<Platform>>,
    data: Option<String>,
}

impl<'de> Fields<'de> for RawDescriptor<'de> {
    const NAMES: &'static [&'static str] =
        &["mediaType", "digest", "size", "urls", "annotations", "artifactType", "platform", "data"];
    const WHAT: &'static str = "a descriptor";

    fn read<A: de::MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "mediaType" => self.media_type = map.next_value()?,
            "digest" => self.digest = map.next_value()?,
            "size" => self.size = map.next_value()?,
            "urls" => self.urls = map.next_value()?,
            "annotations" => self.annotations = map.next_value()?,
            "artifactType" => self.artifact_type = map.next_value()?,
            "platform" => self.platform = map.next_value()?,
            "data" => self.data = map.next_value()?,
            _ => drop(map.next_value::<de::IgnoredAny>()?),
        }
        Ok(())
    }
}

impl Object<RawDescriptor<'_>> {
    pub(crate) fn check(self) -> Result<Descriptor, DescriptorError> {
        if let Some(ambiguity) = self.ambiguity {
            return Err(ambiguous(ambiguity, ""));
        }
        let raw = self.fields;
        let media_type = required(raw.media_type, "mediaType")?;
        let digest = required(raw.digest, "digest")?;
        let size = raw.size.ok_or(DescriptorError::Missing { field: "size" })?;
        let annotations = raw.annotations.unwrap_or_default();
        if let Some(ambiguity) = annotations.ambiguity {
            return Err(ambiguous(ambiguity, "annotations."));
        }
        let platform = match raw.platform {
            Some(Object { ambiguity: Some(ambiguity), .. }) => return Err(ambiguous(ambiguity, "platform.")),
            platform => platform.map(|platform| platform.fields),
        };
        Ok(Descriptor {
            media_type: MediaType::verbatim(&media_type).map_err(DescriptorError::MediaType)?,
            digest: digest.parse().map_err(DescriptorError::Digest)?,
            size: size.as_u64().filter(|size| *size <= DESCRIPTOR_SIZE_MAX).ok_or(DescriptorError::Size)?,
            urls: raw.urls.unwrap_or_default(),
            annotations: annotations.texts,
            artifact_type: raw.artifact_type.filter(|artifact_type| !artifact_type.is_empty()),
            platform,
            data: raw.data,
        })
    }
}

/// What is wrong with the names of a descriptor's fields, or of those in one of its parts.
#[cold]
pub(crate) fn ambiguous(ambiguity: Ambiguity, parent: &str) -> DescriptorError {
    match ambiguity {
        Ambiguity::Duplicate { name } => DescriptorError::Duplicate { name: format!("{parent}{name}") },
        Ambiguity::Lookalike { name, field } => {
            DescriptorError::Lookalike { name: format!("{parent}{name}"), field }
        }
        Ambiguity::TooManyFields => DescriptorError::TooManyFields { limit: MANIFEST_FIELDS_MAX },
    }
}

fn required<'a>(text: Option<Text<'a>>, field: &'static str) -> Result<Cow<'a, str>, DescriptorError> {
    text.map(|text| text.0).filter(|text| !text.is_empty()).ok_or(DescriptorError::Missing { field })
}

/// A list that keeps no more than `MAX` of its entries, but counts them all: a few bytes of JSON make a descriptor of
/// hundreds of bytes, and that factor has to end somewhere.
pub(crate) struct Capped<T, const MAX: usize> {
    pub(crate) entries: Vec<T>,
    pub(crate) count: usize,
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Capped<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(CappedVisitor(PhantomData))
    }
}

struct CappedVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> de::Visitor<'de> for CappedVisitor<T, MAX> {
    type Value = Capped<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of descriptors")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while entries.len() < MAX {
            match list.next_element()? {
                Some(entry) => entries.push(entry),
                None => return Ok(Capped { count: entries.len(), entries }),
            }
        }
        let mut count = entries.len();
        while list.next_element::<de::IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Capped { entries, count })
    }
}
