use std::fmt;

use registry_types::RepositoryName;

/// What may be done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Reading.
    Pull,
    /// Adding, and moving tags.
    Push,
    /// Removing.
    Delete,
}

impl Action {
    /// The word for it in scopes: `pull`, `push` or `delete`.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Pull => "pull",
            Action::Push => "push",
            Action::Delete => "delete",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request needs to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// To ask whether there is a registry: `GET /v2/`. Clients learn here whether they must log in.
    Base,
    /// To list the repositories that the caller may see.
    Catalog,
    /// To do something to one repository.
    Repository {
        /// Which.
        name: RepositoryName,
        /// What, all of it.
        actions: &'static [Action],
    },
}
