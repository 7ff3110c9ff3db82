//! `registry quota`: what is used of each quota.

use std::fmt::Write;

use anyhow::Context;
use registry_core::{
    config::Loaded,
    configured,
    metadata::{ByteSize, QuotaUsage},
};
use serde_json::json;

use crate::{
    cli::Quota,
    commands::{print, warn},
};

pub(crate) fn run(loaded: &Loaded, how: Quota) -> anyhow::Result<()> {
    warn(&loaded.warnings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let usages = runtime.context("can not start the runtime")?.block_on(async {
        let metadata = configured::open_beside(&loaded.config).await?.metadata;
        if how.recounts {
            metadata.recount_quotas().await?;
        }
        anyhow::Ok(metadata.quota_usage().await?)
    })?;
    print(&if how.report.is_json() { json(&usages) } else { text(&usages) })
}

fn json(usages: &[QuotaUsage]) -> String {
    let quota = |QuotaUsage { quota, usage }: &QuotaUsage| {
        json!({
            "prefix": quota.prefix,
            "bytes": usage.map(|usage| usage.bytes),
            "bytes_max": quota.bytes_max,
            "held": usage.map(|usage| usage.held),
            "held_max": quota.held_max,
            "tags": usage.map(|usage| usage.tags),
            "tags_max": quota.tags_max,
        })
    };
    format!("{}\n", json!({ "quotas": usages.iter().map(quota).collect::<Vec<_>>() }))
}

fn text(usages: &[QuotaUsage]) -> String {
    if usages.is_empty() {
        return "there are no quotas; the key `quotas` of the configuration sets some\n".to_owned();
    }
    let mut said = String::new();
    let mut line = |columns: [&str; 7]| {
        let [prefix, bytes, bytes_max, held, held_max, tags, tags_max] = columns;
        let _ = writeln!(
            said,
            "{prefix:<32} {bytes:>12} {bytes_max:>12} {held:>12} {held_max:>12} {tags:>9} {tags_max:>9}"
        );
    };
    line(["PREFIX", "USED", "OF", "HELD", "OF", "TAGS", "OF"]);
    // None: nobody has counted yet.
    let amount = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    for QuotaUsage { quota, usage } in usages {
        let prefix = if quota.prefix.is_empty() { "(all)" } else { &quota.prefix };
        line([
            prefix,
            &amount(usage.map(|usage| ByteSize(usage.bytes).to_string())),
            &amount(quota.bytes_max.map(|bytes| ByteSize(bytes).to_string())),
            &amount(usage.map(|usage| ByteSize(usage.held).to_string())),
            &amount(quota.held_max.map(|bytes| ByteSize(bytes).to_string())),
            &amount(usage.map(|usage| usage.tags.to_string())),
            &amount(quota.tags_max.map(|tags| tags.to_string())),
        ]);
    }
    said
}
