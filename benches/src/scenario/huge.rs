//! One blob that is larger than anybody's memory, beside one of 16 MiB.

use std::time::Instant;

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

use crate::{
    bench::{Bench, remove},
    http::Client,
    image::push_stream,
    random::Random,
    report::Bound,
    servers::{Kind, OurOptions, Server},
};

const REPOSITORY: &str = "bench/huge";
const ORDINARY_BYTES: u64 = 16 << 20;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let folder = bench.folder("huge")?;
    let server = Server::ours(&bench.programs, &folder, OurOptions::default())?;
    let length = bench.options.scale.huge_bytes;
    let ordinary = peak_of_both(bench, &server, ORDINARY_BYTES)?;
    let huge = peak_of_both(bench, &server, length)?;
    bench.report.borrow_mut().goal(
        "one huge blob: peak memory".to_owned(),
        Bound::AtMost(1.2),
        "× that of 16 MiB",
        huge as f64 / ordinary as f64,
    );
    drop(server);
    remove(&folder)
}

/// Pushes and pulls. Gives back the larger of the two peaks, in bytes.
fn peak_of_both(bench: &Bench, server: &Server, length: u64) -> Result<u64> {
    let mut client = Client::connect(&server.plain()?)?;
    let gigabytes = length as f64 / 1e9;
    let say = |what: &str, begun: Instant, peak: u64| {
        let rate = length as f64 / 1e6 / begun.elapsed().as_secs_f64();
        let figures = format!("{what}: {rate:.0} MB/s, peak memory {:.1} MB", peak as f64 / 1e6);
        bench.report.borrow_mut().fact(&format!("one blob of {gigabytes:.2} GB"), Kind::Ours, figures);
    };

    server.process.reset_peak()?;
    let begun = Instant::now();
    let hash = push_stream(&mut client, REPOSITORY, &mut Random::new(), length)?;
    let pushing = server.process.memory()?.peak_bytes;
    say("pushed", begun, pushing);

    server.process.reset_peak()?;
    let begun = Instant::now();
    let path = format!("/v2/{REPOSITORY}/blobs/sha256:{}", hex::encode(hash));
    client.begin("GET", &path, &[], 0)?;
    let mut hasher = Sha256::new();
    let head = client.receive(false, &mut |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    ensure!(head.status == 200 && head.content_length == Some(length), "{path}: {head:?}");
    ensure!(hasher.finalize()[..] == hash[..], "{path}: another blob came than was pushed");
    let pulling = server.process.memory()?.peak_bytes;
    say("pulled", begun, pulling);
    Ok(pushing.max(pulling))
}
