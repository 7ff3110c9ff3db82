//! `registry retention …`: which images policies let go, and letting them go.

use std::{fmt::Write, fs::File, io::Read};

use anyhow::{Context, bail};
use registry_core::{
    collector::retention::{
        Judged, Outcome, Verdict, Why,
        import::{IMPORT_BYTES_MAX, import},
    },
    config::{Loaded, Warning},
    configured,
    metadata::{Hold, Image},
    types::RepositoryName,
};
use serde_json::json;

use crate::{
    cli::{Import, Which},
    commands::{print, warn},
    content::time,
};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Preview,
    Apply,
}

pub(crate) fn run(loaded: &Loaded, which: &Which, what: What) -> anyhow::Result<()> {
    let retention = &loaded.config.retention;
    let (is_preview, only, is_json) = (what == What::Preview, which.only.as_ref(), which.report.is_json());
    // That a preview is needed need not be said by one.
    let is_approval =
        |warning: &&Warning| matches!(warning, Warning::Remark { key, .. } if key == "retention.approved");
    let warnings: Vec<_> = loaded.warnings.iter().filter(|warning| !is_approval(warning)).cloned().collect();
    warn(&warnings);
    if retention.policies.is_empty() {
        bail!("there are no policies: the configuration has no retention.policies");
    }
    if !is_preview && !retention.is_approved() {
        bail!(
            "these policies are not approved: `registry retention preview` shows what they do, and prints \
             what to write to retention.approved"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can not start the runtime")?.block_on(async {
        let beside = configured::open_beside(&loaded.config).await?;
        let retention = beside.retention(retention.policies.clone());
        let mut output = Output { is_json, is_first: true };
        output.begin(&retention.fingerprint())?;
        let mut see = |judged: Judged<'_>| output.image(&judged);
        let report = match is_preview {
            true => retention.preview(only, &mut see).await?,
            false => retention.apply(only, &mut see).await?,
        };
        let counts = serde_json::to_value(&report).context("a report is JSON")?;
        output.end(&report.to_string(), &counts, is_preview.then(|| retention.fingerprint()))?;
        if report.failed > 0 {
            bail!("{} deletions or repositories failed", report.failed);
        }
        Ok(())
    })
}

/// What is printed while images are judged: nothing is held.
struct Output {
    is_json: bool,
    is_first: bool,
}

impl Output {
    fn begin(&self, fingerprint: &str) -> anyhow::Result<()> {
        match self.is_json {
            true => print(&format!("{{\"fingerprint\":\"{fingerprint}\",\"images\":[")),
            false => Ok(()),
        }
    }

    fn image(&mut self, judged: &Judged<'_>) {
        let line = match self.is_json {
            true => format!("{}\n{}", if self.is_first { "" } else { "," }, as_json(judged)),
            false => as_text(judged),
        };
        self.is_first = false;
        // A closed standard output is no reason to stop in the middle of an application.
        let _ = print(&line);
    }

    fn end(&self, summary: &str, counts: &serde_json::Value, approval: Option<String>) -> anyhow::Result<()> {
        if self.is_json {
            return print(&format!("\n],\"summary\":{counts}}}\n"));
        }
        let mut said = format!("{summary}\n");
        if let Some(fingerprint) = approval {
            let _ = writeln!(
                said,
                "\nTo have this done, write to the configuration: retention.approved: {fingerprint}"
            );
        }
        print(&said)
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Kept => "keep",
        Outcome::WouldGo => "expire",
        Outcome::Deleted => "expired",
        Outcome::Changed => "changed",
        Outcome::Failed => "failed",
    }
}

fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Expired { rule } | Verdict::Kept(Why::Rule(rule)) => rule.clone(),
        Verdict::Kept(Why::NoRule) => "no rule is about it".to_owned(),
        Verdict::Kept(Why::Held(Hold::Immutable)) => "the tag is immutable".to_owned(),
        Verdict::Kept(Why::Held(Hold::Companion)) => "it belongs to the image that its name tells".to_owned(),
        Verdict::Kept(Why::Held(Hold::Leased { until_ms })) => {
            format!("a client may rely on it until {}", time(*until_ms))
        }
    }
}

fn named(repository: &RepositoryName, image: &Image) -> String {
    match &image.tag {
        Some(tag) => format!("{repository}:{tag}"),
        None => format!("{repository}@{}", image.digest),
    }
}

fn as_text(judged: &Judged<'_>) -> String {
    let Judged { repository, image, verdict, outcome } = judged;
    let name = named(repository, image);
    let reason = match verdict {
        Verdict::Expired { rule } | Verdict::Kept(Why::Rule(rule)) => format!("by {rule}"),
        verdict => reason(verdict),
    };
    let pulled = image.pulled_at_ms.map_or("never".to_owned(), time);
    let pushed = time(image.pushed_at_ms);
    format!("{:<8}{name}  {reason}; pushed {pushed}, pulled {pulled}\n", word(*outcome))
}

fn as_json(judged: &Judged<'_>) -> serde_json::Value {
    let Judged { repository, image, verdict, outcome } = judged;
    let rule = match verdict {
        Verdict::Expired { rule } | Verdict::Kept(Why::Rule(rule)) => Some(rule),
        Verdict::Kept(_) => None,
    };
    json!({
        "repository": repository.as_str(),
        "tag": image.tag.as_ref().map(|tag| tag.as_str()),
        "digest": image.digest.to_string(),
        "verdict": word(*outcome),
        "rule": rule,
        "reason": reason(verdict),
        "created_at_ms": image.created_at_ms,
        "pushed_at_ms": image.pushed_at_ms,
        "pulled_at_ms": image.pulled_at_ms,
    })
}

/// Prints another registry's policies as ours.
pub(crate) fn translate(what: &Import) -> anyhow::Result<()> {
    let is_input = what.file.as_os_str() == "-";
    let file = if is_input { "standard input".to_owned() } else { what.file.display().to_string() };
    let mut json = String::new();
    let read = if is_input {
        std::io::stdin().lock().take(IMPORT_BYTES_MAX as u64 + 1).read_to_string(&mut json)
    } else {
        File::open(&what.file).and_then(|it| it.take(IMPORT_BYTES_MAX as u64 + 1).read_to_string(&mut json))
    };
    read.with_context(|| format!("can not read {file}"))?;
    if json.len() > IMPORT_BYTES_MAX {
        bail!("{file} has more than {IMPORT_BYTES_MAX} bytes");
    }
    let all = || "**".parse().context("everything is a pattern");
    let repositories = what.repositories.clone().map_or_else(all, Ok)?;
    let imported = import(what.source, json.trim_start_matches('\u{feff}'), &repositories)
        .map_err(|error| anyhow::anyhow!("{file} can not be translated:\n{error}"))?;
    print(&imported.to_string())
}
