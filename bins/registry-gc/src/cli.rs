//! The command line.

use std::path::PathBuf;

use lexopt::prelude::*;

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    Collect(Arguments),
}

/// How to collect.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) config: Option<PathBuf>,
    pub(crate) is_dry_run: bool,
    pub(crate) report: Format,
}

/// The form of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

pub(crate) const HELP: &str = "\
One garbage collection of a registry, then exit. Safe beside servers that take pushes, and beside others of its kind.

Usage: registry-gc [options]

Options:
  --config <config.yml>   the configuration of the server; REGISTRY_… variables count as there
  --dry-run               only say what would go
  --report <text|json>    the form of the report on standard output
  -h, --help              this text
  -v, --version           the version

Exits with 0 if all that was due was dealt with, and with 1 if something failed; the next run tries it again.
";

/// Names the configuration file, if the command line does not.
const CONFIGURATION_PATH: &str = "REGISTRY_CONFIGURATION_PATH";

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let command = parse_from(lexopt::Parser::from_env())?;
    Ok(match command {
        Command::Collect(Arguments { config: None, is_dry_run, report }) => {
            let config = std::env::var_os(CONFIGURATION_PATH).map(PathBuf::from);
            Command::Collect(Arguments { config, is_dry_run, report })
        }
        command => command,
    })
}

fn parse_from(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut arguments = Arguments::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config") => arguments.config = Some(parser.value()?.into()),
            Long("dry-run") => arguments.is_dry_run = true,
            Long("report") => {
                arguments.report = match parser.value()?.to_str() {
                    Some("text") => Format::Text,
                    Some("json") => Format::Json,
                    _ => return Err("the report is `text` or `json`".into()),
                }
            }
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('v') | Short('V') | Long("version") => return Ok(Command::Version),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Collect(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        parse_from(lexopt::Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_understood() {
        assert_eq!(parse(&[]), Ok(Command::Collect(Arguments::default())));
        assert_eq!(parse(&["--help"]), Ok(Command::Help));
        assert_eq!(parse(&["-v"]), Ok(Command::Version));
        let all = parse(&["--config", "a.yml", "--dry-run", "--report=json"]);
        let expected = Arguments { config: Some("a.yml".into()), is_dry_run: true, report: Format::Json };
        assert_eq!(all, Ok(Command::Collect(expected)));
        for (wrong, named) in [("--report=xml", "json"), ("--force", "--force"), ("a.yml", "a.yml")] {
            assert!(parse(&[wrong]).unwrap_err().contains(named));
        }
    }
}
