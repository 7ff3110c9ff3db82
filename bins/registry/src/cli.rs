//! The command line.

mod content;
mod jobs;
mod moving;
mod retention;
mod webhook;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum,
    builder::{BoolishValueParser, NonEmptyStringValueParser},
};

use clap_complete::Shell;

pub(crate) use self::{
    content::{Content, RepositoryCommand, TagCommand, Target, TrashCommand, Undelete},
    jobs::{DiscardJobs, Jobs, ListJobs},
    moving::{Export, ImportStorage},
    retention::{Import, Retention, Which},
    webhook::{Add, History, Redeliver, Rotate, Secrets, Webhook, header},
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
    /// Ask the configured server whether it is healthy: exits with 0 if it is, else with 1
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
    /// Inspect the database's journal in the store, or remove it
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
    /// Take over the storage of a Go registry in place, as often as needed, while it serves
    Import {
        #[command(flatten)]
        how: ImportStorage,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Write the layout of the Go registry, so that it serves what is here
    Export {
        #[command(flatten)]
        how: Export,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Collect garbage once; safe while a server runs, which does it by itself
    GarbageCollect {
        #[command(flatten)]
        how: GarbageCollect,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Compare the database with the stored objects; safe while a server runs. Exits with 1 if it finds a fault
    Fsck {
        #[command(flatten)]
        how: Fsck,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Show how much of each quota is used
    Quota {
        #[command(flatten)]
        how: Quota,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Show or delete the images that retention policies let go; safe while a server runs
    #[command(subcommand)]
    Retention(Retention),
    /// Restore a deleted tag, manifest or repository while it is kept, or list what can be restored
    Undelete(Undelete),
    /// Show the history of a tag, or revert it
    #[command(subcommand)]
    Tag(TagCommand),
    /// Delete a whole repository
    #[command(subcommand)]
    Repository(RepositoryCommand),
    /// What was deleted and is still kept
    #[command(subcommand)]
    Trash(TrashCommand),
    /// Tell receivers of events: add, look after and remove them
    #[command(subcommand)]
    Webhook(Webhook),
    /// Look after work that waits to be done, or was given up; safe while a server runs
    #[command(subcommand)]
    Jobs(Jobs),
    /// The key that seals secrets in the database
    #[command(subcommand)]
    Secrets(Secrets),
    /// Certificates that were ordered from an authority (`http.tls.letsencrypt`)
    #[command(subcommand)]
    Certificate(Certificate),
    /// Print a script with which a shell completes this command line
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
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

/// What to do with certificates that were ordered.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Certificate {
    /// List them, and for how long they are good
    List {
        /// The form of the report
        #[arg(long, value_enum, default_value_t)]
        report: Format,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Remove one; a server that wants one orders another
    Remove {
        /// The host that it is for
        #[arg(value_name = "host", value_parser = NonEmptyStringValueParser::new())]
        host: String,
        #[command(flatten)]
        file: ConfigFile,
    },
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
    /// … of a random percentage of the objects
    #[arg(long = "sample", value_name = "percent", default_value_t = 100)]
    pub(crate) sample_percent: u8,
    /// … at most so many MiB a second
    #[arg(long = "rate", value_name = "MiB", default_value_t = 0, hide_default_value = true)]
    pub(crate) mebibytes_per_second: u32,
    /// Hide damaged objects, so that clients push them again; delete objects that no row refers to
    #[arg(long = "repair")]
    pub(crate) repairs: bool,
    /// Accept a database that was restored from an older backup
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
    /// Recount first
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
    /// Show what the store has of the journal, and how far the database is
    Status {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Read and replay the whole journal, and compare it with the database
    Verify {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Remove the journal from the store; the database continues without one
    Drop {
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// How `garbage-collect` works: the Go registry's flags, which it also takes with `=true` and `=false`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct GarbageCollect {
    /// Only show what would be removed
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
        hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new(), value_name = "bool")]
    pub(crate) dry_run: bool,
    /// Also remove manifests without a tag that nothing refers to
    #[arg(short = 'm', long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", hide_default_value = true, hide_possible_values = true,
        value_parser = BoolishValueParser::new(), value_name = "bool")]
    pub(crate) delete_untagged: bool,
    /// Print nothing
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

/// The script with which a shell completes the command line.
pub(crate) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "registry", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn is_command(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| {
        name == "help" || Arguments::command().get_subcommands().any(|command| command.get_name() == name)
    })
}

#[cfg(test)]
mod tests;
