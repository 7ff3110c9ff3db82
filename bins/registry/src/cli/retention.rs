//! Commands about retention.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use registry_core::{collector::retention::import::Source, types::Pattern};

use super::{ConfigFile, Format};

/// What to do about retention.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Retention {
    /// Show what the policies keep, what they would delete, and which rule decides
    Preview(Which),
    /// Delete now what the policies let go
    Apply(Which),
    /// Print another registry's policies as a section of the configuration
    Import(Import),
}

/// About which repositories, and how it is told.
#[derive(Args, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Which {
    /// In these repositories only
    #[arg(long = "repository", value_name = "pattern")]
    pub(crate) only: Option<Pattern>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) report: Format,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

/// Policies of another registry, to be translated.
#[derive(Args, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Import {
    /// Whose policies they are: ecr, gar, harbor or gitlab
    #[arg(long = "from", value_name = "registry")]
    pub(crate) source: Source,
    /// The file with the policies; `-` is standard input
    #[arg(value_name = "file.json")]
    pub(crate) file: PathBuf,
    /// For these repositories (default **)
    #[arg(long, value_name = "pattern")]
    pub(crate) repositories: Option<Pattern>,
}
