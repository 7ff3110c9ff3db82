//! What a collection would do.

use registry_database::{Fault, Session, params, signed};

use super::{
    Entry, candidate,
    decide::{Decision, Looking, decide},
    manifests_after, position, why,
};
use crate::{
    CollectRules, Collected, Kept, Options, Preview, QueuePosition, Verdict,
    collecting::{QueueKind, UNTAGGED},
    sql::collecting as sql,
};

pub(crate) async fn preview(
    session: &impl Session,
    options: &Options,
    rules: CollectRules,
    after: Option<&QueuePosition>,
    limit: usize,
) -> Result<Preview, Fault> {
    if let Some(after) = after.filter(|after| after.kind == UNTAGGED) {
        return preview_untagged(session, options, after, limit).await;
    }
    let (kind, repository, digest) =
        after.map_or(("", 0, ""), |after| (after.kind.as_str(), after.repository, after.digest.as_str()));
    let page = params![kind, repository, digest, signed(limit)];
    let entries: Vec<Entry> = session.all(sql::QUEUE_AFTER, page).await?;
    let next = entries.last().filter(|_| entries.len() == limit).map(|last| QueuePosition {
        kind: last.kind.clone(),
        repository: last.repository,
        digest: last.digest.clone(),
    });
    Ok(Preview { collected: judge(session, options, entries, rules).await?, next })
}

async fn preview_untagged(
    session: &impl Session,
    options: &Options,
    after: &QueuePosition,
    limit: usize,
) -> Result<Preview, Fault> {
    let manifests = manifests_after(session, Some(after), limit).await?;
    let next = position(&manifests, limit, UNTAGGED);
    let untagged = manifests.into_iter().filter(|manifest| !manifest.2);
    let entries = untagged.map(|(repository, digest, _)| Entry {
        kind: QueueKind::Manifest.as_str().to_owned(),
        repository,
        digest,
        reason: UNTAGGED.to_owned(),
    });
    let collected = judge(session, options, entries.collect(), CollectRules::default()).await?;
    Ok(Preview { collected, next })
}

/// What would become of each.
async fn judge(
    session: &impl Session,
    options: &Options,
    entries: Vec<Entry>,
    rules: CollectRules,
) -> Result<Vec<Collected>, Fault> {
    let mut collected = Vec::with_capacity(entries.len());
    for entry in entries {
        let verdict = match decide(session, options, &entry, rules, Looking::Only).await {
            Ok(Decision::Leave(kept) | Decision::Hold { kept, .. }) => Verdict::Kept(kept),
            Ok(Decision::LookAgain { at_ms }) => Verdict::Kept(Kept::Leased { until_ms: at_ms }),
            Ok(Decision::Take) => Verdict::Removed { bytes: bytes_of(session, &entry).await? },
            Err(fault) if fault.is_about_rows() => Verdict::Kept(Kept::Failed { reason: why(fault) }),
            Err(fault) => return Err(fault),
        };
        collected.push(Collected { candidate: candidate(session, entry).await?, verdict });
    }
    Ok(collected)
}

async fn bytes_of(session: &impl Session, entry: &Entry) -> Result<u64, Fault> {
    if QueueKind::of(&entry.kind) != QueueKind::Digest {
        return Ok(0);
    }
    let object: Option<(i64, u64)> = session.one(sql::DIGEST_OBJECT, params![&entry.digest]).await?;
    Ok(object.map_or(0, |(_, bytes)| bytes))
}
