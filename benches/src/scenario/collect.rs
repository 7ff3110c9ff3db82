//! Collecting a thousand images that were deleted, among few and among many, and what pushes notice of it.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::push::push_small;
use crate::{
    bench::{Bench, remove},
    http::Client,
    process::Process,
    report::Bound,
    seed::images::{self, Seeded},
    servers::{Kind, OurOptions, Server},
};

/// Longer than deleting takes until the last answer; the leases of what was deleted last.
const LEASE: Duration = Duration::from_secs(1);

/// How often the memory of a command that runs is read.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a command came to.
struct Cost {
    seconds: f64,
    peak_bytes: u64,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let scale = bench.options.scale;
    let few = ours(bench, scale.few_images, false)?;
    let many = ours(bench, scale.many_images, true)?;
    {
        let mut report = bench.report.borrow_mut();
        let what = |figure: &str| {
            format!("collect {} images: {figure}, among many ÷ among few", scale.deleted_images)
        };
        report.goal(what("time"), Bound::AtMost(1.3), "×", many.seconds / few.seconds);
        let memory = many.peak_bytes as f64 / few.peak_bytes as f64;
        report.goal(what("peak memory"), Bound::AtMost(1.3), "×", memory);
    }
    if let Some(theirs) = docker_registry(bench, scale.many_images)? {
        let reached = theirs.seconds / many.seconds;
        let what = format!("collect {} images: docker-registry's time", scale.deleted_images);
        bench.report.borrow_mut().goal(what, Bound::AtLeast(50.0), "× ours", reached);
    }
    Ok(())
}

/// Beside a server that runs; its own collector is off.
fn ours(bench: &Bench, count: usize, with_pushes: bool) -> Result<Cost> {
    let folder = bench.folder("collect")?;
    let data = Server::ours(&bench.programs, &folder, OurOptions::default())?.directory.clone();
    let images = images::ours(&data, count)?;
    let settings = folder.join("config.yml");
    std::fs::write(&settings, configuration(&data)?)?;
    let options = OurOptions { configuration: Some(&settings), ..OurOptions::default() };
    let server = Server::ours(&bench.programs, &folder, options)?;
    let deleted = bench.options.scale.deleted_images;
    let (mut first, mut rest): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    for (number, image) in images.into_iter().enumerate() {
        if number % (count / deleted).max(1) == 0 { first.push(image) } else { rest.push(image) }
    }
    delete(&server, &first)?;
    bench.settle()?;
    let cost = command(&bench.programs.ours, &["garbage-collect", "--quiet"], &settings)?;
    let bytes = cost.peak_bytes as f64 / 1e6;
    let scenario = format!("collect {} of {count} images", first.len());
    let value = format!("{:.3} s, peak memory {bytes:.1} MB", cost.seconds);
    bench.report.borrow_mut().fact(&scenario, Kind::Ours, value);
    ensure!(objects(&data)? == 2 * rest.len() as u64, "the bytes of what was deleted are still there");
    if with_pushes {
        pushes(bench, &server, &settings, &rest)?;
    }
    drop(server);
    remove(&folder)?;
    Ok(cost)
}

/// The slowest pushes while a collection runs, and while none does.
fn pushes(bench: &Bench, server: &Server, settings: &Path, images: &[Seeded]) -> Result<()> {
    let alone = push_small(bench, server)?;
    // Enough that the collection lasts for longer than the pushes are measured.
    delete(server, &images[..images.len().min(10 * bench.options.scale.deleted_images)])?;
    let program = bench.programs.ours.as_path();
    let (beside, collection) = thread::scope(|scope| {
        let collection = scope.spawn(|| command(program, &["garbage-collect", "--quiet"], settings));
        let beside = push_small(bench, server);
        (beside, collection.join())
    });
    let (beside, _) =
        (beside?, collection.map_err(|_| anyhow::anyhow!("the collection's thread panicked"))??);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let value = format!(
        "p99 {:.1} ms, without a collection {:.1} ms",
        milliseconds(beside.p99),
        milliseconds(alone.p99)
    );
    let mut report = bench.report.borrow_mut();
    report.fact("push, small layers, while garbage is collected", Kind::Ours, value);
    let reached = milliseconds(beside.p99) / milliseconds(alone.p99);
    report.goal("push during a collection: p99".to_owned(), Bound::AtMost(1.5), "× without", reached);
    Ok(())
}

/// None: it is not installed. Its server must not run, and does not.
fn docker_registry(bench: &Bench, count: usize) -> Result<Option<Cost>> {
    let Some(program) = &bench.programs.docker_registry else { return Ok(None) };
    let folder = bench.folder("collect-docker")?;
    let data = folder.join("data");
    images::docker_registry(&data, count, bench.options.scale.deleted_images)?;
    let settings = folder.join("config.yml");
    let root = data.to_str().context("the folder's name is not text")?;
    std::fs::write(
        &settings,
        format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: '{root}'}}}}\n"),
    )?;
    bench.settle()?;
    let cost = command(program, &["garbage-collect"], &settings)?;
    let scenario = format!("collect {} of {count} images", bench.options.scale.deleted_images);
    let bytes = cost.peak_bytes as f64 / 1e6;
    let value = format!("{:.3} s, peak memory {bytes:.1} MB", cost.seconds);
    bench.report.borrow_mut().fact(&scenario, Kind::DockerRegistry, value);
    remove(&folder)?;
    Ok(Some(cost))
}

/// Nothing is kept, so that what is deleted can be collected at once.
fn configuration(data: &Path) -> Result<String> {
    let root = data.to_str().context("the folder's name is not text")?;
    Ok(format!(
        "version: 0.1
storage: {{filesystem: {{rootdirectory: '{root}'}}, delete: {{enabled: true}}}}
http: {{addr: '127.0.0.1:0'}}
gc: {{enabled: false, lease: {}s, undelete_window: 0s, grace: 0s, rate: {{candidates: 0, deletes: 0}}}}
",
        LEASE.as_secs()
    ))
}

fn delete(server: &Server, images: &[Seeded]) -> Result<()> {
    let mut client = Client::connect(&server.plain()?)?;
    for image in images {
        client.request("DELETE", &image.path(), &[], b"")?.expect(202)?;
    }
    // A grant lasts for half a lease more.
    thread::sleep(LEASE * 2);
    Ok(())
}

/// Runs a command to its end.
fn command(program: &Path, arguments: &[&str], settings: &Path) -> Result<Cost> {
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .arg(settings)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut peak_bytes = 0;
    loop {
        peak_bytes = Process::peak_of(child.id()).unwrap_or(0).max(peak_bytes);
        if let Some(status) = child.try_wait()? {
            let seconds = begun.elapsed().as_secs_f64();
            ensure!(status.success(), "{} {arguments:?}: {status}", program.display());
            return Ok(Cost { seconds, peak_bytes });
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// How many objects the store has.
fn objects(data: &Path) -> Result<u64> {
    let mut count = 0;
    for folder in std::fs::read_dir(data.join("store/blobs"))? {
        count += std::fs::read_dir(folder?.path())?.count() as u64;
    }
    Ok(count)
}
