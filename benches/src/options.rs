//! The command line.

use std::time::Duration;

use anyhow::{Result, bail};
use lexopt::prelude::*;

use crate::{measure::Window, report::Format, scenario::Scenario};

pub(crate) const HELP: &str = "\
Measures the registry beside Debian's docker-registry and nginx, in one run and with one load generator.

Usage: benches/run [options]

Options:
  --short                a form of every scenario that takes seconds: it checks every answer, its figures say little
  --only <scenario>,…    pull, lookup, push, push-small, shared, pages, start, connections, huge, s3, collect,
                         webhooks
  --case <text>          only loads whose name contains this
  --alone                this registry alone: for profiling
  --rounds <n>           rounds of each load, of which the best counts (default 3)
  --seconds <s>          how long a round lasts, if it is bound by time (default 3)
  --huge-gib <n>         the size of the huge blob (default 20)
  --many-mib <n>         the size of each of 32 uploads at once to an object store (default 1024)
  --connections <n>      how many idle and slow connections (default 5000)
  --minutes <n>          after so long the run is given up (default 60)
  --out text|markdown    how to print (default text)
  -h, --help             this text

REGISTRY_BIN names the binary to measure; otherwise it is the release build of this workspace. REGISTRY_BEFORE_BIN names one of a
version before events, which `webhooks` compares with.
";

/// What the user wants.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) scenarios: Vec<Scenario>,
    /// Part of the names of the loads to run.
    pub(crate) case: String,
    /// Does not start the others.
    pub(crate) is_alone: bool,
    pub(crate) format: Format,
    /// Looks into the bytes of every body, and judges no figure.
    pub(crate) is_short: bool,
    pub(crate) rounds: usize,
    pub(crate) window: Window,
    /// The whole run.
    pub(crate) time_max: Duration,
    pub(crate) scale: Scale,
}

/// How large things are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) layer_bytes: usize,
    /// Images that each client pushes in a round.
    pub(crate) images: usize,
    /// Clients of the scenario with shared bases.
    pub(crate) shared_clients: usize,
    pub(crate) tags: u64,
    pub(crate) repositories: u64,
    pub(crate) blobs: u64,
    pub(crate) connections: usize,
    /// How long slow clients read.
    pub(crate) slow: Duration,
    pub(crate) huge_bytes: u64,
    /// Images among which some are deleted.
    pub(crate) few_images: usize,
    pub(crate) many_images: usize,
    pub(crate) deleted_images: usize,
    /// Each of the many uploads at once to an object store.
    pub(crate) many_bytes: u64,
    /// Events that wait for each of the webhooks that are paused.
    pub(crate) waiting_events: u64,
}

const FULL: Scale = Scale {
    layer_bytes: 16 << 20,
    images: 2,
    shared_clients: 64,
    tags: 100_000,
    repositories: 1_000_000,
    blobs: 1_000_000,
    connections: 5000,
    slow: Duration::from_secs(15),
    huge_bytes: 20 << 30,
    few_images: 10_000,
    many_images: 100_000,
    deleted_images: 1000,
    many_bytes: 1 << 30,
    waiting_events: 500_000,
};

const SHORT: Scale = Scale {
    layer_bytes: 2 << 20,
    images: 1,
    shared_clients: 8,
    tags: 5000,
    repositories: 5000,
    blobs: 5000,
    connections: 100,
    slow: Duration::from_secs(3),
    huge_bytes: 64 << 20,
    few_images: 200,
    many_images: 1000,
    deleted_images: 50,
    many_bytes: 16 << 20,
    waiting_events: 10_000,
};

impl Default for Options {
    fn default() -> Options {
        Options {
            scenarios: Scenario::ALL.to_vec(),
            case: String::new(),
            is_alone: false,
            format: Format::Text,
            is_short: false,
            rounds: 3,
            window: Window { warmup: Duration::from_millis(500), length: Duration::from_secs(3) },
            time_max: Duration::from_secs(60 * 60),
            scale: FULL,
        }
    }
}

impl Options {
    /// None: help was asked for.
    pub(crate) fn parse(mut arguments: lexopt::Parser) -> Result<Option<Options>> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(None),
                Long("short") => options.shorten(),
                Long("only") => options.scenarios = scenarios(&arguments.value()?.string()?)?,
                Long("case") => options.case = arguments.value()?.string()?,
                Long("alone") => options.is_alone = true,
                Long("rounds") => options.rounds = arguments.value()?.parse::<usize>()?.max(1),
                Long("seconds") => {
                    let seconds: f64 = arguments.value()?.parse()?;
                    options.window.length = Duration::try_from_secs_f64(seconds)?;
                }
                Long("huge-gib") => options.scale.huge_bytes = arguments.value()?.parse::<u64>()? << 30,
                Long("many-mib") => options.scale.many_bytes = arguments.value()?.parse::<u64>()? << 20,
                Long("connections") => options.scale.connections = arguments.value()?.parse()?,
                Long("minutes") => {
                    options.time_max = Duration::from_secs(60 * arguments.value()?.parse::<u64>()?);
                }
                Long("out") => options.format = format(&arguments.value()?.string()?)?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Some(options))
    }

    fn shorten(&mut self) {
        self.is_short = true;
        self.rounds = 1;
        self.window = Window { warmup: Duration::from_millis(50), length: Duration::from_millis(250) };
        self.time_max = Duration::from_secs(5 * 60);
        self.scale = SHORT;
    }
}

fn scenarios(names: &str) -> Result<Vec<Scenario>> {
    let by_name = |name: &str| Scenario::ALL.into_iter().find(|scenario| scenario.name() == name);
    names
        .split(',')
        .map(|name| by_name(name).ok_or_else(|| anyhow::anyhow!("there is no scenario `{name}`")))
        .collect()
}

fn format(name: &str) -> Result<Format> {
    match name {
        "text" => Ok(Format::Text),
        "markdown" => Ok(Format::Markdown),
        other => bail!("there is no form `{other}`: text or markdown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Options>> {
        Options::parse(lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn options_are_understood() {
        let options = parse(&["--short", "--only", "pull,huge", "--rounds", "2", "--out", "markdown"]);
        let options = options.unwrap().unwrap();
        assert_eq!(options.scenarios, [Scenario::Pull, Scenario::Huge]);
        assert!(options.is_short && options.rounds == 2 && options.format == Format::Markdown);
        assert!(parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (arguments, named) in [
            (&["--only", "fly"][..], "fly"),
            (&["--out", "pdf"], "pdf"),
            (&["--fast"], "--fast"),
            (&["x"], "x"),
        ] {
            let error = parse(arguments).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
