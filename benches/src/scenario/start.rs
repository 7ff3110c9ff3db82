//! From the start of the process to the first answer that needs the database.

use std::{
    fs::File,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::fs::{Advice, fadvise, fsync};

use crate::{
    bench::{Bench, HOT_REPOSITORY, HOT_TAG},
    http::{Client, Endpoint},
    image::push_to,
    report::Bound,
    seed::{self, Amount},
    servers::{Kind, OurOptions, Server, free_address},
};

const STARTS: usize = 5;
const START_MAX: Duration = Duration::from_secs(60);

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let blobs = bench.options.scale.blobs;
    let folder = bench.folder("start")?;
    seed::ours(bench, &folder, Amount { tags: 0, repositories: blobs / 10, blobs })?;
    let database = folder.join("data/metadata.sqlite");
    let start = |address| {
        let options = OurOptions { address: Some(address), is_timed: true, ..OurOptions::default() };
        Server::ours(&bench.programs, &folder, options)
    };
    let scenario = format!("start, {blobs} blobs");
    let cold = median(|| {
        forget(&database)?;
        first_answer(bench, start)
    })?;
    let warm = median(|| first_answer(bench, start))?;
    {
        let mut report = bench.report.borrow_mut();
        report.fact(&scenario, Kind::Ours, format!("{warm:.3} s; database not in memory: {cold:.3} s"));
        report.goal(format!("{scenario}: first answer"), Bound::AtMost(0.5), "s", cold);
    }
    seed::clear(&folder)?;
    docker_registry(bench)
}

/// With one image: it looks at nothing when it starts.
fn docker_registry(bench: &Bench) -> Result<()> {
    let folder = bench.folder("start-docker")?;
    let Some(server) = Server::docker_registry(&bench.programs, &folder, None, false)? else { return Ok(()) };
    push_to(&server.plain()?, &bench.hot, HOT_REPOSITORY, HOT_TAG)?;
    drop(server);
    let start = |address| {
        let server = Server::docker_registry(&bench.programs, &folder, Some(address), true)?;
        server.context("it was there a moment ago")
    };
    let time = median(|| first_answer(bench, start))?;
    bench.report.borrow_mut().fact("start, 5 blobs", Kind::DockerRegistry, format!("{time:.3} s"));
    seed::clear(&folder)
}

fn median(mut time: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut times = (0..STARTS).map(|_| time()).collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[STARTS / 2])
}

fn first_answer(bench: &Bench, start: impl Fn(std::net::SocketAddr) -> Result<Server>) -> Result<f64> {
    let address = free_address()?;
    let endpoint = Endpoint { address, tls: None };
    let path = format!("/v2/{HOT_REPOSITORY}/manifests/{HOT_TAG}");
    let begun = Instant::now();
    let server = start(address)?;
    loop {
        let answer = Client::connect(&endpoint).and_then(|mut client| client.get(&path));
        let elapsed = begun.elapsed();
        match answer.and_then(|answer| answer.expect(200)) {
            Ok(answer) if answer.body == bench.hot.manifest => {
                drop(server);
                return Ok(elapsed.as_secs_f64());
            }
            Ok(_) => bail!("another manifest than was pushed"),
            Err(error) if elapsed > START_MAX => bail!("no answer in {START_MAX:?}: {error:#}"),
            Err(_) => thread::sleep(Duration::from_micros(200)),
        }
    }
}

/// Drops a file from the page cache.
fn forget(file: &Path) -> Result<()> {
    let file = File::open(file).with_context(|| format!("open {}", file.display()))?;
    fsync(&file)?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}
