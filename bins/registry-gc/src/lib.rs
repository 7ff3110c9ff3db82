//! The `registry-gc` program: reads arguments and configuration, and calls `registry-core`.
//!
//! It is a library with one function, so that other packages of this workspace can build the same program.

#![forbid(unsafe_code)]

mod cli;

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use registry_core::{
    collector::Report,
    config::{LogLevel, Warning, load, process_environment},
    configured,
    rights::{RUN_AS, User},
};

use crate::cli::{Arguments, Format};

/// Runs one collection as the process's arguments say, and returns what the process is to exit with: failure if part of the
/// collection failed.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(stopped) => {
            // A closed standard output is no failure.
            let _ = stopped.print();
            return u8::try_from(stopped.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match run(&arguments) {
        Ok(report) => {
            let is_complete = report.is_complete();
            print(&match arguments.report {
                Format::Text => format!("{report}\n"),
                Format::Json => format!("{}\n", report.to_json()),
            });
            if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("registry-gc: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let file = arguments.file();
    let loaded = load(file.as_deref(), process_environment()).map_err(|problems| {
        let file = file.map(|file| format!(" {}", file.display())).unwrap_or_default();
        anyhow::anyhow!("the configuration{file} can not be used:\n{problems}")
    })?;
    let is_ours = |warning: &&Warning| warning.level() == LogLevel::Warn && !warning.is_about_serving();
    for warning in loaded.warnings.iter().filter(is_ours) {
        eprintln!("warning: {warning}");
    }
    // Before there are threads. What this leaves in the store is then the server's.
    let wanted = User::wanted(std::env::var(RUN_AS).ok().as_deref())?;
    if let Some(user) = User::of_command(wanted, &loaded.config) {
        user.become_it()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can not start the runtime")?.block_on(async {
        let options = configured::collector_options(&loaded.config.gc);
        let collector = configured::open_beside(&loaded.config).await?.collector(options);
        if arguments.is_dry_run {
            Ok(collector.preview(&(), false).await?)
        } else {
            Ok(collector.collect(&()).await)
        }
    })
}

/// A closed standard output is no failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
