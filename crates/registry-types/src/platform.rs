use serde::{Deserialize, Deserializer, Serialize, de};

use crate::manifest::{Fields, Object, ambiguous};

/// What an image runs on. All of it is what the image's maker says; BuildKit marks attestations with `unknown/unknown`.
///
/// Spec: image-spec v1.1.1, "OCI Image Index Specification".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Platform {
    /// The processor, in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The operating system, in Go's words: `linux`.
    pub os: String,
    /// The version of the operating system; Windows needs it.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system must offer.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the processor, such as `v8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What the processor must offer; Docker's manifest lists have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

impl<'de> Fields<'de> for Platform {
    const NAMES: &'static [&'static str] =
        &["architecture", "os", "os.version", "os.features", "variant", "features"];
    const WHAT: &'static str = "a platform";

    fn read<A: de::MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "architecture" => self.architecture = or_default(map)?,
            "os" => self.os = or_default(map)?,
            "os.version" => self.os_version = map.next_value()?,
            "os.features" => self.os_features = or_default(map)?,
            "variant" => self.variant = map.next_value()?,
            "features" => self.features = or_default(map)?,
            _ => drop(map.next_value::<de::IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object { fields, ambiguity } = Object::deserialize(deserializer)?;
        match ambiguity.map(|ambiguity| ambiguous(ambiguity, "")) {
            None => Ok(fields),
            Some(error) => Err(de::Error::custom(format_args!("`{}` {error}", error.field().escape_debug()))),
        }
    }
}

/// Programs in Go write `null` for an empty list.
fn or_default<'de, A, T>(map: &mut A) -> Result<T, A::Error>
where
    A: de::MapAccess<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_null_is_empty() {
        for json in
            ["{}", r#"{"architecture":null,"os":null,"os.features":null,"variant":null,"features":null}"#]
        {
            assert_eq!(serde_json::from_str::<Platform>(json).unwrap(), Platform::default());
        }
    }
}
