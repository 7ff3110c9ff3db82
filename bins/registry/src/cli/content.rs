//! Commands that bring content back, or take it away.

use std::path::PathBuf;

use lexopt::prelude::*;
use registry_core::{
    digest::Digest,
    types::{Reference, RepositoryName, Tag},
};

use super::Command;

/// What is to be done with content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Undelete(Target),
    ListDeleted { repository: Option<RepositoryName> },
    TagHistory { repository: RepositoryName, tag: Tag },
    TagRevert { repository: RepositoryName, tag: Tag, to: Option<Digest> },
    DeleteRepository { name: RepositoryName },
}

/// A repository, or something in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) repository: RepositoryName,
    pub(crate) reference: Option<Reference>,
}

pub(super) fn undelete(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut config, mut name, mut is_list) = (None, None, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("list") => is_list = true,
            Value(value) if name.is_none() => name = Some(value.string()?),
            Long("config") => config = Some(PathBuf::from(arguments.value()?)),
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    let what = match (is_list, name) {
        (true, name) => {
            let repository = name.map(|name| parse::<RepositoryName>(&name)).transpose()?;
            Content::ListDeleted { repository }
        }
        (false, Some(name)) => Content::Undelete(target(&name)?),
        (false, None) => return Err("undelete needs a repository, or `--list`".into()),
    };
    Ok(Command::Content { config, what })
}

pub(super) fn tag(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut config, mut words, mut to) = (None, Vec::new(), None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("to") => to = Some(parse::<Digest>(&arguments.value()?.string()?)?),
            Value(value) if words.len() < 2 => words.push(value.string()?),
            Long("config") => config = Some(PathBuf::from(arguments.value()?)),
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [verb, name] = words[..] else { return Err("tag needs `history` or `revert`, and a tag".into()) };
    let Target { repository, reference: Some(Reference::Tag(tag)) } = target(name)? else {
        return Err(format!("`{name}` is no tag: it is written `repository:tag`").into());
    };
    let what = match (verb, to) {
        ("history", None) => Content::TagHistory { repository, tag },
        ("revert", to) => Content::TagRevert { repository, tag, to },
        _ => return Err(format!("there is no command `tag {verb}` of this form").into()),
    };
    Ok(Command::Content { config, what })
}

pub(super) fn repository(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut config, mut words) = (None, Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(value) if words.len() < 2 => words.push(value.string()?),
            Long("config") => config = Some(PathBuf::from(arguments.value()?)),
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["delete", name] => {
            Ok(Command::Content { config, what: Content::DeleteRepository { name: parse(name)? } })
        }
        _ => Err("repository needs `delete` and a name".into()),
    }
}

/// `repository`, `repository:tag` or `repository@digest`. A repository has no colon: there is no host before it.
fn target(text: &str) -> Result<Target, lexopt::Error> {
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

pub(super) fn parse<T: std::str::FromStr<Err: std::error::Error>>(text: &str) -> Result<T, lexopt::Error> {
    text.parse().map_err(|error: T::Err| format!("`{text}`: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(
        parse: fn(&mut lexopt::Parser) -> Result<Command, lexopt::Error>,
        arguments: &[&str],
    ) -> Result<Content, String> {
        let mut parser = lexopt::Parser::from_args(arguments);
        match parse(&mut parser).map_err(|error| error.to_string())? {
            Command::Content { what, .. } => Ok(what),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn targets_are_repositories_tags_and_digests() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let cases = [
            ("team/app".to_owned(), None),
            ("team/app:v1".to_owned(), Some(Reference::Tag("v1".parse().unwrap()))),
            (format!("team/app@{digest}"), Some(Reference::Digest(digest.parse().unwrap()))),
        ];
        for (text, reference) in cases {
            let expected = Target { repository: "team/app".parse().unwrap(), reference };
            assert_eq!(parsed(undelete, &[&text]), Ok(Content::Undelete(expected)));
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(parsed(undelete, &[]).unwrap_err().contains("--list"));
        assert!(parsed(undelete, &["Team"]).unwrap_err().contains("Team"));
        assert!(parsed(tag, &["history", "app"]).unwrap_err().contains("app"));
        assert!(parsed(tag, &["forget", "app:v1"]).unwrap_err().contains("forget"));
        assert!(parsed(tag, &["history", "app:v1", "--to", "x"]).unwrap_err().contains('x'));
        assert!(parsed(repository, &["delete"]).unwrap_err().contains("name"));
    }
}
