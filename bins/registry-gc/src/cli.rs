//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// One garbage collection of a registry, then exit. Safe beside servers that take pushes, and beside others of its kind.
#[derive(Debug, Default, Parser, PartialEq, Eq)]
#[command(
    name = "registry-gc",
    version = registry_core::api::version(),
    disable_version_flag = true,
    after_help = "Exits with 0 if everything due was processed, and with 1 if something failed; the next run tries it again."
)]
pub(crate) struct Arguments {
    /// The configuration of the server; REGISTRY_… variables count as there
    #[arg(value_name = "config.yml", conflicts_with = "config")]
    argument: Option<PathBuf>,
    /// The same, as an option
    #[arg(long, value_name = "config.yml")]
    config: Option<PathBuf>,
    /// Only show what would be removed
    #[arg(short, long = "dry-run")]
    pub(crate) is_dry_run: bool,
    /// The form of the report on standard output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) report: Format,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

/// The form of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

/// Names the configuration file, if the command line does not.
const CONFIGURATION_PATH: &str = "REGISTRY_CONFIGURATION_PATH";

impl Arguments {
    /// The configuration file: the command line's, then a variable's.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let named = self.argument.clone().or_else(|| self.config.clone());
        named.or_else(|| std::env::var_os(CONFIGURATION_PATH).map(PathBuf::from))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"registry-gc").chain(arguments))
    }

    #[test]
    fn options_are_understood() {
        Arguments::command().debug_assert();
        assert_eq!(parse(&[]).unwrap(), Arguments::default());
        let all = parse(&["--config", "a.yml", "--dry-run", "--report=json"]).unwrap();
        let expected = Arguments {
            config: Some("a.yml".into()),
            is_dry_run: true,
            report: Format::Json,
            ..Arguments::default()
        };
        assert_eq!(all, expected);
        for arguments in [&["a.yml"][..], &["--config", "a.yml"], &["--config=a.yml"]] {
            assert_eq!(parse(arguments).unwrap().file(), Some("a.yml".into()), "{arguments:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (arguments, named) in [
            (&["--report=xml"][..], "json"),
            (&["--force"], "--force"),
            (&["a.yml", "b.yml"], "b.yml"),
            (&["--dry-rum"], "'--dry-run'"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
            assert!(error.to_string().contains(named), "{error}");
        }
        for arguments in [["--help"], ["-h"], ["-v"], ["--version"]] {
            assert_eq!(parse(&arguments).unwrap_err().exit_code(), 0, "{arguments:?}");
        }
    }
}
