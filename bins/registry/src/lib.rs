//! The `registry` program: reads arguments and configuration, starts logging, and calls `registry-core`.
//!
//! It is a library with one function, so that other packages of this workspace can build the same program.

#![forbid(unsafe_code)]

mod certificates;
mod cli;
mod commands;
mod content;
mod fsck;
mod garbage;
mod health;
mod jobs;
mod journal;
mod logging;
mod migrate;
mod mirror;
mod moving;
mod notify;
mod quota;
mod retention;
mod secrets;
mod serve;
mod webhooks;

use std::process::ExitCode;

pub use mirror::mirror;

/// Runs the command that the process's arguments name, and returns what the process is to exit with.
pub fn main() -> ExitCode {
    let command = match cli::parse() {
        Ok(command) => command,
        Err(stopped) => {
            // A closed standard output is no failure: `registry --help | head`.
            let _ = stopped.print();
            return u8::try_from(stopped.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    exit(commands::run(command))
}

/// Shows what failed, and says what the process is to exit with.
fn exit(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if logging::has_started() => {
            // One line for each that the error has, so that each can be read.
            for line in format!("{error:#}").lines() {
                tracing::error!("{line}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("registry: {error:#}");
            ExitCode::FAILURE
        }
    }
}
