//! The command line.

mod content;
mod retention;

use std::path::{Path, PathBuf};

use lexopt::prelude::*;

pub(crate) use self::{
    content::{Content, Target},
    retention::{Import, Retention},
};

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    Serve { config: Option<PathBuf> },
    CheckConfig { config: Option<PathBuf> },
    HashPassword { user: String, cost: u32 },
    Migrate { from: Option<PathBuf>, config: Option<PathBuf> },
    Journal { action: JournalAction, config: Option<PathBuf> },
    GarbageCollect { config: Option<PathBuf>, how: GarbageCollect },
    Fsck { config: Option<PathBuf>, how: Fsck },
    Quota { config: Option<PathBuf>, how: Quota },
    Content { config: Option<PathBuf>, what: Content },
    Retention { config: Option<PathBuf>, what: Retention },
    ImportRetention(Import),
}

/// How `fsck` looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fsck {
    pub(crate) is_deep: bool,
    pub(crate) sample_percent: u8,
    pub(crate) mebibytes_per_second: u32,
    pub(crate) repairs: bool,
    pub(crate) accepts_older_database: bool,
    pub(crate) is_json: bool,
}

/// How `quota` reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) recounts: bool,
    pub(crate) is_json: bool,
}

/// What to do with the journal of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JournalAction {
    Status,
    Verify,
    Drop,
}

/// How `garbage-collect` works: the Go registry's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GarbageCollect {
    pub(crate) dry_run: bool,
    pub(crate) delete_untagged: bool,
    pub(crate) quiet: bool,
}

pub(crate) const HELP: &str = "\
A container registry: push and pull images with docker, podman, containerd and every other OCI client.

Usage: registry <command>

Commands:
  serve [config.yml]          serve; without a file on 127.0.0.1:5000, data in one folder
  check-config [config.yml]   list all problems of a configuration, with their key paths
  hash-password <user>        read a password from standard input, print a line for a password file
      --cost <n>              how hard it is to guess: 2^n rounds (default 10)
  journal status [config.yml] what the store has of the database's journal, and where the database is
  journal verify [config.yml] read all of it, replay it, and compare it with the database
  journal drop [config.yml]   remove it from the store; the database goes on without one
  migrate [config.yml]        move the metadata of a stopped registry from SQLite to the PostgreSQL of the configuration
      --from <file>           the SQLite database (default: metadata.sqlite in the data folder)

  garbage-collect [config.yml]
                              give back what nothing needs any more; safe while a server runs, which does it anyway
      -d, --dry-run           only say what would go
      -m, --delete-untagged   manifests without a tag too, unless something refers to them
      -q, --quiet             say nothing
  fsck [config.yml]           compare rows with bytes, both ways; safe while a server runs. Exits with 1 if it finds a fault
      --deep                  read all bytes and hash them
      --sample <percent>      … of so many objects only, others each time
      --rate <MiB>            … so many a second
      --repair                hide what is bad, so that clients push it again; delete only what no row leads to
      --accept-older-database take a database for the right one that was restored from an old copy
      --report <text|json>    the form of the report (default text)
  quota [config.yml]          what is used of each quota
      --recount               count again first
      --report <text|json>    the form of the report (default text)

Retention (with policies in the configuration; safe while a server runs):
  retention preview [config.yml]
                              what the policies keep and what they would delete, and which rule decides
      --repository <pattern>  … in these repositories only
      --report <text|json>    the form of the report (default text)
  retention apply [config.yml]
                              delete it now; the same options
  retention import --from <ecr|gar|harbor|gitlab> <file.json>
                              print another registry's policies as a section of the configuration
      --repositories <pattern>
                              … for these repositories (default **)

Content (each with --config <config.yml>; safe while a server runs):
  undelete <repository>[:<tag>|@<digest>]
                              bring back a tag, a manifest or a whole repository, for as long as it is kept
  undelete --list [<repository>]
                              what can be brought back
  tag history <repository>:<tag>
                              what the tag led to, who changed it and when
  tag revert <repository>:<tag> [--to <digest>]
                              have it lead to what it led to before, or to that manifest
  repository delete <name>    delete a repository with all that is in it

Options:
  -h, --help                  this text
  -v, --version               the version

The configuration is the Go registry's config.yml; every key can also be set by a variable:
  REGISTRY_HTTP_ADDR=0.0.0.0:5000 REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/data registry serve
REGISTRY_CONFIGURATION_PATH names the file if the command line does not.

Try it:
  registry serve &
  docker tag alpine localhost:5000/alpine
  docker push localhost:5000/alpine
";

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    parse_from(lexopt::Parser::from_env(), |path| path.is_file())
}

fn parse_from(
    mut arguments: lexopt::Parser,
    is_file: impl Fn(&Path) -> bool,
) -> Result<Command, lexopt::Error> {
    let Some(first) = arguments.next()? else { return Ok(Command::Help) };
    let command = match first {
        Short('h') | Long("help") => Command::Help,
        Short('v') | Short('V') | Long("version") => Command::Version,
        Value(name) => match name.to_str() {
            Some("help") => Command::Help,
            Some("serve") => Command::Serve { config: optional_path(&mut arguments)? },
            Some("check-config") => Command::CheckConfig { config: optional_path(&mut arguments)? },
            Some("undelete") => content::undelete(&mut arguments)?,
            Some("tag") => content::tag(&mut arguments)?,
            Some("repository") => content::repository(&mut arguments)?,
            Some("retention") => retention::retention(&mut arguments)?,
            Some("fsck") => fsck(&mut arguments)?,
            Some("quota") => quota(&mut arguments)?,
            Some("garbage-collect") => garbage_collect(&mut arguments)?,
            Some("hash-password") => hash_password(&mut arguments)?,
            Some("journal") => journal(&mut arguments)?,
            Some("migrate") => migrate(&mut arguments)?,
            // The Go registry's image serves when it is given a file alone.
            _ if is_file(Path::new(&name)) => Command::Serve { config: Some(name.into()) },
            _ => return Err(format!("there is no command `{}`", name.to_string_lossy()).into()),
        },
        other => return Err(other.unexpected()),
    };
    match arguments.next()? {
        None => Ok(command),
        Some(Short('h') | Long("help")) => Ok(Command::Help),
        Some(other) => Err(other.unexpected()),
    }
}

fn optional_path(arguments: &mut lexopt::Parser) -> Result<Option<PathBuf>, lexopt::Error> {
    match arguments.try_raw_args() {
        Some(mut raw) => match raw.peek() {
            Some(next) if !next.to_string_lossy().starts_with('-') => Ok(raw.next().map(PathBuf::from)),
            _ => Ok(None),
        },
        None => Ok(None),
    }
}

fn journal(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let action = match arguments.next()? {
        Some(Value(name)) if name == "status" => JournalAction::Status,
        Some(Value(name)) if name == "verify" => JournalAction::Verify,
        Some(Value(name)) if name == "drop" => JournalAction::Drop,
        Some(Short('h') | Long("help")) => return Ok(Command::Help),
        Some(other) => return Err(other.unexpected()),
        None => return Err("journal needs to know what: status, verify or drop".into()),
    };
    Ok(Command::Journal { action, config: optional_path(arguments)? })
}

fn migrate(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut from, mut config) = (None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(path) if config.is_none() => config = Some(path.into()),
            Long("config") if config.is_none() => config = Some(arguments.value()?.into()),
            Long("from") if from.is_none() => from = Some(arguments.value()?.into()),
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Migrate { from, config })
}

fn hash_password(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut user = None;
    let mut cost = 10;
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(name) if user.is_none() => user = Some(name.string()?),
            Long("cost") => cost = arguments.value()?.parse()?,
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    let user = user.ok_or("hash-password needs the user's name")?;
    Ok(Command::HashPassword { user, cost })
}

fn garbage_collect(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut config, mut how) = (None, GarbageCollect::default());
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(path) if config.is_none() => config = Some(path.into()),
            Short('d') | Long("dry-run") => how.dry_run = flag(arguments)?,
            Short('m') | Long("delete-untagged") => how.delete_untagged = flag(arguments)?,
            Short('q') | Long("quiet") => how.quiet = flag(arguments)?,
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::GarbageCollect { config, how })
}

fn fsck(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut config = None;
    let mut how = Fsck {
        is_deep: false,
        sample_percent: 100,
        mebibytes_per_second: 0,
        repairs: false,
        accepts_older_database: false,
        is_json: false,
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(path) if config.is_none() => config = Some(path.into()),
            Long("deep") => how.is_deep = true,
            Long("sample") => how.sample_percent = arguments.value()?.parse()?,
            Long("rate") => how.mebibytes_per_second = arguments.value()?.parse()?,
            Long("repair") => how.repairs = true,
            Long("accept-older-database") => how.accepts_older_database = true,
            Long("report") => how.is_json = is_json(arguments)?,
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Fsck { config, how })
}

fn quota(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut config, mut how) = (None, Quota::default());
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(path) if config.is_none() => config = Some(path.into()),
            Long("config") if config.is_none() => config = Some(arguments.value()?.into()),
            Long("recount") => how.recounts = true,
            Long("report") => how.is_json = is_json(arguments)?,
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Quota { config, how })
}

/// The form of a report.
fn is_json(arguments: &mut lexopt::Parser) -> Result<bool, lexopt::Error> {
    match arguments.value()?.to_str() {
        Some("json") => Ok(true),
        Some("text") => Ok(false),
        _ => Err("a report is `text` or `json`".into()),
    }
}

/// A flag as the Go registry takes it: alone, or `=true` and `=false`.
fn flag(arguments: &mut lexopt::Parser) -> Result<bool, lexopt::Error> {
    match arguments.optional_value() {
        None => Ok(true),
        Some(value) => Ok(value.parse()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        let parser = lexopt::Parser::from_args(arguments);
        parse_from(parser, |path| path == Path::new("/my.yml")).map_err(|error| error.to_string())
    }

    #[test]
    fn commands_are_understood() {
        let cases: Vec<(&[&str], Command)> = vec![
            (&[], Command::Help),
            (&["--help"], Command::Help),
            (&["serve", "--help"], Command::Help),
            (&["-v"], Command::Version),
            (&["serve"], Command::Serve { config: None }),
            (&["serve", "a.yml"], Command::Serve { config: Some("a.yml".into()) }),
            (&["/my.yml"], Command::Serve { config: Some("/my.yml".into()) }),
            (&["check-config", "a.yml"], Command::CheckConfig { config: Some("a.yml".into()) }),
            (
                &["journal", "verify", "a.yml"],
                Command::Journal { action: JournalAction::Verify, config: Some("a.yml".into()) },
            ),
            (&["journal", "status"], Command::Journal { action: JournalAction::Status, config: None }),
            (
                &["garbage-collect", "-m", "--dry-run=false", "a.yml", "-q"],
                Command::GarbageCollect {
                    config: Some("a.yml".into()),
                    how: GarbageCollect { dry_run: false, delete_untagged: true, quiet: true },
                },
            ),
            (&["hash-password", "ann"], Command::HashPassword { user: "ann".into(), cost: 10 }),
            (&["migrate"], Command::Migrate { from: None, config: None }),
            (
                &["quota", "--config", "a.yml", "--report=json", "--recount"],
                Command::Quota { config: Some("a.yml".into()), how: Quota { recounts: true, is_json: true } },
            ),
            (
                &["migrate", "--from", "old.sqlite", "new.yml"],
                Command::Migrate { from: Some("old.sqlite".into()), config: Some("new.yml".into()) },
            ),
            (
                &["migrate", "--config=new.yml"],
                Command::Migrate { from: None, config: Some("new.yml".into()) },
            ),
            (
                &["hash-password", "--cost", "12", "ann"],
                Command::HashPassword { user: "ann".into(), cost: 12 },
            ),
        ];
        for (arguments, command) in cases {
            assert_eq!(parse(arguments), Ok(command), "{arguments:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (arguments, named) in [
            (&["sevre"][..], "sevre"),
            (&["serve", "a", "b"], "\"b\""),
            (&["--frobnicate"], "--frobnicate"),
            (&["hash-password"], "name"),
            (&["journal"], "verify"),
            (&["journal", "burn"], "burn"),
            (&["migrate", "a.yml", "b.yml"], "b.yml"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
