//! What Prometheus's own libraries tell of every process, so that alerts and panels which others made work: from `/proc`, so
//! on Linux alone.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Reads the figures whenever somebody asks for them.
#[derive(Debug)]
pub(crate) struct Process;

/// Figures of this process; what the system does not tell is absent.
#[derive(Debug, Default)]
struct Figures {
    cpu_secs: Option<f64>,
    start_secs: Option<f64>,
    virtual_bytes: Option<u64>,
    resident_bytes: Option<u64>,
    open_files: Option<u64>,
    open_files_max: Option<u64>,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let figures = Figures::read();
        let mut encode = |name: &str, help: &str, metric: Option<&dyn Encode>| match metric {
            Some(metric) => metric.encode_as(name, help, &mut encoder),
            None => Ok(()),
        };
        let as_gauge = |value: Option<u64>| value.map(|value| ConstGauge::new(value as f64));
        let (cpu, start) = (figures.cpu_secs.map(ConstCounter::new), figures.start_secs.map(ConstGauge::new));
        let [virtual_bytes, resident, files, files_max] =
            [figures.virtual_bytes, figures.resident_bytes, figures.open_files, figures.open_files_max]
                .map(as_gauge);
        encode("process_cpu_seconds", "Time of processors that was used", opt(&cpu))?;
        encode("process_start_time_seconds", "When the process started, since 1970", opt(&start))?;
        encode("process_virtual_memory_bytes", "Size of the address space", opt(&virtual_bytes))?;
        encode("process_resident_memory_bytes", "Memory that is held", opt(&resident))?;
        encode("process_open_fds", "Open files, sockets among them", opt(&files))?;
        encode("process_max_fds", "How many files may be open", opt(&files_max))
    }
}

/// A metric that can be written without knowing which it is.
trait Encode {
    fn encode_as(
        &self,
        name: &str,
        help: &str,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), fmt::Error>;
}

impl<M: EncodeMetric> Encode for M {
    fn encode_as(
        &self,
        name: &str,
        help: &str,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        self.encode(encoder.encode_descriptor(name, help, None, self.metric_type())?)
    }
}

fn opt<M: EncodeMetric>(metric: &Option<M>) -> Option<&dyn Encode> {
    metric.as_ref().map(|metric| metric as &dyn Encode)
}

impl Figures {
    fn read() -> Figures {
        let mut figures = Figures {
            open_files: fs::read_dir("/proc/self/fd").ok().map(|folder| folder.count() as u64),
            open_files_max: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            ..Figures::default()
        };
        if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
            figures.read_stat(&stat, booted_at_secs());
        }
        figures
    }

    /// Source: proc_pid_stat(5). The name, in brackets, may hold anything; fields after it are counted from the third.
    fn read_stat(&mut self, stat: &str, booted_at_secs: Option<f64>) {
        let Some((_, after)) = stat.rsplit_once(')') else { return };
        let fields: Vec<&str> = after.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second;
        self.cpu_secs = number(14).zip(number(15)).map(|(user, system)| seconds(user + system));
        self.start_secs = number(22).zip(booted_at_secs).map(|(start, booted)| booted + seconds(start));
        self.virtual_bytes = number(23);
        self.resident_bytes = number(24).map(|pages| pages * rustix::param::page_size() as u64);
    }
}

/// When the system started, since 1970.
fn booted_at_secs() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 9 0 1000 5000000 300 18446744073709551615";
        let mut figures = Figures::default();
        figures.read_stat(stat, Some(1_700_000_000.0));
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(figures.cpu_secs, Some(400.0 / ticks));
        assert_eq!(figures.start_secs, Some(1_700_000_000.0 + 1000.0 / ticks));
        assert_eq!(figures.virtual_bytes, Some(5_000_000));
        assert_eq!(figures.resident_bytes, Some(300 * rustix::param::page_size() as u64));
    }

    #[test]
    fn what_is_no_such_line_tells_nothing() {
        for text in ["", "7 (a", "7 (a) S 1"] {
            let mut figures = Figures::default();
            figures.read_stat(text, None);
            assert!(figures.cpu_secs.is_none() && figures.virtual_bytes.is_none(), "{text}");
        }
    }
}
