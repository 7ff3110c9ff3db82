//! Commands that bring content back, or take it away.

use std::str::FromStr;

use clap::{Args, Subcommand};
use registry_core::{
    digest::Digest,
    types::{Reference, RepositoryName, Tag},
};

use super::ConfigFile;

/// What is to be done with content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Undelete(Target),
    ListDeleted { repository: Option<RepositoryName> },
    TagHistory { repository: RepositoryName, tag: Tag },
    TagRevert { repository: RepositoryName, tag: Tag, to: Option<Digest> },
    DeleteRepository { name: RepositoryName },
    EmptyTrash { repository: Option<RepositoryName>, is_meant: bool },
}

/// A repository, or something in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) repository: RepositoryName,
    pub(crate) reference: Option<Reference>,
}

/// A tag in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedTag {
    repository: RepositoryName,
    tag: Tag,
}

#[derive(Args, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Undelete {
    #[arg(
        value_name = "target",
        required_unless_present = "list",
        help = "What to restore: <repository>, <repository>:<tag> or <repository>@<digest>"
    )]
    target: Option<Target>,
    /// List what can be restored, in this repository or whole repositories
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

impl Undelete {
    pub(crate) fn what(self) -> Content {
        match (self.list, self.target) {
            (false, Some(target)) => Content::Undelete(target),
            // A tag or a digest behind the name narrows nothing down.
            (_, target) => Content::ListDeleted { repository: target.map(|target| target.repository) },
        }
    }
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum TagCommand {
    /// Show what the tag pointed to, when it changed, and who changed it
    History {
        /// The tag, with its repository
        #[arg(value_name = "repository:tag")]
        tag: NamedTag,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Set it to the manifest that it pointed to before, or to another one
    Revert {
        /// The tag, with its repository
        #[arg(value_name = "repository:tag")]
        tag: NamedTag,
        /// The manifest
        #[arg(long, value_name = "digest")]
        to: Option<Digest>,
        #[command(flatten)]
        file: ConfigFile,
    },
}

impl TagCommand {
    pub(crate) fn what(self) -> (ConfigFile, Content) {
        match self {
            TagCommand::History { tag: NamedTag { repository, tag }, file } => {
                (file, Content::TagHistory { repository, tag })
            }
            TagCommand::Revert { tag: NamedTag { repository, tag }, to, file } => {
                (file, Content::TagRevert { repository, tag, to })
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum RepositoryCommand {
    /// Delete a repository with all that is in it
    Delete {
        /// Its name
        #[arg(value_name = "name")]
        name: RepositoryName,
        #[command(flatten)]
        file: ConfigFile,
    },
}

impl RepositoryCommand {
    pub(crate) fn what(self) -> (ConfigFile, Content) {
        let RepositoryCommand::Delete { name, file } = self;
        (file, Content::DeleteRepository { name })
    }
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum TrashCommand {
    /// Give up what was deleted and could still be brought back, so that its space is free with the next collection
    Empty {
        /// Only what was deleted in this repository, and deleted repositories of this name
        #[arg(long, value_name = "name")]
        repository: Option<RepositoryName>,
        /// Do it: none of it can be brought back after that
        #[arg(long = "yes")]
        is_meant: bool,
        #[command(flatten)]
        file: ConfigFile,
    },
}

impl TrashCommand {
    pub(crate) fn what(self) -> (ConfigFile, Content) {
        let TrashCommand::Empty { repository, is_meant, file } = self;
        (file, Content::EmptyTrash { repository, is_meant })
    }
}

/// `repository`, `repository:tag` or `repository@digest`. A repository has no colon: there is no host before it.
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        if let Some((repository, digest)) = text.split_once('@') {
            let reference = Some(Reference::Digest(parse(digest)?));
            return Ok(Target { repository: parse(repository)?, reference });
        }
        match text.split_once(':') {
            Some((repository, tag)) => {
                let reference = Some(Reference::Tag(parse(tag)?));
                Ok(Target { repository: parse(repository)?, reference })
            }
            None => Ok(Target { repository: parse(text)?, reference: None }),
        }
    }
}

impl FromStr for NamedTag {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedTag, String> {
        match text.parse()? {
            Target { repository, reference: Some(Reference::Tag(tag)) } => Ok(NamedTag { repository, tag }),
            _ => Err("is no tag: it is written `repository:tag`".to_owned()),
        }
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("`{text}`: {error}"))
}
