//! Measures the registry beside Debian's docker-registry and nginx: see `docs/benchmark.md`.
//!
//! A run starts the servers, sets each the same work in turn, and prints what it cost. [`scenario`] says what the work is,
//! [`http`] is the load generator, [`measure`] holds the clock, [`process`] reads what the kernel knows about the servers.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a load generator connects as clients do")]

mod bench;
mod http;
mod image;
mod measure;
mod options;
mod process;
mod random;
mod report;
mod scenario;
mod seed;
mod servers;

use std::{
    io::Write,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    bench::Bench,
    options::{HELP, Options},
};

fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => return print(HELP),
        Err(error) => {
            eprintln!("{error:#}\nTry `--help`.");
            return ExitCode::from(2);
        }
    };
    raise_file_limit();
    match run(options) {
        Ok(text) => print(&text),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<String> {
    let begun = Instant::now();
    let (format, is_short) = (options.format, options.is_short);
    let scenarios = options.scenarios.clone();
    let bench = Bench::new(options)?;
    watch(bench.options.time_max, bench.directory().to_owned());
    for scenario in scenarios {
        eprintln!("=== {} ({} s so far)", scenario.name(), begun.elapsed().as_secs());
        scenario.run(&bench)?;
    }
    scenario::peak(&bench)?;
    let report = bench.report.borrow();
    // Small figures of a busy machine are no verdict.
    Ok(report.render(format, !is_short))
}

/// A closed standard output is no failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Gives up after this time, whatever hangs.
fn watch(time_max: Duration, directory: PathBuf) {
    thread::spawn(move || {
        thread::sleep(time_max);
        eprintln!("given up after {} s", time_max.as_secs());
        process::kill_all();
        let _ = std::fs::remove_dir_all(directory);
        std::process::exit(1);
    });
}

/// Every connection is a file; the servers inherit the limit.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
