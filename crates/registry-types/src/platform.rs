use serde::{Deserialize, Deserializer, Serialize};

/// What an image runs on. All of it is what the image's maker says; BuildKit marks attestations with `unknown/unknown`.
///
/// Spec: image-spec v1.1.1, "OCI Image Index Specification".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// The processor, in Go's words: `amd64`, `arm64`.
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    /// The operating system, in Go's words: `linux`.
    #[serde(deserialize_with = "or_default")]
    pub os: String,
    /// The version of the operating system; Windows needs it.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system must offer.
    #[serde(rename = "os.features", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the processor, such as `v8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What the processor must offer; Docker's manifest lists have it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// Programs in Go write `null` for an empty list.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
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
