//! Servers that speak as object stores do, installed by `tests/setup stores`, each on a port and a folder of its own.

// There is nobody to hand an error to.
#![allow(clippy::unwrap_used)]

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::ServerOptions;

const KEY_ID: &str = ObjectServer::KEY_ID;
const SECRET: &str = ObjectServer::SECRET;
const BUCKET: &str = ObjectServer::BUCKET;

/// Where a registry's objects lie in the bucket.
const ROOT: &str = "registry";

/// A server takes a while to come up on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server with a folder of its own. Killed when dropped.
///
/// # Panics
/// Everything here does, with the server's log, if the program is missing or does not work.
#[derive(Debug)]
pub struct ObjectServer {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl ObjectServer {
    /// The key that the S3 servers let in.
    pub const KEY_ID: &str = "registry-test";
    /// And its secret.
    pub const SECRET: &str = "registry-test-secret";
    /// The one bucket, or container, that each has.
    pub const BUCKET: &str = "images";
    /// Azurite's account, the same everywhere.
    pub const AZURITE_ACCOUNT: &str = "devstoreaccount1";
    /// And its key.
    pub const AZURITE_KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// versitygw over a folder, with one bucket.
    pub fn versitygw() -> ObjectServer {
        ObjectServer::start("versitygw", |command, port, folder| {
            command.args(["--quiet", "--keep-alive", "--access", KEY_ID, "--secret", SECRET, "--port"]);
            command.arg(format!("127.0.0.1:{port}")).arg("posix").arg("--sidecar");
            let sidecar = folder.join("sidecar");
            fs::create_dir(&sidecar).unwrap();
            let data = folder.join("data");
            fs::create_dir_all(data.join(BUCKET)).unwrap();
            command.arg(sidecar).arg(data);
        })
    }

    /// SeaweedFS: master, volumes, filer and S3 in one process.
    pub fn seaweedfs() -> ObjectServer {
        let server = ObjectServer::start("weed", |command, port, folder| {
            let data = folder.join("data");
            fs::create_dir(&data).unwrap();
            let users = folder.join("users.json");
            let credentials = format!(r#"{{"accessKey":"{KEY_ID}","secretKey":"{SECRET}"}}"#);
            let user = format!(r#"{{"name":"t","credentials":[{credentials}],"actions":["Admin"]}}"#);
            fs::write(&users, format!(r#"{{"identities":[{user}]}}"#)).unwrap();
            command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]);
            command.args(["-volume.max=20", "-master.volumeSizeLimitMB=256", "-s3", "-s3.port.iceberg=0"]);
            command.arg(format!("-dir={}", data.display()));
            command.arg(format!("-s3.port={port}")).arg(format!("-s3.config={}", users.display()));
            for other in ["master", "volume", "filer", "s3"] {
                command.arg(format!("-{other}.port.grpc={}", free_port()));
                if other != "s3" {
                    command.arg(format!("-{other}.port={}", free_port()));
                }
            }
        });
        let sign = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user"];
        let bucket = format!("http://127.0.0.1:{}/{BUCKET}", server.port);
        server.until(|| curl(&[&sign[..], &[&format!("{KEY_ID}:{SECRET}"), "-X", "PUT", &bucket]].concat()));
        server
    }

    /// Azurite, with one container.
    pub fn azurite() -> ObjectServer {
        let server = ObjectServer::start("azurite-blob", |command, port, folder| {
            command.args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort"]);
            command.arg(port.to_string()).arg("--location").arg(folder.join("data"));
        });
        server.until(|| azurite_container(server.port));
        server
    }

    /// Waits until `attempt` succeeds: a server that listens may not be ready.
    fn until(&self, attempt: impl Fn() -> bool) {
        let begun = Instant::now();
        while !attempt() {
            assert!(begun.elapsed() < START_TIMEOUT, "the server is not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn start(program: &str, arguments: impl FnOnce(&mut Command, u16, &Path)) -> ObjectServer {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(find(program));
        arguments(&mut command, port, folder.path());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let mut server = ObjectServer { child, port, folder };
        server.wait_until_up(program);
        server
    }

    fn wait_until_up(&mut self, program: &str) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() > START_TIMEOUT {
                panic!("{program} does not answer ({ended:?}): {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The port of 127.0.0.1 where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many blobs a registry of [`ServerOptions::in_bucket`] has in versitygw, and their bytes.
    pub fn blobs(&self) -> (usize, u64) {
        files(&self.folder.path().join("data").join(BUCKET).join(ROOT).join("store/blobs"))
    }

    /// Copies a folder into versitygw's bucket, below what a registry of [`ServerOptions::in_bucket`] has there.
    pub fn put_folder(&self, folder: &Path, name: &str) {
        copy(folder, &self.folder.path().join("data").join(BUCKET).join(ROOT).join(name));
    }

    /// How many ends of unfinished uploads that registry has there.
    pub fn tails(&self) -> usize {
        files(&self.folder.path().join("data").join(BUCKET).join(ROOT).join("store/tails")).0
    }

    /// How many parts of unfinished uploads versitygw holds.
    pub fn parts(&self) -> usize {
        let unfinished = self.folder.path().join("data").join(BUCKET).join(".sgwtmp/multipart");
        files(&unfinished).0
    }

    /// Puts an object into versitygw's bucket, past everything.
    pub fn plant(&self, prefix: &str, key: &str) {
        let path = self.folder.path().join("data").join(BUCKET).join(prefix).join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "planted").unwrap();
    }
}

impl ServerOptions {
    /// Keeps the bytes in the bucket of an S3 server at this port, and the database in the options' folder. All that a registry
    /// needs to know of a bucket is in its variables, so that every node has the same.
    #[must_use]
    pub fn in_bucket(self, port: u16) -> ServerOptions {
        let database = self.folder().join("disk/metadata.sqlite").display().to_string();
        self.without("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY")
            .variable("REGISTRY_STORAGE_S3_BUCKET", BUCKET)
            .variable("REGISTRY_STORAGE_S3_REGIONENDPOINT", &format!("http://127.0.0.1:{port}"))
            .variable("REGISTRY_STORAGE_S3_FORCEPATHSTYLE", "true")
            .variable("REGISTRY_STORAGE_S3_ACCESSKEY", KEY_ID)
            .variable("REGISTRY_STORAGE_S3_SECRETKEY", SECRET)
            .variable("REGISTRY_STORAGE_S3_ROOTDIRECTORY", &format!("/{ROOT}"))
            .variable("REGISTRY_METADATA_SQLITE_PATH", &database)
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of 127.0.0.1 that nobody has now.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Where a program lies: on the path, or where `tests/setup` puts what it builds.
fn find(program: &str) -> PathBuf {
    let cache = || match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache"),
    };
    let tools =
        env::var_os("REGISTRY_TOOLS_DIR").map_or_else(|| cache().join("registry-tools"), PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([tools.join("bin")]);
    folders
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{program} is missing: `tests/setup stores` installs it"))
}

/// How many files lie in a folder and those in it, and their bytes.
fn files(folder: &Path) -> (usize, u64) {
    // What is listed may be gone when it is looked at.
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    let sizes = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let metadata = path.metadata().ok()?;
        Some(if metadata.is_dir() { files(&path) } else { (1, metadata.len()) })
    });
    sizes.fold((0, 0), |(count, bytes), (more, size)| (count + more, bytes + size))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// Whether a request succeeded.
fn curl(arguments: &[&str]) -> bool {
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", "--output", "/dev/null"]).args(arguments);
    command.status().expect("curl is installed by `tests/setup clients`").success()
}

/// Makes the container. The library makes none, so the request is signed here.
fn azurite_container(port: u16) -> bool {
    const SCRIPT: &str = r#"
        date=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
        key=$(printf %s "$KEY" | base64 -d | od -An -v -tx1 | tr -d ' \n')
        # Eleven headers that are not sent.
        text=$(printf 'PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:%s\nx-ms-version:2021-08-06\n/%s/%s/%s\nrestype:container' \
            "$date" "$ACCOUNT" "$ACCOUNT" "$CONTAINER")
        signature=$(printf %s "$text" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
        curl --silent --fail --output /dev/null -X PUT -H "x-ms-date: $date" -H 'x-ms-version: 2021-08-06' \
            -H "authorization: SharedKey $ACCOUNT:$signature" -H 'content-length: 0' "$URL?restype=container"
    "#;
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT]);
    command
        .env("ACCOUNT", ObjectServer::AZURITE_ACCOUNT)
        .env("KEY", ObjectServer::AZURITE_KEY)
        .env("CONTAINER", BUCKET);
    command.env("URL", format!("http://127.0.0.1:{port}/{}/{BUCKET}", ObjectServer::AZURITE_ACCOUNT));
    command.status().expect("bash can be started").success()
}
