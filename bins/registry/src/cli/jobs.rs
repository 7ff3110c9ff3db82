//! Commands about work that waits or was given up.

use clap::{Args, Subcommand};

use super::{ConfigFile, Format};

/// What to do with jobs.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Jobs {
    /// Show jobs that wait and jobs that were given up
    List(ListJobs),
    /// Have a job tried again that was given up
    Replay {
        /// The job's number, as `jobs list` shows it
        #[arg(value_name = "id")]
        id: i64,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Remove jobs that were given up
    Discard(DiscardJobs),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct ListJobs {
    /// Only this kind
    #[arg(long, value_name = "kind")]
    pub(crate) kind: Option<String>,
    /// Only what was given up
    #[arg(long = "dead")]
    pub(crate) only_dead: bool,
    /// How many
    #[arg(long, value_name = "n", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) report: Format,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct DiscardJobs {
    /// The job's number, as `jobs list` shows it
    #[arg(long, value_name = "id", required_unless_present = "kind", conflicts_with = "kind")]
    pub(crate) id: Option<i64>,
    /// All of this kind
    #[arg(long, value_name = "kind")]
    pub(crate) kind: Option<String>,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}
