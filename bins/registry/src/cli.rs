//! The command line.

mod content;
mod retention;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum,
    builder::{BoolishValueParser, NonEmptyStringValueParser},
};

pub(crate) use self::{
    content::{Content, RepositoryCommand, TagCommand, Target, Undelete},
    retention::{Import, Retention, Which},
};

/// A container registry: push and pull images with docker, podman, containerd and every other OCI client.
#[derive(Debug, Parser)]
#[command(
    name = "registry",
    version = registry_core::api::version(),
    disable_version_flag = true,
    subcommand_required = true,
    after_help = AFTER_HELP
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

const AFTER_HELP: &str = "\
`registry <command> --help` tells of one command.

The configuration is the Go registry's config.yml; every key can also be set by a variable:
  REGISTRY_HTTP_ADDR=0.0.0.0:5000 REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/data registry serve
REGISTRY_CONFIGURATION_PATH names the file if the command line does not.

Try it:
  registry serve &
  docker pull alpine
  docker tag alpine localhost:5000/alpine
  docker push localhost:5000/alpine
";

/// What the user wants.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Serve; without a file on 127.0.0.1:5000, data in one folder
    Serve {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// List all problems of a configuration, with their key paths
    CheckConfig {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Ask the server that the configuration describes whether it is well: exits with 0 if it is, else with 1
    Health(Health),
    /// Read a password from standard input, print a line for a password file
    HashPassword {
        /// The user's name
        #[arg(value_name = "user", value_parser = NonEmptyStringValueParser::new())]
        user: String,
        /// How hard it is to guess: 2^n rounds
        #[arg(long, value_name = "n", default_value_t = 10)]
        cost: u32,
    },
    /// Look at the database's journal in the store, or end it
    #[command(subcommand)]
    Journal(Journal),
    /// Move the metadata of a stopped registry from SQLite to the PostgreSQL of the configuration
    Migrate {
        /// The SQLite database (default: metadata.sqlite in the data folder)
        #[arg(long, value_name = "file")]
        from: Option<PathBuf>,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Give back what nothing needs any more; safe while a server runs, which does it anyway
    GarbageCollect {
        #[command(flatten)]
        how: GarbageCollect,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Compare rows with bytes, both ways; safe while a server runs. Exits with 1 if it finds a fault
    Fsck {
        #[command(flatten)]
        how: Fsck,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// What is used of each quota
    Quota {
        #[command(flatten)]
        how: Quota,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Which images the policies of the configuration let go; safe while a server runs
    #[command(subcommand)]
    Retention(Retention),
    /// Bring back a tag, a manifest or a whole repository, for as long as it is kept; or list what can be brought back
    Undelete(Undelete),
    /// The history of a tag, and the way back
    #[command(subcommand)]
    Tag(TagCommand),
    /// Delete a whole repository
    #[command(subcommand)]
    Repository(RepositoryCommand),
}

/// Where the configuration is: as an argument of its own, or behind `--config`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct ConfigFile {
    /// The configuration file
    #[arg(value_name = "config.yml", conflicts_with = "config")]
    argument: Option<PathBuf>,
    /// The same, as an option
    #[arg(long, value_name = "config.yml")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// The file that the command line names.
    pub(crate) fn named(self) -> Option<PathBuf> {
        self.argument.or(self.config)
    }
}

/// How `health` asks.
#[derive(Args, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Health {
    /// Ask here, whatever the configuration says; certificates are not verified
    #[arg(long, value_name = "url", conflicts_with_all = ["argument", "config"])]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

/// How `fsck` looks.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Fsck {
    /// Read all bytes and hash them
    #[arg(long = "deep")]
    pub(crate) is_deep: bool,
    /// … of so many objects only, others each time
    #[arg(long = "sample", value_name = "percent", default_value_t = 100)]
    pub(crate) sample_percent: u8,
    /// … so many MiB a second
    #[arg(long = "rate", value_name = "MiB", default_value_t = 0, hide_default_value = true)]
    pub(crate) mebibytes_per_second: u32,
    /// Hide what is bad, so that clients push it again; delete only what no row leads to
    #[arg(long = "repair")]
    pub(crate) repairs: bool,
    /// Take a database for the right one that was restored from an old copy
    #[arg(long = "accept-older-database")]
    pub(crate) accepts_older_database: bool,
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) report: Format,
}

/// How `quota` reports.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Quota {
    /// Count again first
    #[arg(long = "recount")]
    pub(crate) recounts: bool,
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) report: Format,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

impl Format {
    pub(crate) fn is_json(self) -> bool {
        self == Format::Json
    }
}

/// What to do with the journal of the database.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Journal {
    /// What the store has of the journal, and where the database is
    Status {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Read all of it, replay it, and compare it with the database
    Verify {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Remove it from the store; the database goes on without one
    Drop {
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// How `garbage-collect` works: the Go registry's flags, which it also takes with `=true` and `=false`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct GarbageCollect {
    /// Only say what would go
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
        hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new(), value_name = "bool")]
    pub(crate) dry_run: bool,
    /// Manifests without a tag too, unless something refers to them
    #[arg(short = 'm', long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", hide_default_value = true, hide_possible_values = true,
        value_parser = BoolishValueParser::new(), value_name = "bool")]
    pub(crate) delete_untagged: bool,
    /// Say nothing
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
        hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new(), value_name = "bool")]
    pub(crate) quiet: bool,
}

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Command, clap::Error> {
    parse_from(std::env::args_os().skip(1).collect(), Path::is_file)
}

/// Reads arguments, without the program's name.
pub(crate) fn parse_from(
    mut arguments: Vec<OsString>,
    is_file: impl Fn(&Path) -> bool,
) -> Result<Command, clap::Error> {
    match arguments.first() {
        None => arguments.push("--help".into()),
        // The Go registry's image serves when it is given a file alone.
        Some(first) if !is_command(first) && is_file(Path::new(first)) => arguments.insert(0, "serve".into()),
        Some(_) => {}
    }
    let arguments = std::iter::once("registry".into()).chain(arguments);
    Ok(Arguments::try_parse_from(arguments)?.command)
}

fn is_command(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| {
        name == "help" || Arguments::command().get_subcommands().any(|command| command.get_name() == name)
    })
}

#[cfg(test)]
mod tests;
