//! Moving in and out.

use clap::Args;

use super::Format;

/// How `import` works.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct ImportStorage {
    /// Only show what would be done
    #[arg(short = 'n', long = "dry-run", conflicts_with = "finishes")]
    pub(crate) is_dry: bool,
    /// Make the content this registry's own: clients may change it, and the Go registry must not serve it any more
    #[arg(long = "finish")]
    pub(crate) finishes: bool,
    /// … although imported bytes are missing, which are hidden until they are pushed again
    #[arg(long = "accept-missing", requires = "finishes")]
    pub(crate) accepts_missing: bool,
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) report: Format,
}

/// How `export` works.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Export {
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) report: Format,
}
