//! What pushes notice of webhooks: without any, with one and with twenty that wait, while twenty are told, and with a million events
//! that wait; and how many deliveries a second go out.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::push::push_small;
use crate::{
    bench::{Bench, remove},
    measure::Outcome,
    report::{Bound, Unit},
    servers::{Kind, OurOptions, Server},
};

/// The most webhooks that are measured.
const MANY: usize = 20;

/// Receivers of the deliveries that are counted.
const RECEIVERS: usize = 50;

/// How long deliveries are counted.
const COUNTED: Duration = Duration::from_secs(5);

/// A server, and what is said of it.
struct Told {
    name: &'static str,
    server: Server,
    folder: PathBuf,
    best: Option<Outcome>,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let receiver = Receiver::start()?;
    let mut servers = vec![
        told(bench, &receiver, "no webhook", 0, true)?,
        told(bench, &receiver, "1 webhook, paused", 1, true)?,
        told(bench, &receiver, "20 webhooks, paused", MANY, true)?,
        told(bench, &receiver, "20 webhooks, told", MANY, false)?,
    ];
    for _ in 0..bench.options.rounds {
        for told in &mut servers {
            bench.settle()?;
            let outcome = push_small(bench, &told.server)?;
            let unit = Unit::Each("image");
            if told.best.as_ref().is_none_or(|best| unit.rate(best) < unit.rate(&outcome)) {
                told.best = Some(outcome);
            }
        }
    }
    report(bench, &servers);
    deliveries(bench, &receiver)?;
    for told in servers {
        drop(told.server);
        remove(&told.folder)?;
    }
    Ok(())
}

fn report(bench: &Bench, servers: &[Told]) {
    let mut report = bench.report.borrow_mut();
    let rate = |told: &Told| told.best.as_ref().map_or(0.0, Outcome::requests_per_second);
    for told in servers {
        if let Some(best) = &told.best {
            let (rate, cpu) = (best.requests_per_second(), best.cpu_seconds_per_request() * 1e6);
            let peak = best.peak_bytes as f64 / 1e6;
            let value = format!("{rate:.1} images/s, {cpu:.0} CPU µs each, peak memory {peak:.1} MB");
            report.fact(&format!("push, small layers, {}", told.name), Kind::Ours, value);
        }
    }
    for (told, bound) in servers[1..].iter().zip([0.95, 0.9, 0.6]) {
        let what = format!("push, small layers, {}: rate", told.name);
        report.goal(what, Bound::AtLeast(bound), "× without", rate(told) / rate(&servers[0]));
    }
}

/// A server with so many webhooks, all of which lead to the receiver.
fn told(
    bench: &Bench,
    receiver: &Receiver,
    name: &'static str,
    count: usize,
    is_paused: bool,
) -> Result<Told> {
    let folder = bench.folder(&format!("webhooks-{}", name.replace([' ', ','], "-")))?;
    let file = folder.join("config.yml");
    std::fs::write(&file, configuration(receiver, count, is_paused))?;
    let options = OurOptions { configuration: Some(&file), ..OurOptions::default() };
    let server = Server::ours(&bench.programs, &folder, options)?;
    Ok(Told { name, server, folder, best: None })
}

fn configuration(receiver: &Receiver, count: usize, is_paused: bool) -> String {
    let mut text = "version: 0.1\nwebhooks:\n".to_owned();
    if count == 0 {
        text.push_str("  []\n");
    }
    for number in 0..count {
        let url = format!("http://{}/{number}", receiver.address);
        let _ = writeln!(text, "  - {{name: w{number}, url: '{url}', disabled: {is_paused}}}");
    }
    text
}

/// With receivers that answer at once.
fn deliveries(bench: &Bench, receiver: &Receiver) -> Result<()> {
    let told = told(bench, receiver, "50 receivers", RECEIVERS, false)?;
    push_small(bench, &told.server)?;
    // Of what the pushes left there is enough for the time that is counted.
    let (before, cpu, begun) = (receiver.count(), told.server.process.cpu()?, Instant::now());
    thread::sleep(COUNTED);
    let (delivered, elapsed) = (receiver.count() - before, begun.elapsed().as_secs_f64());
    let cpu = (told.server.process.cpu()? - cpu).as_secs_f64() / delivered.max(1) as f64 * 1e6;
    let peak = told.server.process.peak_bytes()? as f64 / 1e6;
    let rate = delivered as f64 / elapsed;
    let value = format!("{rate:.0} deliveries/s, {cpu:.0} CPU µs each, peak memory {peak:.1} MB");
    bench.report.borrow_mut().fact("deliveries to 50 receivers", Kind::Ours, value);
    drop(told.server);
    remove(&told.folder)
}

/// Answers 204 to everything, a thread for each connection.
struct Receiver {
    address: SocketAddr,
    count: Arc<AtomicU64>,
}

impl Receiver {
    fn start() -> Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, count) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let counted = count.clone();
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                thread::spawn(move || answer(&stream, &counted));
            }
        });
        Ok(Receiver { address, count })
    }

    fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

fn answer(stream: &TcpStream, count: &AtomicU64) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().context("a length is a number")?;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        count.fetch_add(1, Relaxed);
        (&*stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
