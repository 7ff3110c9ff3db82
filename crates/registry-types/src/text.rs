//! What all checked texts have in common: formatting gives back what was parsed, and serde goes through the same door.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserializer, de};

/// Implements the text traits of a type that has `as_str` and `FromStr`.
macro_rules! checked_text {
    ($type:ty, $expecting:literal) => {
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::text::deserialize(deserializer, $expecting)
            }
        }
    };
}

pub(crate) use checked_text;

/// Reads a value from its text without making a `String` of it first.
pub(crate) fn deserialize<'de, D, T>(deserializer: D, expecting: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    deserializer.deserialize_str(TextVisitor { expecting, value: PhantomData })
}

struct TextVisitor<T> {
    expecting: &'static str,
    value: PhantomData<T>,
}

impl<T> de::Visitor<'_> for TextVisitor<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// The beginning of an outside text, for an error message: at most `bytes_max`, never cutting a character.
pub(crate) fn excerpt(text: &str, bytes_max: usize) -> String {
    let cut = (0..=bytes_max.min(text.len())).rev().find(|cut| text.is_char_boundary(*cut));
    text[..cut.unwrap_or_default()].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_ends_between_characters() {
        assert_eq!(excerpt("short", 100), "short");
        assert_eq!(excerpt("short", 5), "short");
        assert_eq!(excerpt("short", 3), "sho");
        assert_eq!(excerpt("aéé", 4), "aé");
        assert_eq!(excerpt("éé", 1), "");
    }
}
