use std::fmt;
use std::str::FromStr;

/// Who is asking. `Display` gives the user's name, or `anonymous`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Somebody without credentials.
    Anonymous,
    /// Somebody who has proved to be this user.
    User(UserName),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Anonymous => f.write_str("anonymous"),
            Caller::User(name) => name.fmt(f),
        }
    }
}

/// The longest name of a user.
pub const USER_NAME_BYTES_MAX: usize = 255;

/// A user's name: 1 to [`USER_NAME_BYTES_MAX`] bytes without a colon, which ends it in credentials, and without control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Box<str>);

impl UserName {
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
        if text.is_empty() {
            return Err(ParseUserNameError::Empty);
        }
        if text.len() > USER_NAME_BYTES_MAX {
            return Err(ParseUserNameError::TooLong { actual_bytes: text.len() });
        }
        match text.chars().find(|character| *character == ':' || character.is_control()) {
            Some(character) => Err(ParseUserNameError::Character { character }),
            None => Ok(UserName(text.into())),
        }
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
    }
}
