//! What each command does.

use std::{
    io::{BufRead, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use registry_core::{
    auth::make_htpasswd_line,
    config::{Loaded, LogLevel, Warning, load, process_environment},
    configured,
};
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};

use crate::{
    cli::{Command, HELP},
    content, fsck, garbage, journal, migrate, quota, retention, serve,
};

/// Names the configuration file, if the command line does not.
const CONFIGURATION_PATH: &str = "REGISTRY_CONFIGURATION_PATH";

/// Where the file of a configuration is looked for: the command line, then a variable.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Help => print(HELP),
        Command::Version => print(&format!("registry {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Serve { config } => {
            let file = config_file(config);
            serve::run(file.as_deref(), load_config(file.as_deref())?)
        }
        Command::CheckConfig { config } => check_config(config_file(config).as_deref()),
        Command::GarbageCollect { config, how } => {
            let file = config_file(config);
            garbage::collect(load_config(file.as_deref())?, how)
        }
        Command::Fsck { config, how } => {
            let file = config_file(config);
            fsck::run(&load_config(file.as_deref())?, how)
        }
        Command::Content { config, what } => {
            let file = config_file(config);
            content::run(&load_config(file.as_deref())?, what)
        }
        Command::Retention { config, what } => {
            let file = config_file(config);
            retention::run(&load_config(file.as_deref())?, what)
        }
        Command::ImportRetention(what) => retention::translate(&what),
        Command::Quota { config, how } => quota::run(&load_config(config_file(config).as_deref())?, how),
        Command::HashPassword { user, cost } => hash_password(&user, cost),
        Command::Journal { action, config } => {
            let loaded = load_config(config_file(config).as_deref())?;
            print(&journal::run(action, &loaded.config)?)
        }
        Command::Migrate { from, config } => {
            migrate::run(from.as_deref(), &load_config(config_file(config).as_deref())?)
        }
    }
}

fn config_file(argument: Option<PathBuf>) -> Option<PathBuf> {
    argument.or_else(|| std::env::var_os(CONFIGURATION_PATH).map(PathBuf::from))
}

fn load_config(file: Option<&Path>) -> anyhow::Result<Loaded> {
    load(file, process_environment()).map_err(|problems| {
        // What is wrong is often a key that was misspelt.
        warn(problems.warnings());
        anyhow::anyhow!("the configuration can not be used:\n{problems}")
    })
}

/// Says what loses something, or is open to others.
pub(crate) fn warn(warnings: &[Warning]) {
    for warning in warnings.iter().filter(|warning| warning.level() == LogLevel::Warn) {
        eprintln!("warning: {warning}");
    }
}

fn check_config(file: Option<&Path>) -> anyhow::Result<()> {
    let loaded = load_config(file)?;
    warn(&loaded.warnings);
    for note in loaded.warnings.iter().filter(|warning| warning.level() != LogLevel::Warn) {
        eprintln!("note: {note}");
    }
    let name = file.map_or_else(|| "the default configuration".to_owned(), |file| file.display().to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("can not start the runtime")?;
    let unusable = runtime.block_on(configured::check_files(&loaded.config));
    if !unusable.is_empty() {
        bail!("{name} names what can not be used:\n{}", unusable.join("\n"));
    }
    print(&format!("{name} has no problems\n"))
}

fn hash_password(user: &str, cost: u32) -> anyhow::Result<()> {
    let password = read_password().context("can not read the password")?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("the password is empty; it is read from standard input");
    }
    let line = make_htpasswd_line(user, password, cost)?;
    print(&format!("{line}\n"))
}

/// A line of standard input, which a terminal does not show while it is typed.
fn read_password() -> std::io::Result<String> {
    let stdin = std::io::stdin();
    let mut password = String::new();
    if !isatty(&stdin) {
        stdin.lock().read_line(&mut password)?;
        return Ok(password);
    }
    eprint!("Password: ");
    let shown = tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let read = stdin.lock().read_line(&mut password);
    tcsetattr(&stdin, OptionalActions::Flush, &shown)?;
    eprintln!();
    read.map(|_| password)
}

/// A closed standard output is no failure: `registry --help | head`.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}
