//! What a run came to, as tables.

use std::{fmt::Write, fs, time::Duration};

use crate::{measure::Outcome, servers::Kind};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Markdown,
}

/// What a load is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// MB/s, and CPU s/GB.
    Bytes,
    /// So many of these a second, and CPU µs for each.
    Each(&'static str),
}

impl Unit {
    pub(crate) fn rate(self, outcome: &Outcome) -> f64 {
        match self {
            Unit::Bytes => outcome.bytes_per_second(),
            Unit::Each(_) => outcome.requests_per_second(),
        }
    }

    pub(crate) fn cpu(self, outcome: &Outcome) -> f64 {
        match self {
            Unit::Bytes => outcome.cpu_seconds_per_gigabyte(),
            Unit::Each(_) => outcome.cpu_seconds_per_request(),
        }
    }
}

/// Which side of a bound is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
        }
    }
}

struct Row {
    scenario: String,
    kind: Kind,
    unit: Unit,
    outcome: Outcome,
    /// Of ours in the same scenario: rate and CPU.
    ours: Option<(f64, f64)>,
}

struct Fact {
    scenario: String,
    kind: Kind,
    value: String,
}

struct Goal {
    what: String,
    bound: Bound,
    unit: &'static str,
    reached: f64,
}

/// Everything there is to print.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    facts: Vec<Fact>,
    goals: Vec<Goal>,
}

impl Report {
    /// The best rounds of the servers that took part in one scenario.
    pub(crate) fn contest(&mut self, scenario: &str, unit: Unit, outcomes: &[(Kind, Outcome)]) {
        let ours = outcomes.iter().find(|(kind, _)| *kind == Kind::Ours);
        let ours = ours.map(|(_, outcome)| (unit.rate(outcome), unit.cpu(outcome)));
        for (kind, outcome) in outcomes {
            let scenario = scenario.to_owned();
            self.rows.push(Row { scenario, kind: *kind, unit, outcome: outcome.clone(), ours });
        }
    }

    pub(crate) fn fact(&mut self, scenario: &str, kind: Kind, value: String) {
        eprintln!("{scenario}: {kind}: {value}");
        self.facts.push(Fact { scenario: scenario.to_owned(), kind, value });
    }

    pub(crate) fn goal(&mut self, what: String, bound: Bound, unit: &'static str, reached: f64) {
        self.goals.push(Goal { what, bound, unit, reached });
    }

    pub(crate) fn render(&self, format: Format, with_goals: bool) -> String {
        let mut text = format!("{}\n", machine());
        let sections =
            [("Loads", self.loads()), ("Single figures", self.singles()), ("Goals", self.reached())];
        for (title, table) in sections {
            if table.len() > 1 && (with_goals || title != "Goals") {
                let _ = write!(text, "\n{}{title}\n\n", if format == Format::Markdown { "## " } else { "" });
                text.push_str(&render_table(&table, format));
            }
        }
        text
    }

    fn loads(&self) -> Vec<Vec<String>> {
        let titles = [
            "Scenario",
            "Server",
            "Rate",
            "p50 ms",
            "p99 ms",
            "CPU",
            "Peak MB",
            "Rate: ours ÷ this",
            "CPU: ours ÷ this",
        ];
        let mut table = vec![titles.map(str::to_owned).to_vec()];
        for row in &self.rows {
            let ratio = |of: fn((f64, f64)) -> f64, this: f64| match row.ours {
                Some(ours) if row.kind != Kind::Ours => format!("{:.2}", of(ours) / this),
                _ => String::new(),
            };
            let (rate, cpu) = (row.unit.rate(&row.outcome), row.unit.cpu(&row.outcome));
            table.push(vec![
                row.scenario.clone(),
                row.kind.to_string(),
                match row.unit {
                    Unit::Bytes => format!("{:.0} MB/s", rate / 1e6),
                    Unit::Each(name) => format!("{} {name}/s", significant(rate)),
                },
                milliseconds(row.outcome.p50),
                milliseconds(row.outcome.p99),
                match row.unit {
                    Unit::Bytes => format!("{cpu:.2} s/GB"),
                    Unit::Each(name) => format!("{} µs/{name}", significant(cpu * 1e6)),
                },
                format!("{:.1}", row.outcome.peak_bytes as f64 / 1e6),
                ratio(|(rate, _)| rate, rate),
                ratio(|(_, cpu)| cpu, cpu),
            ]);
        }
        table
    }

    fn singles(&self) -> Vec<Vec<String>> {
        let mut table = vec![["Scenario", "Server", "Figure"].map(str::to_owned).to_vec()];
        for fact in &self.facts {
            table.push(vec![fact.scenario.clone(), fact.kind.to_string(), fact.value.clone()]);
        }
        table
    }

    fn reached(&self) -> Vec<Vec<String>> {
        let mut table = vec![["Goal", "Bound", "Reached", ""].map(str::to_owned).to_vec()];
        for goal in &self.goals {
            let bound = match goal.bound {
                Bound::AtLeast(least) => format!("≥ {least} {}", goal.unit),
                Bound::AtMost(most) => format!("≤ {most} {}", goal.unit),
            };
            let verdict = if goal.bound.is_met_by(goal.reached) { "met" } else { "MISSED" };
            let reached = format!("{} {}", significant(goal.reached), goal.unit);
            table.push(vec![goal.what.clone(), bound, reached, verdict.to_owned()]);
        }
        table
    }
}

/// Three digits, or all before the point.
fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        size => (2 - size.log10().floor() as i32).clamp(0, 6) as usize,
    };
    format!("{value:.decimals$}")
}

fn milliseconds(time: Duration) -> String {
    significant(time.as_secs_f64() * 1e3)
}

fn render_table(table: &[Vec<String>], format: Format) -> String {
    let columns = table.first().map_or(0, Vec::len);
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, row) in table.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        match format {
            Format::Text => text.push_str(cells.join("  ").trim_end()),
            Format::Markdown => {
                let _ = write!(text, "| {} |", cells.join(" | "));
            }
        }
        text.push('\n');
        if index == 0 {
            let lines: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
            match format {
                Format::Text => text.push_str(&lines.join("  ")),
                Format::Markdown => {
                    let _ = write!(text, "| {} |", lines.join(" | "));
                }
            }
            text.push('\n');
        }
    }
    text
}

/// Without this no figure says anything.
fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kilobytes: f64 = value(&memory, "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
    format!(
        "{cores} × {}, {:.0} GB of memory, Linux {}, load before the run {}",
        value(&cpu, "model name"),
        kilobytes / 1e6,
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split_whitespace().next().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(requests: u64, cpu_ms: u64) -> Outcome {
        let (elapsed, cpu) = (Duration::from_secs(1), Duration::from_millis(cpu_ms));
        Outcome { requests, bytes: requests * 1000, elapsed, cpu, ..Outcome::default() }
    }

    #[test]
    fn others_are_shown_with_what_ours_is_to_them() {
        let mut report = Report::default();
        let outcomes = [(Kind::Ours, outcome(500, 300)), (Kind::Nginx, outcome(1000, 200))];
        report.contest("look-up", Unit::Each("request"), &outcomes);
        report.goal("look-up, rate".to_owned(), Bound::AtLeast(0.7), "× nginx", 0.5);
        let text = report.render(Format::Markdown, true);
        assert!(text.contains("500 request/s") && text.contains("600 µs/request"), "{text}");
        let nginx = text.lines().find(|line| line.contains("nginx") && line.contains("look-up")).unwrap();
        assert!(nginx.contains("| 0.50") && nginx.contains("| 3.00"), "{nginx}");
        assert!(text.contains("MISSED"), "{text}");
    }

    #[test]
    fn figures_have_three_digits() {
        for (value, text) in
            [(0.0, "0"), (0.01234, "0.0123"), (1.234, "1.23"), (56.78, "56.8"), (61586.2, "61586")]
        {
            assert_eq!(significant(value), text);
        }
    }
}
