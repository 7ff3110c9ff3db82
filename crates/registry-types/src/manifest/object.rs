//! Objects of a known shape, read so that every reader sees the same one.
//!
//! Most clients are written in Go. Its JSON package ignores the case of a field's name, and of two fields that have one
//! name the later one counts. Other readers compare names exactly, or take the first. So an object in which a name stands
//! twice, or one that some readers take for a known one, is told as ambiguous, whatever the readers would make of it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    marker::PhantomData,
};

use serde::{Deserialize, Deserializer, de};

use super::{MANIFEST_FIELDS_MAX, raw::Text};
use crate::text::excerpt;

/// How much of a name an error repeats, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// Why an object is not the same to every reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ambiguity {
    /// A name stands there twice.
    Duplicate { name: String },
    /// A name that some readers take for a known one.
    Lookalike { name: String, field: &'static str },
    /// More names than are compared with each other.
    TooManyFields,
}

/// The known fields of an object.
pub(crate) trait Fields<'de>: Default {
    /// Their names.
    const NAMES: &'static [&'static str];

    /// What the object is, for an error about something else that stands there.
    const WHAT: &'static str;

    /// Takes the value of a field, or skips it if the name is not known.
    fn read<A: de::MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

/// An object as it stands there, and the first thing about its names that makes it ambiguous.
#[derive(Default)]
pub(crate) struct Object<T> {
    pub(crate) fields: T,
    pub(crate) ambiguity: Option<Ambiguity>,
}

impl<'de, T: Fields<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Fields<'de>> de::Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Object { fields: T::default(), ambiguity: None };
        let mut seen: Vec<Cow<'de, str>> = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            match ambiguity(&name, &seen, T::NAMES) {
                None => {
                    object.fields.read(&name, &mut map)?;
                    seen.push(name);
                }
                Some(ambiguity) => {
                    object.ambiguity.get_or_insert(ambiguity);
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        Ok(object)
    }
}

fn ambiguity(name: &str, seen: &[Cow<'_, str>], known: &'static [&'static str]) -> Option<Ambiguity> {
    if seen.len() >= MANIFEST_FIELDS_MAX {
        return Some(Ambiguity::TooManyFields);
    }
    let excerpt = || excerpt(name, NAME_BYTES_MAX);
    if seen.iter().any(|seen| seen == name) {
        return Some(Ambiguity::Duplicate { name: excerpt() });
    }
    let field = known.iter().find(|field| is_lookalike(name, field));
    field.map(|field| Ambiguity::Lookalike { name: excerpt(), field })
}

/// Whether Go's JSON package would read `name` as `field`: it ignores the case of letters by Unicode's simple folding, by
/// which two signs beyond ASCII are an `s` and a `k`.
fn is_lookalike(name: &str, field: &str) -> bool {
    name != field && name.chars().map(fold).eq(field.chars().map(fold))
}

fn fold(character: char) -> char {
    match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => character.to_ascii_lowercase(),
    }
}

/// Texts by texts, where every name may stand and all readers compare names exactly; but none twice.
#[derive(Default)]
pub(crate) struct Texts {
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) ambiguity: Option<Ambiguity>,
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> de::Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut texts = Texts::default();
        while let Some(name) = map.next_key::<String>()? {
            match texts.texts.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(map.next_value()?);
                }
                Entry::Occupied(entry) => {
                    let name = excerpt(entry.key(), NAME_BYTES_MAX);
                    texts.ambiguity.get_or_insert(Ambiguity::Duplicate { name });
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sign that Go's `encoding/json` takes for an ASCII letter, and the letter; made by `tests/interop/json/main.go`,
    /// which tries all of Unicode.
    const GO_FOLDS: &str = include_str!("tests/go_folds.txt");

    #[test]
    fn names_are_folded_as_go_folds_them() {
        let go: BTreeMap<char, char> = GO_FOLDS
            .lines()
            .map(|line| {
                let (sign, letter) = line.split_once(' ').unwrap();
                let sign = u32::from_str_radix(sign, 16).ok().and_then(char::from_u32).unwrap();
                (sign, letter.parse().unwrap())
            })
            .collect();
        assert_eq!(go.len(), 26 * 2 + 2);
        for sign in '\0'..=char::MAX {
            let ours = fold(sign);
            let ours = ours.is_ascii_lowercase().then_some(ours);
            assert_eq!(ours, go.get(&sign).copied(), "{sign:?}");
        }
    }
}
