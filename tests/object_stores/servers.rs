//! The servers.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use registry_storage::{AzureCredentials, AzureOptions, ObjectOptions, S3Credentials, S3Options, Secret};
use tempfile::TempDir;

pub(crate) const KEY_ID: &str = "registry-test";
pub(crate) const SECRET: &str = "registry-test-secret";
pub(crate) const BUCKET: &str = "images";

/// Azurite's own, the same everywhere.
const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server takes a while to come up on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server with a folder of its own. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl Server {
    /// versitygw over a folder, with one bucket.
    pub(crate) fn versitygw() -> Server {
        Server::start("versitygw", |command, port, folder| {
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
    pub(crate) fn seaweedfs() -> Server {
        let server = Server::start("weed", |command, port, folder| {
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
    pub(crate) fn azurite() -> Server {
        let server = Server::start("azurite-blob", |command, port, folder| {
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

    fn start(program: &str, arguments: impl FnOnce(&mut Command, u16, &Path)) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(find(program));
        arguments(&mut command, port, folder.path());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let mut server = Server { child, port, folder };
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

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How many parts of unfinished uploads versitygw holds.
    pub(crate) fn parts(&self) -> usize {
        let unfinished = self.folder.path().join("data").join(BUCKET).join(".sgwtmp/multipart");
        count_files(&unfinished)
    }

    /// Puts an object into versitygw's bucket, past everything.
    pub(crate) fn plant(&self, prefix: &str, key: &str) {
        let path = self.folder.path().join("data").join(BUCKET).join(prefix).join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "planted").unwrap();
    }

    pub(crate) fn azure(&self) -> AzureOptions {
        AzureOptions {
            account: AZURITE_ACCOUNT.into(),
            container: BUCKET.into(),
            credentials: AzureCredentials::SharedKey(Secret::new(AZURITE_KEY)),
            endpoint: Some(format!("http://127.0.0.1:{}/{AZURITE_ACCOUNT}", self.port)),
            common: ObjectOptions { prefix: new_prefix(), ..ObjectOptions::default() },
            ..AzureOptions::default()
        }
    }

    /// The bucket, below a prefix that nothing else has.
    pub(crate) fn s3(&self) -> S3Options {
        s3_at(self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn new_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("some/where-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The bucket as it is reached at a port, below a prefix that nothing else has.
pub(crate) fn s3_at(port: u16) -> S3Options {
    S3Options {
        bucket: BUCKET.into(),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        path_style: true,
        credentials: Some(S3Credentials { key_id: KEY_ID.into(), secret: Secret::new(SECRET), token: None }),
        common: ObjectOptions { prefix: new_prefix(), ..ObjectOptions::default() },
        ..S3Options::default()
    }
}

pub(crate) fn free_port() -> u16 {
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

fn count_files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { count_files(&path) } else { 1 })
        .sum()
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
    command.env("ACCOUNT", AZURITE_ACCOUNT).env("KEY", AZURITE_KEY).env("CONTAINER", BUCKET);
    command.env("URL", format!("http://127.0.0.1:{port}/{AZURITE_ACCOUNT}/{BUCKET}"));
    command.status().expect("bash can be started").success()
}
