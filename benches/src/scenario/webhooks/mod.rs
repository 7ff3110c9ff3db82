//! What pushes notice of webhooks: without any, with one and with twenty that wait, while twenty are told, and beside millions of
//! deliveries that wait; how many deliveries a second go out, and how soon one does.

mod pushes;
mod receivers;
mod waiting;

use std::{
    env,
    fmt::Write as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use self::receivers::Receivers;
use super::push::push_small;
use crate::{
    bench::{Bench, remove},
    servers::{Kind, OurOptions, Programs, Server},
};

/// The most webhooks that pushes are measured with.
const MANY: usize = 20;

/// Receivers of the deliveries that are counted.
const RECEIVERS: usize = 50;

const DELIVERIES: &str = "deliveries to 50 receivers";

/// How long deliveries are counted.
const COUNTED: Duration = Duration::from_secs(5);

/// Names the binary of an earlier version, to be measured beside this one without webhooks.
const BEFORE: &str = "REGISTRY_BEFORE_BIN";

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let receivers = Receivers::start(RECEIVERS)?;
    pushes::run(bench, &receivers)?;
    if DELIVERIES.contains(&bench.options.case) {
        deliveries(bench, &receivers)?;
    }
    if waiting::NAME.contains(&bench.options.case) {
        waiting::run(bench, &receivers)?;
    }
    Ok(())
}

/// Which webhooks a server has.
#[derive(Clone, Copy, Debug, Default)]
struct Webhooks {
    /// So many that are told nothing for now.
    paused: usize,
    /// So many that are told of everything.
    told: usize,
}

/// How to start servers with webhooks.
struct Starting<'a> {
    programs: Programs,
    receivers: &'a Receivers,
    webhooks: Webhooks,
}

impl Starting<'_> {
    fn start(&self, folder: &Path) -> Result<Server> {
        let file = folder.join("config.yml");
        let is_configured = self.webhooks.paused + self.webhooks.told > 0;
        if is_configured {
            std::fs::write(&file, self.configuration())?;
        }
        let options =
            OurOptions { configuration: is_configured.then_some(file.as_path()), ..OurOptions::default() };
        Server::ours(&self.programs, folder, options)
    }

    fn configuration(&self) -> String {
        let Webhooks { paused, told } = self.webhooks;
        let mut text = "version: 0.1\nwebhooks:\n".to_owned();
        for (number, address) in self.receivers.addresses(paused + told).iter().enumerate() {
            let (name, is_paused) = (webhook_name(number), number < paused);
            let _ = writeln!(text, "  - {{name: {name}, url: 'http://{address}/', disabled: {is_paused}}}");
        }
        text
    }
}

fn webhook_name(number: usize) -> String {
    format!("w{number}")
}

/// The version before events, if it is to be compared.
fn before(programs: &Programs) -> Result<Option<Programs>> {
    let Some(path) = env::var_os(BEFORE).map(PathBuf::from) else { return Ok(None) };
    let ours = std::fs::canonicalize(&path).with_context(|| format!("{BEFORE}: {}", path.display()))?;
    Ok(Some(Programs { ours, ..programs.clone() }))
}

/// With receivers that answer at once.
fn deliveries(bench: &Bench, receivers: &Receivers) -> Result<()> {
    let folder = bench.folder("webhooks-deliveries")?;
    let webhooks = Webhooks { told: RECEIVERS, paused: 0 };
    let server = Starting { programs: bench.programs.clone(), receivers, webhooks }.start(&folder)?;
    push_small(bench, &server)?;
    // Of what the pushes left there is enough for the time that is counted.
    let (before, cpu, begun) = (receivers.count(), server.process.cpu()?, Instant::now());
    thread::sleep(COUNTED);
    let (delivered, elapsed) = (receivers.count() - before, begun.elapsed().as_secs_f64());
    let cpu = (server.process.cpu()? - cpu).as_secs_f64() / delivered.max(1) as f64 * 1e6;
    let peak = server.process.peak_bytes()? as f64 / 1e6;
    let rate = delivered as f64 / elapsed;
    let value = format!("{rate:.0} deliveries/s, {cpu:.0} CPU µs each, peak memory {peak:.1} MB");
    bench.report.borrow_mut().fact(DELIVERIES, Kind::Ours, value);
    drop(server);
    remove(&folder)
}
