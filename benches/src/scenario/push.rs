//! Pushes of what nobody has: what storing bytes durably costs.

use std::time::Instant;

use anyhow::Result;

use crate::{
    bench::{Bench, Figure},
    http::Client,
    image::Image,
    measure::{Outcome, complete, windowed},
    random::Random,
    report::{Bound, Unit},
    servers::{Kind, Server},
};

const LARGE_CLIENTS: usize = 4;
const SMALL_CLIENTS: usize = 8;
const SMALL_LAYERS: [usize; 4] = [10_000; 4];

/// Images of four layers of 16 MiB. They are made before the clock starts.
pub(crate) fn large(bench: &Bench) -> Result<()> {
    let outcomes = bench.contest("push, large layers", Unit::Bytes, &bench.registries()?, |server| {
        bench.settle()?;
        push_large(bench, server)
    })?;
    bench.goal(&outcomes, Figure::Rate, Kind::DockerRegistry, Bound::AtLeast(2.0));
    if let Some(ours) = outcomes.of(Kind::Ours) {
        let cpu = ours.cpu_seconds_per_gigabyte();
        bench.report.borrow_mut().goal("push, large layers: CPU".to_owned(), Bound::AtMost(1.2), "s/GB", cpu);
    }
    Ok(())
}

pub(super) fn push_large(bench: &Bench, server: &Server) -> Result<Outcome> {
    let scale = bench.options.scale;
    complete(&server.process, LARGE_CLIENTS, |lane| {
        let mut random = Random::new();
        let images: Vec<Image> =
            (0..scale.images).map(|_| Image::random(&mut random, &[scale.layer_bytes; 4], &[])).collect();
        let mut client = Client::connect(&server.plain()?)?;
        let repository = format!("bench/large-{}", lane.index);
        if !lane.ready() {
            return Ok(());
        }
        for image in images {
            let begun = Instant::now();
            image.push(&mut client, &repository, &format!("{:016x}", random.next()))?;
            lane.moved(image.layer_bytes());
            lane.done(begun);
        }
        Ok(())
    })
}

/// Images of four layers of 10 kB, made on the way: that costs the client a hundredth of what pushing them does.
pub(crate) fn small(bench: &Bench) -> Result<()> {
    let outcomes =
        bench.contest("push, small layers", Unit::Each("image"), &bench.registries()?, |server| {
            bench.settle()?;
            push_small(bench, server)
        })?;
    bench.goal(&outcomes, Figure::Rate, Kind::DockerRegistry, Bound::AtLeast(5.0));
    Ok(())
}

pub(super) fn push_small(bench: &Bench, server: &Server) -> Result<Outcome> {
    windowed(&server.process, bench.options.window, SMALL_CLIENTS, |lane| {
        let mut random = Random::new();
        let mut client = Client::connect(&server.plain()?)?;
        let repository = format!("bench/small-{}", lane.index);
        lane.ready();
        while !lane.is_over() {
            let image = Image::random(&mut random, &SMALL_LAYERS, &[]);
            let begun = Instant::now();
            image.push(&mut client, &repository, &format!("{:016x}", random.next()))?;
            lane.moved(image.layer_bytes());
            lane.done(begun);
        }
        Ok(())
    })
}
