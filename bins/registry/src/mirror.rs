//! `registry-mirror`: the server, which mirrors other registries and hosts nothing.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use registry_core::config::{load_mirror, log_of, process_environment};

use crate::{commands, logging, serve};

/// A mirror of container registries: fetches what clients ask for, once, and keeps it.
#[derive(Debug, Parser)]
#[command(
    name = "registry-mirror",
    version = registry_core::api::version(),
    disable_version_flag = true,
    after_help = "Without a configuration it listens on 127.0.0.1:5001 and mirrors docker.io, ghcr.io, quay.io, registry.k8s.io, \
                  gcr.io, mcr.microsoft.com and public.ecr.aws, each below its name: docker pull localhost:5001/docker.io/library/alpine"
)]
struct Arguments {
    /// The configuration; REGISTRY_… variables count as for `registry serve`
    #[arg(value_name = "config.yml", conflicts_with = "config")]
    argument: Option<PathBuf>,
    /// The same, as an option
    #[arg(long, value_name = "config.yml")]
    config: Option<PathBuf>,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

/// Serves a mirror as the process's arguments say, and returns what the process is to exit with.
pub fn mirror() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(stopped) => {
            // A closed standard output is no failure.
            let _ = stopped.print();
            return u8::try_from(stopped.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    crate::exit(run(arguments).map(|()| ExitCode::SUCCESS))
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let named = arguments.argument.or(arguments.config);
    let file = named.or_else(|| std::env::var_os(commands::CONFIGURATION_PATH).map(PathBuf::from));
    let loaded = load_mirror(file.as_deref(), process_environment()).map_err(|problems| {
        // Its log is read where its log always is.
        logging::start(&log_of(file.as_deref(), process_environment()));
        serve::log_warnings(problems.warnings());
        anyhow::anyhow!("the configuration can not be used:\n{problems}")
    })?;
    serve::run(file.as_deref(), loaded)
}
