//! The same pushes and pulls with the bytes in an object store on this machine, and what the store is asked for them.

use std::{
    cell::RefCell,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::push::{push_large, push_small};
use crate::{
    bench::{Bench, Figure, HOT_REPOSITORY, HOT_TAG, remove},
    http::{
        Client,
        load::{Expected, Load},
    },
    image::{Image, push_stream, push_to},
    measure::complete,
    random::Random,
    report::{Bound, Unit},
    servers::{Bucket, Kind, OurOptions, Server},
};

/// Uploads that are in flight at once when memory is looked at.
const MANY: usize = 32;

/// Images that are pushed while the store's requests are counted.
const COUNTED_IMAGES: u64 = 5;

/// How long the store may take to write its log.
const LOG_REST: Duration = Duration::from_millis(500);

/// The registries over one bucket, each below a prefix of its own.
struct Contest {
    bucket: Bucket,
    servers: Vec<Server>,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let folder = bench.folder("s3")?;
    let Some(contest) = Contest::start(bench)? else {
        eprintln!("versitygw is not installed: nothing is measured over an object store");
        return Ok(());
    };
    contest.push(bench)?;
    contest.count(bench, "S3: requests for an image of 4 × 16 MiB", &[bench.options.scale.layer_bytes; 4])?;
    contest.count(bench, "S3: requests for an image of 4 × 10 kB", &[10_000; 4])?;
    contest.pull(bench)?;
    contest.many(bench)?;
    drop(contest);
    remove(&folder)
}

impl Contest {
    fn start(bench: &Bench) -> Result<Option<Contest>> {
        let programs = &bench.programs;
        let Some(bucket) = Bucket::start(programs, &bench.folder("s3/bucket")?)? else { return Ok(None) };
        let ours = |name: &str, is_unjournalled: bool| {
            let options = OurOptions { bucket: Some(&bucket), is_unjournalled, ..OurOptions::default() };
            Server::ours(programs, &bench.folder(name)?, options)
        };
        let mut servers = vec![ours("s3/ours", false)?, ours("s3/unjournalled", true)?];
        servers.extend(Server::docker_registry_in(programs, &bench.folder("s3/docker-registry")?, &bucket)?);
        for server in &servers {
            push_to(&server.plain()?, &bench.hot, HOT_REPOSITORY, HOT_TAG)?;
        }
        Ok(Some(Contest { bucket, servers }))
    }

    fn all(&self) -> Vec<&Server> {
        self.servers.iter().collect()
    }

    fn push(&self, bench: &Bench) -> Result<()> {
        let large = bench.contest("S3: push, large layers", Unit::Bytes, &self.all(), |server| {
            bench.settle()?;
            push_large(bench, server)
        })?;
        bench.goal(&large, Figure::Rate, Kind::DockerRegistry, Bound::AtLeast(2.0));
        let small = bench.contest("S3: push, small layers", Unit::Each("image"), &self.all(), |server| {
            bench.settle()?;
            push_small(bench, server)
        })?;
        bench.goal(&small, Figure::Rate, Kind::DockerRegistry, Bound::AtLeast(2.0));
        Ok(())
    }

    /// Of a few images, one after the other, so that nothing else is in the count.
    fn count(&self, bench: &Bench, what: &str, sizes: &[usize]) -> Result<()> {
        if !what.contains(&bench.options.case) {
            return Ok(());
        }
        let counts = RefCell::new(Vec::new());
        for server in &self.servers {
            let mut random = Random::new();
            let mut client = Client::connect(&server.plain()?)?;
            thread::sleep(LOG_REST);
            let before = self.bucket.requests()?;
            for index in 0..COUNTED_IMAGES {
                Image::random(&mut random, sizes, &[]).push(
                    &mut client,
                    "bench/counted",
                    &format!("v{index}"),
                )?;
            }
            thread::sleep(LOG_REST);
            let each = (self.bucket.requests()? - before) as f64 / COUNTED_IMAGES as f64;
            bench.report.borrow_mut().fact(what, server.kind, format!("{each:.1}"));
            counts.borrow_mut().push((server.kind, each));
        }
        let of = |kind| counts.borrow().iter().find(|(known, _)| *known == kind).map(|(_, each)| *each);
        if let (Some(ours), Some(theirs)) = (of(Kind::Ours), of(Kind::DockerRegistry)) {
            let bound = Bound::AtMost(0.5);
            bench.report.borrow_mut().goal(what.to_owned(), bound, "× docker-registry", ours / theirs);
        }
        Ok(())
    }

    fn pull(&self, bench: &Bench) -> Result<()> {
        let blob = bench.hot_blob();
        let digest = bench.options.is_short.then(|| blob.hash());
        bench.contest("S3: pull, 8 connections", Unit::Bytes, &self.all(), |server| {
            let expected = Expected::Length { length: blob.bytes.len() as u64, digest };
            let load = Load { method: "GET", path: bench.hot_blob_path(), connections: 8, expected };
            load.run(&server.plain()?, &server.process, bench.options.window)
        })?;
        Ok(())
    }

    /// Many large uploads at once: what each holds in memory.
    fn many(&self, bench: &Bench) -> Result<()> {
        const WHAT: &str = "S3: 32 large uploads at once";
        if !WHAT.contains(&bench.options.case) {
            return Ok(());
        }
        let server = self.servers.first().context("ours is the first")?;
        let length = bench.options.scale.many_bytes;
        let outcome = complete(&server.process, MANY, |lane| {
            let mut random = Random::new();
            let mut client = Client::connect(&server.plain()?)?;
            if !lane.ready() {
                return Ok(());
            }
            let begun = Instant::now();
            push_stream(&mut client, &format!("bench/many-{}", lane.index), &mut random, length)?;
            lane.moved(length);
            lane.done(begun);
            Ok(())
        })?;
        let megabytes = outcome.peak_bytes as f64 / 1e6;
        let rate = outcome.bytes_per_second() / 1e6;
        let mut report = bench.report.borrow_mut();
        let each = length >> 20;
        report.fact(
            WHAT,
            Kind::Ours,
            format!("{each} MiB each, {rate:.0} MB/s, peak memory {megabytes:.1} MB"),
        );
        report.goal(format!("{WHAT}: peak memory"), Bound::AtMost(128.0), "MB", megabytes);
        Ok(())
    }
}
