//! Commands about retention.

use std::path::PathBuf;

use lexopt::prelude::*;
use registry_core::{collector::retention::import::Source, types::Pattern};

use super::Command;

/// What is to be done about retention.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    /// What the policies would do.
    Preview { only: Option<Pattern>, is_json: bool },
    /// The same, and deleting.
    Apply { only: Option<Pattern>, is_json: bool },
}

/// Policies of another registry, to be translated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) source: Source,
    pub(crate) file: PathBuf,
    pub(crate) repositories: Option<Pattern>,
}

pub(super) fn retention(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    match arguments.next()? {
        Some(Value(verb)) if verb == "preview" => {
            run(arguments, |only, is_json| Retention::Preview { only, is_json })
        }
        Some(Value(verb)) if verb == "apply" => {
            run(arguments, |only, is_json| Retention::Apply { only, is_json })
        }
        Some(Value(verb)) if verb == "import" => import(arguments),
        Some(Short('h') | Long("help")) => Ok(Command::Help),
        Some(other) => Err(other.unexpected()),
        None => Err("retention needs to know what: preview, apply or import".into()),
    }
}

fn run(
    arguments: &mut lexopt::Parser,
    what: impl Fn(Option<Pattern>, bool) -> Retention,
) -> Result<Command, lexopt::Error> {
    let (mut config, mut only, mut is_json) = (None, None, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(path) if config.is_none() => config = Some(PathBuf::from(path)),
            Long("config") if config.is_none() => config = Some(arguments.value()?.into()),
            Long("repository") => only = Some(super::content::parse(&arguments.value()?.string()?)?),
            Long("report") => is_json = super::is_json(arguments)?,
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Retention { config, what: what(only, is_json) })
}

fn import(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut source, mut file, mut repositories) = (None, None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(path) if file.is_none() => file = Some(PathBuf::from(path)),
            Long("from") => source = Some(arguments.value()?.parse()?),
            Long("repositories") => {
                repositories = Some(super::content::parse(&arguments.value()?.string()?)?);
            }
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    let source = source.ok_or("import needs --from: ecr, gar, harbor or gitlab")?;
    let file = file.ok_or("import needs the file with the policies")?;
    Ok(Command::ImportRetention(Import { source, file, repositories }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        retention(&mut lexopt::Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn commands_are_understood() {
        let only = Some("team/**".parse().unwrap());
        let what = Retention::Preview { only, is_json: true };
        let arguments = ["preview", "--config", "a.yml", "--repository", "team/**", "--report", "json"];
        assert_eq!(parsed(&arguments), Ok(Command::Retention { config: Some("a.yml".into()), what }));
        let what = Retention::Apply { only: None, is_json: false };
        assert_eq!(
            parsed(&["apply", "a.yml"]),
            Ok(Command::Retention { config: Some("a.yml".into()), what })
        );
        let import = Import { source: Source::Ecr, file: "p.json".into(), repositories: None };
        assert_eq!(parsed(&["import", "--from", "ecr", "p.json"]), Ok(Command::ImportRetention(import)));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (arguments, named) in [
            (&[][..], "preview"),
            (&["import", "p.json"], "--from"),
            (&["import", "--from", "quay", "p.json"], "quay"),
            (&["import", "--from", "ecr"], "file"),
            (&["preview", "--repository", "re:("], "re:("),
            (&["purge"], "purge"),
        ] {
            let error = parsed(arguments).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
