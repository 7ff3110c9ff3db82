//! Pushes of small images beside webhooks. Servers take turns, each with a new folder for each turn, so that what one of
//! them has still to send does not slow the next.

use anyhow::Result;

use super::{MANY, Starting, Webhooks, before, receivers::Receivers};
use crate::{
    bench::{Bench, remove},
    measure::Outcome,
    report::Bound,
    scenario::push::push_small,
    servers::{Kind, Programs},
};

/// In a form that judges, pushes are measured so many times as often as other loads: what they are compared for is a per cent.
const TURNS: usize = 2;

/// Servers of one sort, and what came of each turn.
struct Sort<'a> {
    name: &'static str,
    starting: Starting<'a>,
    /// What of the rate without webhooks is to be kept.
    bound: Option<f64>,
    turns: Vec<Turn>,
}

struct Turn {
    pushed: Outcome,
    /// How many messages receivers got meanwhile.
    delivered: u64,
}

pub(super) fn run(bench: &Bench, receivers: &Receivers) -> Result<()> {
    let mut sorts = sorts(bench, receivers)?;
    let turns = if bench.options.is_short { 1 } else { TURNS * bench.options.rounds };
    for number in 0..turns {
        for sort in &mut sorts {
            let turn = turn(bench, receivers, &sort.starting)?;
            eprintln!(
                "push, small layers, {}: turn {}: {:.1} images/s, {:.0} CPU µs each",
                sort.name,
                number + 1,
                turn.pushed.requests_per_second(),
                turn.pushed.cpu_seconds_per_request() * 1e6,
            );
            sort.turns.push(turn);
        }
        // What comes first and what comes last has the same neighbours.
        sorts.reverse();
    }
    report(bench, &mut sorts);
    Ok(())
}

fn sorts<'a>(bench: &Bench, receivers: &'a Receivers) -> Result<Vec<Sort<'a>>> {
    let sort = |name, programs: &Programs, paused, told, bound| Sort {
        name,
        starting: Starting { programs: programs.clone(), receivers, webhooks: Webhooks { paused, told } },
        bound,
        turns: Vec::new(),
    };
    let ours = &bench.programs;
    let mut sorts = vec![
        sort(WITHOUT, ours, 0, 0, None),
        sort("1 webhook, paused", ours, 1, 0, Some(0.95)),
        sort("20 webhooks, paused", ours, MANY, 0, Some(0.9)),
        sort("20 webhooks, told", ours, 0, MANY, Some(0.6)),
    ];
    if let Some(before) = before(ours)? {
        sorts.insert(0, sort(BEFORE_EVENTS, &before, 0, 0, None));
    }
    sorts.retain(|sort| sort.name == WITHOUT || sort.name.contains(&bench.options.case));
    Ok(sorts)
}

const WITHOUT: &str = "no webhook";
const BEFORE_EVENTS: &str = "before events";

fn turn(bench: &Bench, receivers: &Receivers, starting: &Starting<'_>) -> Result<Turn> {
    let folder = bench.folder("webhooks-pushes")?;
    let server = starting.start(&folder)?;
    bench.settle()?;
    let before = receivers.count();
    let pushed = push_small(bench, &server)?;
    let delivered = receivers.count() - before;
    drop(server);
    remove(&folder)?;
    Ok(Turn { pushed, delivered })
}

fn report(bench: &Bench, sorts: &mut [Sort<'_>]) {
    sorts.sort_by_key(|sort| {
        (sort.name != BEFORE_EVENTS, sort.starting.webhooks.told, sort.starting.webhooks.paused)
    });
    for sort in &*sorts {
        bench.report.borrow_mut().fact(
            &format!("push, small layers, {}", sort.name),
            Kind::Ours,
            sort.figures(),
        );
    }
    let Some(without) = sorts.iter().find(|sort| sort.name == WITHOUT) else { return };
    for (sort, bound) in sorts.iter().filter_map(|sort| Some((sort, sort.bound?))) {
        let what = format!("push, small layers, {}: rate", sort.name);
        let kept = sort.rate_beside(without);
        bench.report.borrow_mut().goal(what, Bound::AtLeast(bound), "× without", kept);
    }
    if let Some(before) = sorts.iter().find(|sort| sort.name == BEFORE_EVENTS) {
        let (rate, cpu) = (without.rate_beside(before), without.cpu() / before.cpu());
        let mut report = bench.report.borrow_mut();
        report.goal(
            format!("push, small layers, {WITHOUT}: rate"),
            Bound::AtLeast(0.99),
            "× before events",
            rate,
        );
        report.goal(
            format!("push, small layers, {WITHOUT}: CPU"),
            Bound::AtMost(1.01),
            "× before events",
            cpu,
        );
    }
}

impl Sort<'_> {
    fn figures(&self) -> String {
        let (rate, cpu) = (median(self.rates()), self.cpu() * 1e6);
        let pushed = |of: fn(&Outcome) -> u64| self.turns.iter().map(move |turn| of(&turn.pushed));
        let peak = pushed(|pushed| pushed.peak_bytes).max().unwrap_or(0) as f64 / 1e6;
        let mut text = format!("{rate:.1} images/s, {cpu:.0} CPU µs each, peak memory {peak:.1} MB");
        if self.starting.webhooks.told > 0 {
            let delivered: u64 = self.turns.iter().map(|turn| turn.delivered).sum();
            let images = pushed(|pushed| pushed.requests).sum::<u64>().max(1);
            text.push_str(&format!(", {:.1} deliveries beside each", delivered as f64 / images as f64));
        }
        text
    }

    fn rates(&self) -> Vec<f64> {
        self.turns.iter().map(|turn| turn.pushed.requests_per_second()).collect()
    }

    /// CPU seconds for an image, over all turns.
    fn cpu(&self) -> f64 {
        let total: f64 = self.turns.iter().map(|turn| turn.pushed.cpu.as_secs_f64()).sum();
        let images: u64 = self.turns.iter().map(|turn| turn.pushed.requests).sum();
        total / images.max(1) as f64
    }

    /// What the rate is beside another's: the median over the turns, each of which sees the machine in one mood.
    fn rate_beside(&self, other: &Sort<'_>) -> f64 {
        median(self.rates().iter().zip(other.rates()).map(|(ours, theirs)| ours / theirs).collect())
    }
}

/// The one in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
