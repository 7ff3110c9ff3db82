//! Child processes: started, watched through `/proc`, and never left behind.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to end after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(15);

/// The most processes of one server that are looked at: nginx has one for each core.
const PROCESSES_MAX: usize = 1024;

/// Everything that was started and has not ended, for the watchdog.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A server and its children.
pub(crate) struct Process {
    child: Child,
    /// The highest peak that [`reset_peak`](Self::reset_peak) has wiped out so far.
    peak_bytes: Mutex<u64>,
}

/// What a process holds, in bytes. Pages that several processes share count in each of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident_bytes: u64,
    /// The most that was resident since the last [`Process::reset_peak`].
    pub(crate) peak_bytes: u64,
}

impl Process {
    /// Starts a command whose standard output and error go to a file. It is killed when the benchmark dies, if `setpriv`
    /// is there.
    pub(crate) fn spawn(program: &Path, prepare: impl FnOnce(&mut Command), log: &Path) -> Result<Process> {
        let setpriv = Path::new("/usr/bin/setpriv");
        let mut command = if setpriv.exists() {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        prepare(&mut command);
        let output = File::create(log).with_context(|| format!("create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        running().push(child.id());
        Ok(Process { child, peak_bytes: Mutex::new(0) })
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// User and system time of the process, its threads and its children, those included that have ended.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut ticks = 0;
        for pid in self.family()? {
            ticks += cpu_ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
        }
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64))
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut memory = Memory::default();
        for pid in self.family()? {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            memory.resident_bytes += kilobytes(&status, "VmRSS:")? * 1024;
            memory.peak_bytes += kilobytes(&status, "VmHWM:")? * 1024;
        }
        Ok(memory)
    }

    /// The next peak is that of what happens from now on.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        self.keep_peak()?;
        for pid in self.family()? {
            fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        }
        Ok(())
    }

    /// The peak since the start, whatever was reset.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        self.keep_peak()
    }

    /// The peak of a process that somebody else started; none if it has ended.
    pub(crate) fn peak_of(pid: u32) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        kilobytes(&status, "VmHWM:").ok().map(|peak| peak * 1024)
    }

    fn keep_peak(&self) -> Result<u64> {
        let now = self.memory()?.peak_bytes;
        let mut peak = self.peak_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *peak = now.max(*peak);
        Ok(*peak)
    }

    /// The process and those below it.
    fn family(&self) -> Result<Vec<u32>> {
        let mut pids = vec![self.child.id()];
        let mut looked_at = 0;
        while looked_at < pids.len() {
            if pids.len() > PROCESSES_MAX {
                bail!("process {} has more than {PROCESSES_MAX} children", self.child.id());
            }
            let pid = pids[looked_at];
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
                .with_context(|| format!("process {pid} has ended"))?;
            pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            looked_at += 1;
        }
        Ok(pids)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let family = self.family().unwrap_or_default();
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + STOP_MAX;
        while !self.has_ended() {
            if Instant::now() > deadline {
                family.iter().for_each(|&pid| signal(pid, Signal::KILL));
                let _ = self.child.wait();
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        running().retain(|&pid| pid != self.child.id());
    }
}

/// Ends everything that was started, without waiting: for the watchdog.
pub(crate) fn kill_all() {
    for pid in running().drain(..) {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .for_each(|pid| signal(pid, Signal::KILL));
        signal(pid, Signal::KILL);
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// `utime`, `stime`, and the same of children that were waited for, of `/proc/<pid>/stat`.
fn cpu_ticks(stat: &str) -> Result<u64> {
    // The second field is a name in parentheses that may hold anything.
    let (_, after_name) = stat.rsplit_once(") ").context("a line of /proc/<pid>/stat has a name")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let times = fields.get(11..15).context("a line of /proc/<pid>/stat has times")?;
    times.iter().map(|field| Ok(field.parse::<u64>()?)).sum()
}

fn kilobytes(status: &str, key: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let line = line.with_context(|| format!("/proc/<pid>/status has no {key}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 3 4 20 0 1 0 5";
        assert_eq!(cpu_ticks(stat).unwrap(), 37);
        assert!(cpu_ticks("7 (a) S 1").is_err());
    }

    #[test]
    fn a_child_is_measured_and_ends_with_its_handle() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let sleep = Path::new("/bin/sleep");
        let process = Process::spawn(
            sleep,
            |command| {
                command.arg("60");
            },
            log.path(),
        )
        .unwrap();
        let pid = process.child.id();
        assert!(process.memory().unwrap().resident_bytes > 0);
        process.reset_peak().unwrap();
        assert!(process.peak_bytes().unwrap() > 0);
        assert!(process.cpu().unwrap() < Duration::from_secs(1));
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
