//! The real binary as a child process.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, geteuid, getrlimit, kill_process, prlimit};
use tempfile::TempDir;

use crate::{Client, Log, Program, binary, eventually};

/// A server in a process of its own. Dropping it kills the process; its folder stays as long as the
/// [`ServerOptions`] that it was started with.
#[derive(Debug)]
pub struct Server {
    options: ServerOptions,
    child: Child,
    address: String,
    log: Log,
    access_log: Log,
}

/// How to start a server. Starting several times with the same options is starting again on the same folder.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    folder: Arc<TempDir>,
    root: PathBuf,
    config: Option<String>,
    variables: Vec<(String, String)>,
    is_nobody: bool,
    open_files: Option<u64>,
    registry: Option<PathBuf>,
}

/// The user that nothing belongs to.
const NOBODY: u32 = 65_534;

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions::new()
    }
}

impl ServerOptions {
    /// A server on a free port of 127.0.0.1, on an empty folder, without a configuration file, deletion allowed.
    pub fn new() -> ServerOptions {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let root = folder.path().join("data");
        let options = ServerOptions {
            folder: Arc::new(folder),
            root: root.clone(),
            config: None,
            variables: Vec::new(),
            is_nobody: false,
            open_files: None,
            registry: None,
        };
        options
            .variable("REGISTRY_HTTP_ADDR", "127.0.0.1:0")
            .variable("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &root.display().to_string())
            .variable("REGISTRY_STORAGE_DELETE_ENABLED", "true")
    }

    /// Sets a variable; the last value of each counts.
    pub fn variable(mut self, name: &str, value: &str) -> ServerOptions {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a variable away that was set.
    pub fn without(mut self, name: &str) -> ServerOptions {
        self.variables.retain(|(known, _)| known != name);
        self
    }

    /// Keeps the data in another folder, which is not removed with these options.
    pub fn root(mut self, root: &Path) -> ServerOptions {
        root.clone_into(&mut self.root);
        self.variable("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &root.display().to_string())
    }

    /// Gives it a configuration file with this text.
    pub fn config(self, yaml: &str) -> ServerOptions {
        ServerOptions { config: Some(yaml.to_owned()), ..self }
    }

    /// Runs it as a user without rights, if the test runs as root; otherwise as whoever runs the test.
    pub fn as_nobody(self) -> ServerOptions {
        ServerOptions { is_nobody: true, ..self }
    }

    /// Lets it have so many files open at most, from its start on.
    pub fn open_files(self, files: u64) -> ServerOptions {
        ServerOptions { open_files: Some(files), ..self }
    }

    /// Starts another program in place of the one under test, which has the same variables: one of an earlier version.
    pub fn registry(self, path: &Path) -> ServerOptions {
        ServerOptions { registry: Some(path.to_owned()), ..self }
    }

    /// A folder for the test's own files, which is removed with the last clone of these options.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the data lies.
    pub fn data(&self) -> &Path {
        &self.root
    }

    /// Runs a command on the same data, with the same variables, until it ends.
    ///
    /// # Panics
    /// If it can not be started.
    pub async fn run(&self, program: Program, arguments: &[&str]) -> Output {
        let mut command = binary::command(program, arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        let run = tokio::task::spawn_blocking(move || command.output().expect("the binary can be started"));
        run.await.expect("a command can be waited for")
    }

    /// Starts a command on the same data and does not wait for it.
    ///
    /// # Panics
    /// If it can not be started.
    pub fn spawn_command(&self, program: Program, arguments: &[&str]) -> Child {
        let mut command = binary::command(program, arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the binary can be started")
    }

    /// Starts the server and waits until it says where it listens.
    ///
    /// # Panics
    /// If it ends instead; shows its log.
    pub async fn start(&self) -> Server {
        match self.try_start().await {
            Ok(server) => server,
            Err((status, log)) => panic!("the server ended with {status}:\n{log}"),
        }
    }

    /// Starts the server and waits until it says where it listens, or ends.
    ///
    /// # Errors
    /// How it ended, and its log.
    pub async fn try_start(&self) -> Result<Server, (ExitStatus, String)> {
        let (mut child, log, access_log) = self.spawn();
        let listening = log.wait_for_value("listening on", address_in);
        let ended =
            eventually("the server ends", async || child.try_wait().expect("a child can be waited for"));
        let address = tokio::select! {
            address = listening => address,
            status = ended => return Err((status, log.to_the_end().await)),
        };
        Ok(Server { options: self.clone(), child, address, log, access_log })
    }

    fn spawn(&self) -> (Child, Log, Log) {
        let mut arguments = vec!["serve".to_owned()];
        if let Some(yaml) = &self.config {
            let path = self.folder.path().join("config.yml");
            fs::write(&path, yaml).expect("the configuration can be written");
            arguments.push(path.display().to_string());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let command = match &self.registry {
            Some(path) => binary::command_of(path, &arguments),
            None => binary::command(Program::Registry, &arguments),
        };
        let mut command = match self.open_files {
            Some(files) => limited(&command, files),
            None => command,
        };
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path());
        if self.is_nobody && geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let (log, access_log) = (Log::default(), Log::default());
        log.follow(child.stderr.take().expect("standard error is a pipe"));
        access_log.follow(child.stdout.take().expect("standard output is a pipe"));
        (child, log, access_log)
    }
}

impl Server {
    /// Starts a server as [`ServerOptions::new`] describes.
    ///
    /// # Panics
    /// If it ends instead.
    pub async fn start() -> Server {
        ServerOptions::new().start().await
    }

    /// `host:port` where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What it wrote to standard output: a line for each request.
    pub fn access_log(&self) -> &Log {
        &self.access_log
    }

    /// How it was started.
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// Where its data lies.
    pub fn data(&self) -> &Path {
        self.options.data()
    }

    /// How much memory it holds now, of its own, in bytes. What it maps of files does not count.
    ///
    /// # Panics
    /// Elsewhere than on Linux.
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("RssAnon:")
    }

    /// How much memory it ever held at once, in bytes, with what it maps of files.
    ///
    /// # Panics
    /// Elsewhere than on Linux.
    pub fn memory_peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc can be read");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("/proc tells it");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("memory is a number");
        kibibytes * 1024
    }

    /// How many files, sockets among them, it has open.
    ///
    /// # Panics
    /// Elsewhere than on Linux.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("/proc can be read").count()
    }

    /// How many pieces its address space is mapped in.
    ///
    /// # Panics
    /// Elsewhere than on Linux.
    pub fn mappings(&self) -> usize {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id())).expect("/proc can be read");
        maps.lines().count()
    }

    /// Lets it have so many files open at most, whatever it has open now; as many as before, if none is given.
    ///
    /// # Panics
    /// If the system does not allow it.
    pub fn limit_open_files(&self, files: Option<usize>) {
        let before = getrlimit(Resource::Nofile);
        let current = files.map_or(before.current, |files| Some(files as u64));
        let limit = Rlimit { current, maximum: before.maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit)
            .expect("a child's limits can be set");
    }

    /// Asks it to stop (SIGTERM) and does not wait.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the server ends", async || self.child.try_wait().expect("a child can be waited for"))
            .await
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Kills it and starts it again on the same folder. It gets another port.
    pub async fn restart(mut self) -> Server {
        self.kill().await;
        self.options.clone().start().await
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        // It may have ended already.
        let _ = kill_process(pid, signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that may have so many files open, and can not raise that.
fn limited(command: &Command, files: u64) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// `127.0.0.1:40001` out of `… msg="listening on 127.0.0.1:40001" …`.
fn address_in(log: &str) -> Option<String> {
    // Not the line of the debug server, which comes before.
    let (_, after) = log.rsplit_once("\"listening on ")?;
    let end = after.find(|c: char| c.is_whitespace() || c == '"' || c == ',')?;
    Some(after[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_text_and_json() {
        let address = Some("127.0.0.1:40001".to_owned());
        assert_eq!(
            address_in("x\ntime=\"t\" level=info msg=\"listening on 127.0.0.1:40001\" a=b\n"),
            address
        );
        assert_eq!(address_in("{\"msg\":\"listening on 127.0.0.1:40001\"}\n"), address);
        assert_eq!(address_in("msg=\"listening on 127.0.0.1:4"), None);
    }
}
