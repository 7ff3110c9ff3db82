//! The `registry-gc` binary: reads arguments and configuration, and calls the library.

#![forbid(unsafe_code)]

mod cli;

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use registry_core::{
    collector::Report,
    config::{LogLevel, load, process_environment},
    configured,
};

use crate::cli::{Arguments, Command, Format};

fn main() -> ExitCode {
    let arguments = match cli::parse() {
        Ok(Command::Collect(arguments)) => arguments,
        Ok(Command::Help) => return print(cli::HELP),
        Ok(Command::Version) => return print(concat!("registry-gc ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => {
            eprintln!("registry-gc: {error}\nTry `registry-gc --help`.");
            return ExitCode::from(2);
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
    let loaded = load(arguments.config.as_deref(), process_environment())
        .map_err(|problems| anyhow::anyhow!("the configuration can not be used:\n{problems}"))?;
    for warning in loaded.warnings.iter().filter(|warning| warning.level() == LogLevel::Warn) {
        eprintln!("warning: {warning}");
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
