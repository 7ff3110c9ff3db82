//! Many clients at once, each with layers of its own over bases that it finds in another repository: the mix of look-ups,
//! mounts, uploads and transactions that a build farm makes.

use std::time::Instant;

use anyhow::Result;

use crate::{
    bench::Bench,
    http::Client,
    image::{Blob, Image, mount, push_blob},
    measure::{Outcome, complete},
    random::Random,
    report::Unit,
    servers::Server,
};

const BASE_REPOSITORY: &str = "bench/base";
const BASE_LAYERS: usize = 5;
const BASE_LAYER_BYTES: usize = 100_000;

/// Eight layers, small ones mostly.
const LAYERS: [usize; 8] = [10_000, 30_000, 100_000, 100_000, 300_000, 300_000, 1_000_000, 1_000_000];

/// Images that each client pushes in a round.
const IMAGES: usize = 2;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let mut random = Random::new();
    let bases: Vec<Blob> = (0..BASE_LAYERS).map(|_| Blob::random(&mut random, BASE_LAYER_BYTES)).collect();
    let servers = bench.registries()?;
    for server in &servers {
        push_bases(server, &mut random, &bases)?;
    }
    bench.contest("push over shared bases", Unit::Each("image"), &servers, |server| {
        bench.settle()?;
        push(bench, server, &bases)
    })?;
    Ok(())
}

/// An image holds them, so that they are not garbage.
fn push_bases(server: &Server, random: &mut Random, bases: &[Blob]) -> Result<()> {
    let mut client = Client::connect(&server.plain()?)?;
    for base in bases {
        push_blob(&mut client, BASE_REPOSITORY, base)?;
    }
    Image::random(random, &[], bases).push(&mut client, BASE_REPOSITORY, "v1")
}

fn push(bench: &Bench, server: &Server, bases: &[Blob]) -> Result<Outcome> {
    complete(&server.process, bench.options.scale.shared_clients, |lane| {
        let mut random = Random::new();
        let images: Vec<Image> = (0..IMAGES).map(|_| Image::random(&mut random, &LAYERS, bases)).collect();
        let mut client = Client::connect(&server.plain()?)?;
        if !lane.ready() {
            return Ok(());
        }
        for image in images {
            let begun = Instant::now();
            let repository = format!("bench/team-{:016x}", random.next());
            for base in bases {
                mount(&mut client, &repository, BASE_REPOSITORY, &base.digest)?;
            }
            image.push(&mut client, &repository, "latest")?;
            lane.moved(image.layer_bytes());
            lane.done(begun);
        }
        Ok(())
    })
}
