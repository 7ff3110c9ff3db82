//! `registry undelete`, `registry tag …`, `registry repository …` and `registry trash …`: content that comes back, or goes.

use std::fmt::Write;

use anyhow::{Context, bail};
use registry_core::{
    Beside,
    config::Loaded,
    configured,
    digest::Digest,
    metadata::{EndedWindows, MetadataError, Purpose, Restored, TagChange, Trashed},
    types::{Cause, Reference, RepositoryName, Tag},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    cli::{Content, Target},
    commands::{print, warn},
};

/// Whom the history names for what is done here.
const ACTOR: &str = "command line";

/// How much is asked for at once.
const PAGE: usize = 200;

pub(crate) fn run(loaded: &Loaded, what: Content) -> anyhow::Result<()> {
    warn(&loaded.warnings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let said = runtime.context("can not start the runtime")?.block_on(async {
        let registry = configured::open_beside(&loaded.config).await?;
        match what {
            Content::Undelete(target) => undelete(&registry, target).await,
            Content::ListDeleted { repository: Some(repository) } => list_trash(&registry, &repository).await,
            Content::ListDeleted { repository: None } => list_repositories(&registry).await,
            Content::TagHistory { repository, tag } => history(&registry, &repository, &tag).await,
            Content::TagRevert { repository, tag, to } => revert(&registry, &repository, &tag, to).await,
            Content::DeleteRepository { name } => {
                registry.metadata.delete_repository(&name, &Cause::by(ACTOR)).await?;
                Ok(format!("deleted {name}; `registry undelete {name}` brings it back while it is kept\n"))
            }
            Content::EmptyTrash { is_meant: false, .. } => bail!(
                "what is in the trash can not be brought back after this: `registry undelete --list` shows it, and \
                 `--yes` says that it is meant"
            ),
            Content::EmptyTrash { repository, is_meant: true } => {
                empty_trash(&registry, repository.as_ref()).await
            }
        }
    })?;
    print(&said)
}

async fn undelete(registry: &Beside, target: Target) -> anyhow::Result<String> {
    let Target { repository, reference } = target;
    let Some(reference) = reference else {
        return match registry.metadata.restore_repository(&repository, &Cause::by(ACTOR)).await {
            Ok(()) => Ok(format!("restored {repository}\n")),
            Err(MetadataError::RepositoryUnknown { .. })
                if registry.metadata.tags(&repository, None, 1).await.is_ok() =>
            {
                bail!("{repository} is not deleted")
            }
            Err(MetadataError::RepositoryExists { .. }) => {
                bail!(
                    "{repository} is not deleted: a deleted repository comes back only where there is none of its name"
                )
            }
            Err(error) => Err(error.into()),
        };
    };
    match registry.metadata.restore(&repository, &reference, &Cause::by(ACTOR)).await {
        Ok(Restored { manifests, tags }) if manifests.is_empty() && tags.is_empty() => {
            bail!("{} is not deleted", shown(&repository, &reference))
        }
        Ok(restored) => Ok(told(&repository, &restored)),
        Err(MetadataError::TagUnknown { .. } | MetadataError::ManifestUnknown { .. })
            if registry.metadata.manifest(&repository, &reference, Purpose::Read).await?.is_some() =>
        {
            bail!("{} is not deleted", shown(&repository, &reference))
        }
        Err(error) => Err(error.into()),
    }
}

/// As it is written for `undelete`.
fn shown(repository: &RepositoryName, reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!("{repository}:{tag}"),
        Reference::Digest(digest) => format!("{repository}@{digest}"),
    }
}

fn told(repository: &RepositoryName, restored: &Restored) -> String {
    let mut said = String::new();
    for digest in &restored.manifests {
        let _ = writeln!(said, "restored {repository}@{digest}");
    }
    for tag in &restored.tags {
        let _ = writeln!(said, "set {repository}:{tag}");
    }
    said
}

async fn list_trash(registry: &Beside, repository: &RepositoryName) -> anyhow::Result<String> {
    let (mut said, mut last): (String, Option<Trashed>) = (String::new(), None);
    loop {
        let page = registry.metadata.trash(repository, last.as_ref(), PAGE).await?;
        for it in &page {
            let name = it.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            let by = it.deleted_by.as_deref().unwrap_or("-");
            let (at, until) = (time(it.deleted_at_ms), time(it.purge_at_ms));
            let digest = &it.digest;
            let _ = writeln!(said, "{repository}{name}@{digest} deleted {at} by {by}, kept until {until}");
        }
        if page.len() < PAGE {
            return Ok(said);
        }
        last = page.into_iter().next_back();
    }
}

async fn list_repositories(registry: &Beside) -> anyhow::Result<String> {
    let mut said = String::new();
    for it in registry.metadata.deleted_repositories().await? {
        let _ = writeln!(said, "{} kept until {}", it.name, time(it.purge_at_ms));
    }
    Ok(said)
}

/// A page in each transaction, until nothing is left.
async fn empty_trash(registry: &Beside, repository: Option<&RepositoryName>) -> anyhow::Result<String> {
    let mut ended = EndedWindows::default();
    loop {
        let some = registry.metadata.end_windows(repository, PAGE).await?;
        if some.is_none() {
            break;
        }
        ended += some;
    }
    let EndedWindows { tags, manifests, repositories } = ended;
    Ok(format!(
        "gave up {tags} deleted tags, {manifests} deleted manifests and {repositories} deleted repositories; the next \
         collection removes them (`registry garbage-collect`, or the server's own)\n"
    ))
}

async fn history(registry: &Beside, repository: &RepositoryName, tag: &Tag) -> anyhow::Result<String> {
    let (mut said, mut before) = (String::new(), None);
    loop {
        let page = registry.metadata.tag_history(repository, tag, before, PAGE).await?;
        for TagChange { digest, at_ms, actor, .. } in &page {
            let to = digest.as_ref().map_or_else(|| "deleted".to_owned(), Digest::to_string);
            let _ = writeln!(said, "{} {to} {}", time(*at_ms), actor.as_deref().unwrap_or("-"));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => before = Some(last.number),
            _ if said.is_empty() => bail!("{repository}:{tag} has no history"),
            _ => return Ok(said),
        }
    }
}

async fn revert(
    registry: &Beside,
    repository: &RepositoryName,
    tag: &Tag,
    to: Option<Digest>,
) -> anyhow::Result<String> {
    let digest = match to {
        Some(digest) => digest,
        None => previous(registry, repository, tag).await?,
    };
    let restored = registry.metadata.set_tag(repository, tag, &digest, &Cause::by(ACTOR)).await?;
    Ok(format!("{}{repository}:{tag} points to {digest}\n", told(repository, &restored)))
}

/// What a tag led to before it led to what it does now.
async fn previous(registry: &Beside, repository: &RepositoryName, tag: &Tag) -> anyhow::Result<Digest> {
    let changes = registry.metadata.tag_history(repository, tag, None, PAGE).await?;
    let now = changes.first().and_then(|change| change.digest);
    let before =
        changes.iter().skip(1).find_map(|change| change.digest.filter(|digest| Some(*digest) != now));
    before.with_context(|| format!("{repository}:{tag} never pointed to another manifest"))
}

pub(crate) fn time(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000));
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| ms.to_string())
}
