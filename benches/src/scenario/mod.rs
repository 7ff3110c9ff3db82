//! What is measured, one module for each kind of work.

mod collect;
mod connections;
mod huge;
mod lookup;
mod pages;
mod pull;
mod push;
mod s3;
mod shared;
mod start;
mod webhooks;

use anyhow::Result;

use crate::{bench::Bench, report::Bound, servers::Kind};

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// One hot layer of 16 MiB, on 1 and 8 connections, plain and over TLS.
    Pull,
    /// Manifests by tag and digest, and `HEAD` of a blob.
    Lookup,
    /// Images of four layers of 16 MiB.
    Push,
    /// Images of four layers of 10 kB.
    PushSmall,
    /// Many clients with layers of their own over bases that they mount.
    Shared,
    /// Pages of tags and of the catalog, among few and among many.
    Pages,
    /// From the start to the first answer, with a million blobs.
    Start,
    /// Thousands of idle and of slow connections.
    Connections,
    /// One blob of 20 GiB.
    Huge,
    /// Pushes and pulls with the bytes in an object store.
    S3,
    /// Collecting what was deleted, among few and among many images.
    Collect,
    /// Pushes with receivers of events, and deliveries to them.
    Webhooks,
}

impl Scenario {
    pub(crate) const ALL: [Scenario; 12] = [
        Scenario::Pull,
        Scenario::Lookup,
        Scenario::Push,
        Scenario::PushSmall,
        Scenario::Shared,
        Scenario::Pages,
        Scenario::Start,
        Scenario::Connections,
        Scenario::Huge,
        Scenario::S3,
        Scenario::Collect,
        Scenario::Webhooks,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Pull => "pull",
            Scenario::Lookup => "lookup",
            Scenario::Push => "push",
            Scenario::PushSmall => "push-small",
            Scenario::Shared => "shared",
            Scenario::Pages => "pages",
            Scenario::Start => "start",
            Scenario::Connections => "connections",
            Scenario::Huge => "huge",
            Scenario::S3 => "s3",
            Scenario::Collect => "collect",
            Scenario::Webhooks => "webhooks",
        }
    }

    pub(crate) fn run(self, bench: &Bench) -> Result<()> {
        match self {
            Scenario::Pull => pull::run(bench),
            Scenario::Lookup => lookup::run(bench),
            Scenario::Push => push::large(bench),
            Scenario::PushSmall => push::small(bench),
            Scenario::Shared => shared::run(bench),
            Scenario::Pages => pages::run(bench),
            Scenario::Start => start::run(bench),
            Scenario::Connections => connections::run(bench),
            Scenario::Huge => huge::run(bench),
            Scenario::S3 => s3::run(bench),
            Scenario::Collect => collect::run(bench),
            Scenario::Webhooks => webhooks::run(bench),
        }
    }
}

/// The most memory that the loads needed.
pub(crate) fn peak(bench: &Bench) -> Result<()> {
    if let Some(peak) = bench.our_peak_bytes()? {
        let megabytes = peak as f64 / 1e6;
        let mut report = bench.report.borrow_mut();
        report.fact("all loads", Kind::Ours, format!("peak memory {megabytes:.1} MB"));
        report.goal("all loads: peak memory".to_owned(), Bound::AtMost(48.0), "MB", megabytes);
    }
    Ok(())
}
