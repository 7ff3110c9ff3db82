//! The `registry` binary: reads arguments and configuration, starts logging, and calls the library.

#![forbid(unsafe_code)]

mod cli;
mod commands;
mod content;
mod fsck;
mod garbage;
mod journal;
mod logging;
mod migrate;
mod privileges;
mod quota;
mod retention;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match cli::parse() {
        Ok(command) => commands::run(command),
        Err(error) => {
            eprintln!("registry: {error}\nTry `registry --help`.");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry: {error:#}");
            ExitCode::FAILURE
        }
    }
}
