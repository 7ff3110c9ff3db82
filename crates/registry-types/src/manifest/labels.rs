//! The labels of an image, which stand in its config.

use std::collections::BTreeMap;

use serde::de;

use super::object::{Fields, Object, Texts};

/// The part of an image's config that has the labels.
#[derive(Default)]
struct Config {
    config: Option<Object<Inner>>,
}

#[derive(Default)]
struct Inner {
    labels: Option<Texts>,
}

impl<'de> Fields<'de> for Config {
    const NAMES: &'static [&'static str] = &["config"];
    const WHAT: &'static str = "the config of an image";

    fn read<A: de::MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "config" => self.config = map.next_value()?,
            _ => drop(map.next_value::<de::IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for Inner {
    const NAMES: &'static [&'static str] = &["Labels"];
    const WHAT: &'static str = "a config with labels";

    fn read<A: de::MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "Labels" => self.labels = map.next_value()?,
            _ => drop(map.next_value::<de::IgnoredAny>()?),
        }
        Ok(())
    }
}

/// The labels of an image, from the bytes of its config; empty if it has none.
///
/// None if the bytes are not such a config, or if two readers may see two of them: a field that leads to the labels, or a
/// label, stands there twice, or under a name that some readers take for the field's.
///
/// Spec: image-spec v1.1.1, "OCI Image Configuration".
pub fn image_labels(config: &[u8]) -> Option<BTreeMap<String, String>> {
    let document: Object<Config> = serde_json::from_slice(config).ok()?;
    let inner = document.fields.config.unwrap_or_default();
    let labels = inner.fields.labels.unwrap_or_default();
    let is_ambiguous =
        document.ambiguity.is_some() || inner.ambiguity.is_some() || labels.ambiguity.is_some();
    (!is_ambiguous).then_some(labels.texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(config: &str) -> Option<Vec<(String, String)>> {
        image_labels(config.as_bytes()).map(|labels| labels.into_iter().collect())
    }

    #[test]
    fn labels_stand_in_the_config_of_the_config() {
        let config =
            r#"{"architecture":"amd64","config":{"Cmd":null,"Labels":{"a":"b","c":"d"}},"history":[{}]}"#;
        let text = str::to_owned;
        assert_eq!(labels(config), Some(vec![(text("a"), text("b")), (text("c"), text("d"))]));
        for without in ["{}", r#"{"config":null}"#, r#"{"config":{"Labels":null}}"#] {
            assert_eq!(labels(without), Some(Vec::new()), "{without}");
        }
        for other in ["", "[1]", "not JSON", r#"{"config":[]}"#, r#"{"config":{"Labels":{"a":1}}}"#] {
            assert_eq!(labels(other), None, "{other}");
        }
    }

    #[test]
    fn labels_that_two_readers_see_differently_are_none() {
        for ambiguous in [
            r#"{"config":{},"config":{}}"#,
            r#"{"config":{},"Config":{}}"#,
            r#"{"CONFIG":{"Labels":{"a":"b"}}}"#,
            r#"{"config":{"Labels":{},"Labels":{}}}"#,
            r#"{"config":{"Labels":{"a":"b"},"label\u017f":{"a":"c"}}}"#,
            r#"{"config":{"labels":{"a":"b"}}}"#,
            r#"{"config":{"Labels":{"a":"b","\u0061":"c"}}}"#,
        ] {
            assert_eq!(labels(ambiguous), None, "{ambiguous}");
        }
    }
}
