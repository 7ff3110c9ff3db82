//! Pushes and deliveries beside millions of deliveries that wait: events, each of which twenty webhooks have not taken.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{MANY, Starting, Webhooks, pushes::median, receivers::Receivers};
use crate::{
    bench::{Bench, remove},
    http::Client,
    image::Image,
    measure::Outcome,
    random::Random,
    report::Bound,
    scenario::push::push_small,
    seed::waiting,
    servers::{Kind, Server},
};

/// What loads are called whose names also say how many events wait.
pub(super) const NAME: &str = "push, small layers, 1 webhook told, events wait";

/// How many messages are sent one by one.
const SENT: usize = 50;

/// Between two of them, so that none is one of a crowd.
const REST: Duration = Duration::from_millis(40);

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, and what is said of it.
struct Measured {
    folder: PathBuf,
    waiting: u64,
    pushes: Vec<Outcome>,
    one_by_one: Vec<OneByOne>,
}

/// Messages that are sent one after the other.
struct OneByOne {
    /// From the push's begin until the receiver has the last message that it causes.
    latency: Duration,
    /// The server's, for each push.
    cpu: Duration,
}

pub(super) fn run(bench: &Bench, receivers: &Receivers) -> Result<()> {
    let webhooks = Webhooks { paused: MANY, told: 1 };
    let starting = Starting { programs: bench.programs.clone(), receivers, webhooks };
    let mut all = vec![
        measured(bench, &starting, "webhooks-none", 0)?,
        measured(bench, &starting, "webhooks-many", bench.options.scale.waiting_events)?,
    ];
    for _ in 0..bench.options.rounds {
        for measured in &mut all {
            // Of the two one runs at a time.
            let server = starting.start(&measured.folder)?;
            bench.settle()?;
            let sent = one_by_one(&server, receivers)?;
            measured.one_by_one.push(sent);
            measured.pushes.push(push_small(bench, &server)?);
        }
        all.reverse();
    }
    all.sort_by_key(|measured| measured.waiting);
    report(bench, &all);
    all.iter().try_for_each(|measured| remove(&measured.folder))
}

/// Makes a database in which so many events wait for each of the webhooks that are paused.
fn measured(bench: &Bench, starting: &Starting<'_>, name: &str, waiting: u64) -> Result<Measured> {
    let folder = bench.folder(name)?;
    let database = starting.start(&folder)?.directory.join("metadata.sqlite");
    if waiting > 0 {
        waiting::fill(&database, MANY, waiting)?;
    }
    Ok(Measured { folder, waiting, pushes: Vec::new(), one_by_one: Vec::new() })
}

/// Pushes manifests by tag, one after the other, and waits until the receiver knows of each.
fn one_by_one(server: &Server, receivers: &Receivers) -> Result<OneByOne> {
    let mut random = Random::new();
    let mut client = Client::connect(&server.plain()?)?;
    let image = Image::random(&mut random, &[1000], &[]);
    let count = receivers.count();
    image.push(&mut client, REPOSITORY, "first")?;
    // A repository, a manifest, a tag.
    wait_for(receivers, count + 3)?;
    let (cpu, mut latencies, mut rested) = (server.process.cpu()?, Vec::new(), 0);
    while latencies.len() < SENT {
        thread::sleep(REST);
        rested += 1;
        let (count, begun) = (receivers.count(), Instant::now());
        image.push_manifest(&mut client, REPOSITORY, &format!("{:016x}", random.next()))?;
        wait_for(receivers, count + 2)?;
        latencies.push(begun.elapsed().as_secs_f64());
    }
    let cpu = (server.process.cpu()? - cpu) / rested;
    Ok(OneByOne { latency: Duration::from_secs_f64(median(latencies)), cpu })
}

const REPOSITORY: &str = "bench/one-by-one";

fn wait_for(receivers: &Receivers, count: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while receivers.count() < count {
        ensure!(Instant::now() < deadline, "a message was not delivered within {PATIENCE:?}");
        thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

fn report(bench: &Bench, all: &[Measured]) {
    let mut report = bench.report.borrow_mut();
    for measured in all {
        let (rate, cpu) = (median(measured.rates()), measured.cpu() * 1e6);
        let of = |of: fn(&OneByOne) -> Duration| {
            median(measured.one_by_one.iter().map(|sent| of(sent).as_secs_f64()).collect()) * 1e3
        };
        let value = format!(
            "{rate:.1} images/s, {cpu:.0} CPU µs each; one by one {:.1} ms until it is delivered, {:.2} CPU ms each",
            of(|sent| sent.latency),
            of(|sent| sent.cpu),
        );
        let waiting = measured.waiting;
        report.fact(
            &format!("push, small layers, 1 webhook told, {waiting} events wait for {MANY}"),
            Kind::Ours,
            value,
        );
    }
    let [none, many] = all else { return };
    let what = |figure: &str| format!("{} events wait for {MANY} webhooks: {figure}", many.waiting);
    let rates = many.rates().iter().zip(none.rates()).map(|(many, none)| many / none).collect();
    report.goal(what("rate of pushes"), Bound::AtLeast(0.95), "× none", median(rates));
    report.goal(what("CPU of pushes"), Bound::AtMost(1.05), "× none", many.cpu() / none.cpu());
    let latency = |measured: &Measured| {
        median(measured.one_by_one.iter().map(|sent| sent.latency.as_secs_f64()).collect())
    };
    report.goal(what("time to a delivery"), Bound::AtMost(1.1), "× none", latency(many) / latency(none));
}

impl Measured {
    fn rates(&self) -> Vec<f64> {
        self.pushes.iter().map(Outcome::requests_per_second).collect()
    }

    /// CPU seconds for an image.
    fn cpu(&self) -> f64 {
        let total: f64 = self.pushes.iter().map(|pushed| pushed.cpu.as_secs_f64()).sum();
        total / self.pushes.iter().map(|pushed| pushed.requests).sum::<u64>().max(1) as f64
    }
}
