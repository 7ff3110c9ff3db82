//! A PostgreSQL server for tests: made, started, stopped and killed by the test, gone with
//! its process.
//!
//! The programs come from Debian's package `postgresql`; `REGISTRY_POSTGRES_BIN` names another folder. The server never
//! runs as root: if the test does, the server runs as the user `postgres`.

use std::{
    collections::HashMap,
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tempfile::TempDir;

/// Names the folder of `initdb` and `postgres`.
const VARIABLE: &str = "REGISTRY_POSTGRES_BIN";

/// Where Debian has a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// How long the server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Who the server lets in.
const USER: &str = "registry";

/// Ends the server when the test's process is gone, however it ended: the pipe to standard input closes then. The
/// arguments are the folder to remove at last, if any, and the server's command line.
const GUARD: &str = r#"
folder=$1; shift
"$@" < /dev/null & server=$!
trap 'kill -INT $server 2> /dev/null; wait $server; [ -z "$folder" ] || rm -rf "$folder"; exit 0' TERM
read -r _
kill -QUIT $server 2> /dev/null
wait $server
[ -z "$folder" ] || rm -rf "$folder"
"#;

/// A server that listens on a free port of 127.0.0.1, and its data. Dropping it ends it and removes the data.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    /// None if the guard removes the folder.
    _owned: Option<TempDir>,
    port: u16,
    is_durable: bool,
    settings: HashMap<&'static str, String>,
    running: Mutex<Option<Child>>,
    databases: AtomicU32,
}

impl PostgresServer {
    /// Makes a server whose data survives [`kill`](Self::kill), and starts it.
    ///
    /// # Panics
    /// If the programs are missing, or do not work.
    pub fn start() -> PostgresServer {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::prepare(folder.path().to_owned(), Some(folder), true, &[])
    }

    /// As [`start`](Self::start), with settings such as `("ssl", "on")`.
    ///
    /// # Panics
    /// Likewise.
    pub fn start_with(settings: &[(&'static str, &str)]) -> PostgresServer {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::prepare(folder.path().to_owned(), Some(folder), true, settings)
    }

    /// The server that all tests of this process share, for those that leave it running. Its data does not survive a
    /// crash, which makes it faster.
    ///
    /// # Panics
    /// Likewise.
    pub fn shared() -> &'static PostgresServer {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| {
            // Nothing drops a static: the guard removes the folder.
            let folder = tempfile::tempdir().expect("a temporary folder can be made").keep();
            Self::prepare(folder, None, false, &[])
        })
    }

    fn prepare(
        folder: PathBuf,
        owned: Option<TempDir>,
        is_durable: bool,
        settings: &[(&'static str, &str)],
    ) -> PostgresServer {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let server = PostgresServer {
            port: free_port(),
            folder,
            _owned: owned,
            is_durable,
            settings,
            running: Mutex::default(),
            databases: AtomicU32::new(0),
        };
        give_to_server(&server.folder);
        let data = server.data();
        let data = data.to_str().expect("a temporary folder has a plain name");
        let arguments = ["--pgdata", data, "--username", USER, "--auth", "trust", "--no-sync"];
        let made = as_server("initdb").args(arguments).args(["--locale", "C", "--encoding", "UTF8"]).output();
        let made = made.expect("initdb can be started");
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        server.resume();
        server
    }

    /// Gives files and folders to the user that the server runs as.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn give_files(paths: &[&Path]) {
        paths.iter().for_each(|path| give_to_server(path));
    }

    /// Starts it again on the same port and data; nothing happens if it runs.
    ///
    /// # Panics
    /// If it does not start; shows its log.
    pub fn resume(&self) {
        let mut running = self.running.lock();
        if running.is_some() {
            return;
        }
        let mut command = as_server_guarded(if self._owned.is_some() { None } else { Some(&self.folder) });
        command.arg(program("postgres")).arg("-D").arg(self.data());
        let mut settings = self.settings.clone();
        let mut default = |name, value: &str| {
            settings.entry(name).or_insert_with(|| value.to_owned());
        };
        default("port", &self.port.to_string());
        default("listen_addresses", "127.0.0.1");
        default("unix_socket_directories", "");
        default("max_connections", "300");
        default("shared_buffers", "32MB");
        if !self.is_durable {
            default("fsync", "off");
            default("full_page_writes", "off");
        }
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let log = fs::File::create(self.log()).expect("the server's log can be written");
        let copy = log.try_clone().expect("a file can be shared");
        let child = command.stdin(Stdio::piped()).stdout(log).stderr(copy).spawn();
        *running = Some(child.expect("the server can be started"));
        drop(running);
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        let started = Instant::now();
        let arguments =
            ["--host", "127.0.0.1", "--port", &self.port.to_string(), "--timeout", "1", "--quiet"];
        while !as_server("pg_isready").args(arguments).status().is_ok_and(|status| status.success()) {
            let log = || fs::read_to_string(self.log()).unwrap_or_default();
            assert!(started.elapsed() < START_TIMEOUT, "the server does not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it in an orderly way: running transactions are rolled back, clients are told.
    pub fn stop(&self) {
        self.end("-INT");
    }

    /// Ends it as a crash of the machine would, without the loss of what the system has in memory.
    pub fn kill(&self) {
        self.end("-KILL");
    }

    fn end(&self, signal: &str) {
        let Some(mut child) = self.running.lock().take() else { return };
        let pid = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let mut pids = vec![pid.to_owned()];
            if signal == "-KILL" {
                // Each connection has a process of its own, which would go on for a moment.
                let children =
                    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
                pids.extend(children.split_whitespace().map(str::to_owned));
            }
            let _ = Command::new("kill").arg(signal).args(pids).stderr(Stdio::null()).status();
        }
        // Its end ends the guard, once that has nothing to read any more.
        drop(child.stdin.take());
        let _ = child.wait();
        // What a killed server leaves behind holds the port for a moment.
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            && started.elapsed() < START_TIMEOUT
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A new, empty database; returns its URL.
    ///
    /// # Panics
    /// If the server does not run.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} STRATEGY file_copy"));
        self.url(&name)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port of 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its data; settings may name files in it.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Runs statements with `psql`; returns what they print, columns joined by `|`.
    ///
    /// # Panics
    /// If they fail.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut command = as_server("psql");
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        command.args(["--dbname", &self.url(database), "--command", sql]);
        let output = command.output().expect("psql can be started");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.end("-QUIT");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be had");
    listener.local_addr().expect("a listener has an address").port()
}

/// Where the programs lie: of several versions the newest.
fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os(VARIABLE).map(PathBuf::from).or_else(newest);
    let path = folder.map(|folder| folder.join(name)).filter(|path| path.exists());
    path.unwrap_or_else(|| panic!("there is no `{name}` of PostgreSQL: `tests/setup` installs it"))
}

fn newest() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?.filter_map(io::Result::ok).map(|entry| entry.path());
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    versions.max_by_key(number).map(|version| version.join("bin"))
}

/// A program as the user that the server runs as.
fn as_server(name: &str) -> Command {
    let mut command = Command::new(program(name));
    become_server(&mut command);
    command
}

fn as_server_guarded(folder: Option<&Path>) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(GUARD).arg("guard").arg(folder.unwrap_or(Path::new("")));
    become_server(&mut command);
    command
}

fn become_server(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.current_dir("/").env_clear().env("PATH", "/usr/bin:/bin");
    if let Some((uid, gid)) = server_user() {
        command.uid(uid).gid(gid);
    }
}

fn give_to_server(folder: &Path) {
    if let Some((uid, gid)) = server_user() {
        std::os::unix::fs::chown(folder, Some(uid), Some(gid)).expect("root can give folders away");
    }
}

/// The user `postgres`, if this process is root's.
fn server_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there is a list of users");
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let user = users.lines().map(fields).find(|fields| fields[0] == "postgres");
    let user = user.expect("there is no user `postgres`: `tests/setup` installs PostgreSQL, which makes it");
    let id = |index: usize| user[index].parse().expect("ids of users are numbers");
    Some((id(2), id(3)))
}
