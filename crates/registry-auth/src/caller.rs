use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use registry_types::RepositoryName;

use crate::access::ActionSet;

/// Who is asking, and what may be used of it. `Display` gives the user's name, or `anonymous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub who: Who,
    /// What of its permissions may be used by these credentials.
    pub grant: Grant,
}

/// The client that asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A client that has not said.
    Anonymous,
    /// A client that has proved to be this user.
    User(UserName),
}

/// What of a caller's permissions may be used by the credentials that were shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// All of them.
    Everything,
    /// What a token names.
    Scopes(Arc<Scopes>),
}

/// What a token names. It allows nothing by itself: the caller must have the permission as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// What may be done to which repository.
    pub repositories: HashMap<RepositoryName, ActionSet>,
    /// Whether repositories may be listed.
    pub catalog: bool,
}

impl Caller {
    /// A client without credentials.
    pub fn anonymous() -> Caller {
        Caller { who: Who::Anonymous, grant: Grant::Everything }
    }

    /// A client that has proved to be a user, and may use all of that user's permissions.
    pub fn user(name: UserName) -> Caller {
        Caller { who: Who::User(name), grant: Grant::Everything }
    }

    /// The user's name.
    pub fn name(&self) -> Option<&UserName> {
        match &self.who {
            Who::Anonymous => None,
            Who::User(name) => Some(name),
        }
    }

    /// Whether it showed credentials that were accepted. A token may name no user.
    pub fn is_authenticated(&self) -> bool {
        self.name().is_some() || matches!(self.grant, Grant::Scopes(_))
    }
}

impl Grant {
    /// What may be used of permissions on a repository.
    pub fn on(&self, repository: &RepositoryName) -> ActionSet {
        match self {
            Grant::Everything => ActionSet::ALL,
            Grant::Scopes(scopes) => scopes.repositories.get(repository).copied().unwrap_or_default(),
        }
    }

    /// Whether the permission to list repositories may be used.
    pub fn lists(&self) -> bool {
        match self {
            Grant::Everything => true,
            Grant::Scopes(scopes) => scopes.catalog,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            None => f.write_str("anonymous"),
            Some(name) => name.fmt(f),
        }
    }
}

/// The longest name of a user.
pub const USER_NAME_BYTES_MAX: usize = 255;

/// A user's name: 1 to [`USER_NAME_BYTES_MAX`] bytes without control characters. One that is parsed has no colon, which would
/// end it in credentials.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Box<str>);

impl UserName {
    /// A name that a token's server gave, which may have colons: such a name never comes with a password.
    ///
    /// # Errors
    /// It is empty, too long, or has control characters.
    pub fn of_subject(subject: &str) -> Result<UserName, ParseUserNameError> {
        UserName::checked(subject, char::is_control)
    }

    fn checked(text: &str, is_wrong: impl Fn(char) -> bool) -> Result<UserName, ParseUserNameError> {
        if text.is_empty() {
            return Err(ParseUserNameError::Empty);
        }
        if text.len() > USER_NAME_BYTES_MAX {
            return Err(ParseUserNameError::TooLong { actual_bytes: text.len() });
        }
        match text.chars().find(|character| is_wrong(*character)) {
            Some(character) => Err(ParseUserNameError::Character { character }),
            None => Ok(UserName(text.into())),
        }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for UserName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUserNameError {
    /// There is nothing.
    #[error("a user's name is empty")]
    Empty,
    /// There is too much.
    #[error("a user's name has {actual_bytes} bytes, more than {USER_NAME_BYTES_MAX}")]
    TooLong {
        /// How much.
        actual_bytes: usize,
    },
    /// A character that cannot be in it.
    #[error("a user's name has {character:?} in it")]
    Character {
        /// The first such.
        character: char,
    },
}

impl FromStr for UserName {
    type Err = ParseUserNameError;

    fn from_str(text: &str) -> Result<UserName, ParseUserNameError> {
        UserName::checked(text, |character| character == ':' || character.is_control())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["ada", "a", "Ada Lovelace", "ada@example.com", "ad\u{e4}", &"x".repeat(255)] {
            assert_eq!(name.parse::<UserName>().unwrap().to_string(), name);
        }
        for (name, error) in [
            ("", ParseUserNameError::Empty),
            ("a:b", ParseUserNameError::Character { character: ':' }),
            ("a\nb", ParseUserNameError::Character { character: '\n' }),
            (&"x".repeat(256), ParseUserNameError::TooLong { actual_bytes: 256 }),
        ] {
            assert_eq!(name.parse::<UserName>(), Err(error), "{name:?}");
        }
        assert_eq!(UserName::of_subject("system:robot").unwrap().as_str(), "system:robot");
        assert!(UserName::of_subject("a\nb").is_err() && UserName::of_subject("").is_err());
    }
}
