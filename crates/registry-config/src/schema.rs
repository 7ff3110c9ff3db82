//! Which keys there are: what an environment variable may name, and what is worth a warning.
//!
//! What the keys *mean* is read elsewhere, section by section; a test holds the two together.

mod keys;

pub(crate) use keys::{POLICY, ROOT, RULE};

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A single value.
    Scalar,
    /// A list of single values.
    Scalars,
    /// A section with these keys.
    Section(&'static [Key]),
    /// A section in which a name chooses among several, and which may be that bare name. Names that are not known are
    /// for its reader to refuse.
    Choice(&'static [Key]),
    /// A section with these keys, and others that later versions will have.
    Growing(&'static [Key]),
    /// A list of sections with these keys.
    Sections(&'static [Key]),
    /// A map with names of the operator's own.
    Map,
    /// What lies in such a map: a text, or a list of texts.
    Entry,
    /// Not looked into.
    Anything,
}

/// What is said about a key that is given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing {
    /// Nothing.
    Active,
    /// The feature is not in this version, and something is lost without it.
    NotActive,
    /// It has nothing to do here, for this reason.
    NotNeeded(&'static str),
    /// An old spelling of this key.
    Deprecated(&'static str),
}

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// The Go registry's other name for it in the environment, where it has one.
    pub(crate) go_variable: Option<&'static str>,
    pub(crate) kind: Kind,
    pub(crate) standing: Standing,
}

impl Key {
    const fn new(name: &'static str, kind: Kind) -> Key {
        Key { name, go_variable: None, kind, standing: Standing::Active }
    }

    const fn also(mut self, go_variable: &'static str) -> Key {
        self.go_variable = Some(go_variable);
        self
    }

    const fn standing(mut self, standing: Standing) -> Key {
        self.standing = standing;
        self
    }

    /// How many of `tokens`, the rest of a variable's name, name this key. A key with an underscore takes two.
    pub(crate) fn matched_tokens(&self, tokens: &[&str]) -> Option<usize> {
        let upper = self.name.to_uppercase();
        [Some(upper.as_str()), self.go_variable].into_iter().flatten().find_map(|name| {
            let wanted: Vec<&str> = name.split('_').collect();
            tokens.starts_with(&wanted).then_some(wanted.len())
        })
    }
}

#[cfg(test)]
mod tests;
