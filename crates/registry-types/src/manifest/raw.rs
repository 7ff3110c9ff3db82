//! Descriptors as they stand in JSON: everything optional, nothing checked, texts borrowed. Checking comes second, so
//! that an error can name the place.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de};
use serde_json::Number;

use crate::{DESCRIPTOR_SIZE_MAX, Descriptor, DescriptorError, MediaType, Platform};

/// A text that is borrowed unless it has escapes.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A descriptor before it is checked. Unknown fields are ignored, known ones may stand there once.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor<'a> {
    #[serde(borrow)]
    media_type: Option<Text<'a>>,
    #[serde(borrow)]
    digest: Option<Text<'a>>,
    size: Option<Number>,
    urls: Option<Vec<String>>,
    annotations: Option<BTreeMap<String, String>>,
    artifact_type: Option<String>,
    platform: Option<Platform>,
    data: Option<String>,
}

impl RawDescriptor<'_> {
    pub(crate) fn check(self) -> Result<Descriptor, DescriptorError> {
        let media_type = required(self.media_type, "mediaType")?;
        let digest = required(self.digest, "digest")?;
        let size = self.size.ok_or(DescriptorError::Missing { field: "size" })?;
        Ok(Descriptor {
            media_type: MediaType::verbatim(&media_type).map_err(DescriptorError::MediaType)?,
            digest: digest.parse().map_err(DescriptorError::Digest)?,
            size: size.as_u64().filter(|size| *size <= DESCRIPTOR_SIZE_MAX).ok_or(DescriptorError::Size)?,
            urls: self.urls.unwrap_or_default(),
            annotations: self.annotations.unwrap_or_default(),
            artifact_type: self.artifact_type.filter(|artifact_type| !artifact_type.is_empty()),
            platform: self.platform,
            data: self.data,
        })
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
