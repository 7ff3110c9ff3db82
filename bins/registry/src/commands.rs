//! What each command does.

use std::{
    io::{BufRead, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use registry_core::{
    auth::make_htpasswd_line,
    config::{Config, Loaded, LogLevel, Warning, load, log_of, process_environment},
    configured,
    rights::{RUN_AS, User},
};
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};

use crate::{
    certificates,
    cli::{self, Command, ConfigFile, Content, Retention},
    content, fsck, garbage, health, jobs, journal, logging, migrate, moving, quota, retention, secrets,
    serve, webhooks,
};

/// Names the configuration file, if the command line does not.
pub(crate) const CONFIGURATION_PATH: &str = "REGISTRY_CONFIGURATION_PATH";

/// Does what a command says, and answers what the process exits with.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Import { file, how } => return moving::import(&load_beside(file)?, how),
        Command::Export { file, how } => return moving::export(&load_beside(file)?, how),
        Command::Serve { file } => serve(config_file(file).as_deref()),
        Command::CheckConfig { file } => check_config(config_file(file).as_deref()),
        Command::Health(how) => health::run(how),
        Command::HashPassword { user, cost } => hash_password(&user, cost),
        Command::GarbageCollect { file, how } => garbage::collect(load_beside(file)?, how),
        Command::Fsck { file, how } => fsck::run(&load_beside(file)?, how),
        Command::Quota { file, how } => quota::run(&load_beside(file)?, how),
        Command::Undelete(undelete) => change(undelete.file.clone(), undelete.what()),
        Command::Tag(command) => {
            let (file, what) = command.what();
            change(file, what)
        }
        Command::Repository(command) => {
            let (file, what) = command.what();
            change(file, what)
        }
        Command::Trash(command) => {
            let (file, what) = command.what();
            change(file, what)
        }
        Command::Retention(Retention::Import(what)) => retention::translate(&what),
        Command::Retention(Retention::Preview(which)) => {
            retention::run(&load_beside(which.file.clone())?, &which, retention::What::Preview)
        }
        Command::Retention(Retention::Apply(which)) => {
            retention::run(&load_beside(which.file.clone())?, &which, retention::What::Apply)
        }
        Command::Journal(action) => {
            let (file, action) = journal::Action::of(action);
            print(&journal::run(action, &load_beside(file)?.config)?)
        }
        Command::Webhook(command) => webhooks::run(command),
        Command::Jobs(command) => jobs::run(command),
        Command::Secrets(command) => secrets::run(command),
        Command::Certificate(command) => certificates::run(command),
        Command::Completions { shell } => print(&cli::completions(shell)),
        Command::Migrate { from, file } => migrate::run(from.as_deref(), &load_beside(file)?),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn change(file: ConfigFile, what: Content) -> anyhow::Result<()> {
    content::run(&load_beside(file)?, what)
}

/// Where the file of a configuration is looked for: the command line, then a variable.
pub(crate) fn config_file(file: ConfigFile) -> Option<PathBuf> {
    file.named().or_else(|| std::env::var_os(CONFIGURATION_PATH).map(PathBuf::from))
}

fn serve(file: Option<&Path>) -> anyhow::Result<()> {
    let loaded = load(file, process_environment()).map_err(|problems| {
        // Its log is read where its log always is.
        logging::start(&log_of(file, process_environment()));
        serve::log_warnings(problems.warnings());
        anyhow::anyhow!("{} can not be used:\n{problems}", named(file))
    })?;
    serve::run(file, loaded)
}

/// Loads the configuration for a command that works beside the process that serves, and becomes the user who does.
pub(crate) fn load_beside(file: ConfigFile) -> anyhow::Result<Loaded> {
    let loaded = load_config(config_file(file).as_deref())?;
    become_user(&loaded.config)?;
    Ok(loaded)
}

/// Before there are threads: they would stay root's.
pub(crate) fn become_user(config: &Config) -> anyhow::Result<()> {
    let wanted = User::wanted(std::env::var(RUN_AS).ok().as_deref())?;
    if let Some(user) = User::of_command(wanted, config) {
        user.become_it()?;
    }
    Ok(())
}

pub(crate) fn load_config(file: Option<&Path>) -> anyhow::Result<Loaded> {
    load(file, process_environment()).map_err(|problems| {
        // What is wrong is often a key that was misspelt.
        warn(problems.warnings());
        anyhow::anyhow!("{} can not be used:\n{problems}", named(file))
    })
}

fn named(file: Option<&Path>) -> String {
    match file {
        Some(file) => format!("the configuration {}", file.display()),
        None => "the configuration (no file, the environment's variables)".to_owned(),
    }
}

/// Says what loses something. What is open to others, the server says, and not each command that is run beside it.
pub(crate) fn warn(warnings: &[Warning]) {
    for warning in warnings.iter().filter(|warning| !warning.is_about_serving()) {
        say(warning);
    }
}

fn say(warning: &Warning) {
    if warning.level() == LogLevel::Warn {
        eprintln!("warning: {warning}");
    }
}

fn check_config(file: Option<&Path>) -> anyhow::Result<()> {
    let loaded = load_config(file)?;
    loaded.warnings.iter().for_each(say);
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
