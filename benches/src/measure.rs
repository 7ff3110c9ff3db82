//! A load and what it costs the server: how many threads work, when the clock runs, what is counted.

use std::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process::Process;

/// How long the threads of a load may take until they are ready to begin: they may have layers to make.
const READY_MAX: Duration = Duration::from_secs(120);

/// How long a window stays open for the first request.
const OVERTIME_MAX: Duration = Duration::from_secs(20);

/// How long a load goes on before it is measured, and then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) warmup: Duration,
    pub(crate) length: Duration,
}

/// What one round came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Of bodies, either way.
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    /// User and system time of the server.
    pub(crate) cpu: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// The server's.
    pub(crate) peak_bytes: u64,
}

impl Outcome {
    pub(crate) fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn cpu_seconds_per_gigabyte(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.bytes as f64 / 1e9)
    }

    pub(crate) fn cpu_seconds_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() / self.requests as f64
    }
}

const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const MEASURED: u8 = 2;
const OVER: u8 = 3;

/// What the threads of a load and the clock have in common.
pub(crate) struct Gauge {
    phase: AtomicU8,
    ready: AtomicU64,
    failed: AtomicU8,
    counts: Vec<Count>,
}

impl Gauge {
    fn requests(&self) -> u64 {
        self.counts.iter().map(|count| count.requests.load(Relaxed)).sum()
    }

    fn bytes(&self) -> u64 {
        self.counts.iter().map(|count| count.bytes.load(Relaxed)).sum()
    }
}

/// One thread's, on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Count {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// One thread's view of the gauge.
pub(crate) struct Lane<'a> {
    gauge: &'a Gauge,
    count: &'a Count,
    pub(crate) index: usize,
    latencies: Vec<Duration>,
}

impl Lane<'_> {
    /// Waits until all threads are ready. False: another one failed.
    pub(crate) fn ready(&self) -> bool {
        self.gauge.ready.fetch_add(1, Relaxed);
        while self.gauge.phase.load(Relaxed) == WAITING {
            thread::sleep(Duration::from_micros(50));
        }
        !self.is_over()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.gauge.phase.load(Relaxed) == OVER
    }

    /// Bytes that came or went, of a request that need not be over.
    pub(crate) fn moved(&self, bytes: u64) {
        self.count.bytes.fetch_add(bytes, Relaxed);
    }

    /// A request that was begun then is over, and its answer was right.
    pub(crate) fn done(&mut self, begun: Instant) {
        self.count.requests.fetch_add(1, Relaxed);
        if self.gauge.phase.load(Relaxed) == MEASURED {
            self.latencies.push(begun.elapsed());
        }
    }
}

/// Runs `work` on threads until the window is over. Each calls [`Lane::ready`] once it is connected, and returns soon after
/// [`Lane::is_over`].
pub(crate) fn windowed(
    process: &Process,
    window: Window,
    threads: usize,
    work: impl Fn(&mut Lane<'_>) -> Result<()> + Sync,
) -> Result<Outcome> {
    run(process, threads, &work, |gauge, mark| {
        gauge.phase.store(RUNNING, Relaxed);
        thread::sleep(window.warmup);
        mark()?;
        gauge.phase.store(MEASURED, Relaxed);
        let (before, deadline) = (gauge.requests(), Instant::now() + window.length);
        while gauge.failed.load(Relaxed) == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            // On a busy machine not even one may be done in a short window.
            let is_late = deadline.elapsed() > OVERTIME_MAX;
            if left.is_zero() && (gauge.requests() > before || is_late) {
                break;
            }
            thread::sleep(left.clamp(Duration::from_millis(1), Duration::from_millis(20)));
        }
        Ok(())
    })
}

/// Runs `work` on threads until each has done what it has to, and measures that. Each calls [`Lane::ready`] once it is
/// connected.
pub(crate) fn complete(
    process: &Process,
    threads: usize,
    work: impl Fn(&mut Lane<'_>) -> Result<()> + Sync,
) -> Result<Outcome> {
    let finished = AtomicU64::new(0);
    let counted = |lane: &mut Lane<'_>| {
        let result = work(lane);
        finished.fetch_add(1, Relaxed);
        result
    };
    run(process, threads, &counted, |gauge, mark| {
        mark()?;
        gauge.phase.store(MEASURED, Relaxed);
        while finished.load(Relaxed) < threads as u64 {
            thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    })
}

/// What is read when the clock starts and when it stops.
struct Reading {
    at: Instant,
    cpu: Duration,
    requests: u64,
    bytes: u64,
}

fn run(
    process: &Process,
    threads: usize,
    work: &(impl Fn(&mut Lane<'_>) -> Result<()> + Sync),
    clock: impl FnOnce(&Gauge, &mut dyn FnMut() -> Result<()>) -> Result<()>,
) -> Result<Outcome> {
    let counts = (0..threads).map(|_| Count::default()).collect();
    let gauge =
        Gauge { phase: AtomicU8::new(WAITING), ready: AtomicU64::new(0), failed: AtomicU8::new(0), counts };
    let (readings, latencies) = thread::scope(|scope| {
        let lanes: Vec<_> = (0..threads)
            .map(|index| {
                scope.spawn({
                    let gauge = &gauge;
                    move || drive(gauge, index, work)
                })
            })
            .collect();
        let readings = observe(process, &gauge, clock);
        gauge.phase.store(OVER, Relaxed);
        let latencies: Result<Vec<_>> = lanes
            .into_iter()
            .map(|lane| lane.join().unwrap_or_else(|_| bail!("a thread of the load panicked")))
            .collect();
        (readings, latencies)
    });
    let mut latencies = latencies?.concat();
    let (before, after) = readings?;
    latencies.sort_unstable();
    Ok(Outcome {
        requests: after.requests - before.requests,
        bytes: after.bytes - before.bytes,
        elapsed: after.at - before.at,
        cpu: after.cpu.saturating_sub(before.cpu),
        p50: quantile(&latencies, 0.5),
        p99: quantile(&latencies, 0.99),
        peak_bytes: process.memory()?.peak_bytes,
    })
}

fn drive(gauge: &Gauge, index: usize, work: &impl Fn(&mut Lane<'_>) -> Result<()>) -> Result<Vec<Duration>> {
    let mut lane = Lane { gauge, count: &gauge.counts[index], index, latencies: Vec::new() };
    let result = work(&mut lane);
    if result.is_err() {
        gauge.failed.store(1, Relaxed);
    }
    result.map(|()| lane.latencies)
}

fn observe(
    process: &Process,
    gauge: &Gauge,
    clock: impl FnOnce(&Gauge, &mut dyn FnMut() -> Result<()>) -> Result<()>,
) -> Result<(Reading, Reading)> {
    let deadline = Instant::now() + READY_MAX;
    while gauge.ready.load(Relaxed) < gauge.counts.len() as u64 && gauge.failed.load(Relaxed) == 0 {
        if Instant::now() > deadline {
            bail!("the load was not ready in {READY_MAX:?}");
        }
        thread::sleep(Duration::from_micros(200));
    }
    process.reset_peak()?;
    let mut before = None;
    clock(gauge, &mut || {
        before = Some(reading(process, gauge)?);
        Ok(())
    })?;
    let after = reading(process, gauge)?;
    Ok((before.context("the clock was not started")?, after))
}

fn reading(process: &Process, gauge: &Gauge) -> Result<Reading> {
    Ok(Reading { cpu: process.cpu()?, requests: gauge.requests(), bytes: gauge.bytes(), at: Instant::now() })
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn idle() -> Process {
        let sleep = Path::new("/bin/sleep");
        Process::spawn(
            sleep,
            |command| {
                command.arg("60");
            },
            Path::new("/dev/null"),
        )
        .unwrap()
    }

    #[test]
    fn a_window_counts_what_happens_in_it_and_nothing_before() {
        let window = Window { warmup: Duration::from_millis(100), length: Duration::from_millis(200) };
        let outcome = windowed(&idle(), window, 2, |lane| {
            lane.ready();
            while !lane.is_over() {
                let begun = Instant::now();
                thread::sleep(Duration::from_millis(5));
                lane.moved(10);
                lane.done(begun);
            }
            Ok(())
        })
        .unwrap();
        assert!((10..=82).contains(&outcome.requests), "{outcome:?}");
        assert_eq!(outcome.bytes, outcome.requests * 10);
        assert!(outcome.p50 >= Duration::from_millis(5) && outcome.p99 >= outcome.p50, "{outcome:?}");
    }

    #[test]
    fn work_is_measured_to_its_end() {
        let outcome = complete(&idle(), 3, |lane| {
            lane.ready();
            thread::sleep(Duration::from_millis(20 * lane.index as u64));
            lane.done(Instant::now());
            Ok(())
        })
        .unwrap();
        assert_eq!(outcome.requests, 3);
        assert!(outcome.elapsed >= Duration::from_millis(40), "{outcome:?}");
    }

    #[test]
    fn a_thread_that_fails_ends_the_load_with_its_error() {
        let window = Window { warmup: Duration::ZERO, length: Duration::from_secs(60) };
        let begun = Instant::now();
        let result = windowed(&idle(), window, 2, |lane| match lane.index {
            0 => bail!("no such blob"),
            _ => {
                lane.ready();
                Ok(())
            }
        });
        assert!(result.unwrap_err().to_string().contains("no such blob"));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
