//! The servers that are compared, each with its data in a folder of its own and listening on loopback.

mod bucket;
mod docker_registry;
mod nginx;
mod ours;

use std::{
    env, fmt, fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;

pub(crate) use bucket::Bucket;
pub(crate) use ours::OurOptions;

use crate::{
    http::{Client, Endpoint, tls},
    process::Process,
};

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(30);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    /// Ours over an object store, with a database that would be lost with its disk.
    Unjournalled,
    DockerRegistry,
    Nginx,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Ours => "registry",
            Kind::Unjournalled => "registry, no journal",
            Kind::DockerRegistry => "docker-registry",
            Kind::Nginx => "nginx",
        })
    }
}

/// A server that runs; it stops when this is dropped.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) process: Process,
    /// Its data.
    pub(crate) directory: PathBuf,
    plain: Option<SocketAddr>,
    secure: Option<SocketAddr>,
}

/// How a client speaks to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Plain,
    /// TLS 1.3 and HTTP/1.1.
    Tls,
    /// TLS 1.3 and HTTP/2.
    Http2,
}

impl Server {
    /// # Errors
    /// If the server does not speak that.
    pub(crate) fn endpoint(&self, protocol: Protocol, certificate: &Certificate) -> Result<Endpoint> {
        let (address, tls) = match protocol {
            Protocol::Plain => (self.plain, None),
            Protocol::Tls => (self.secure, Some(certificate.http1.clone())),
            Protocol::Http2 => (self.secure, Some(certificate.http2.clone())),
        };
        let address = address.with_context(|| format!("{} was not started with {protocol:?}", self.kind))?;
        Ok(Endpoint { address, tls })
    }

    pub(crate) fn plain(&self) -> Result<Endpoint> {
        let address = self.plain.with_context(|| format!("{} was started with TLS", self.kind))?;
        Ok(Endpoint { address, tls: None })
    }
}

/// A self-signed certificate for 127.0.0.1, and what a client needs to trust it.
pub(crate) struct Certificate {
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Certificate {
    pub(crate) fn new(directory: &Path) -> Result<Certificate> {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let (certificate_file, key_file) = (directory.join("certificate.pem"), directory.join("key.pem"));
        fs::write(&certificate_file, made.cert.pem())?;
        fs::write(&key_file, made.signing_key.serialize_pem())?;
        let trusted = CertificateDer::from(made.cert.der().to_vec());
        let (http1, http2) = (tls::config(&trusted, b"http/1.1")?, tls::config(&trusted, b"h2")?);
        Ok(Certificate { certificate_file, key_file, http1, http2 })
    }
}

/// Which programs there are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) ours: PathBuf,
    pub(crate) docker_registry: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) versitygw: Option<PathBuf>,
}

impl Programs {
    /// Ours by `REGISTRY_BIN`, otherwise from the last release build; the others from the `PATH`.
    pub(crate) fn find() -> Result<Programs> {
        let target = target_directory();
        let ours = env::var_os("REGISTRY_BIN").map_or_else(|| target.join("release/registry"), PathBuf::from);
        if !ours.is_file() {
            bail!("{} is not there: build it with `cargo build --release -p registry`", ours.display());
        }
        let ours = fs::canonicalize(ours)?;
        let (docker_registry, nginx) = (on_path("docker-registry"), on_path("nginx"));
        Ok(Programs { ours, docker_registry, nginx, versitygw: bucket::find_versitygw() })
    }
}

/// Where cargo builds: the variable, or `target` beside the workspace's manifest.
pub(crate) fn target_directory() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Waits until a server answers `GET path` with 200.
pub(crate) fn wait_until_ready(
    process: &mut Process,
    endpoint: &Endpoint,
    path: &str,
    log: &Path,
) -> Result<()> {
    let deadline = Instant::now() + START_MAX;
    let answers =
        || Client::connect(endpoint).and_then(|mut client| client.get(path)).and_then(|got| got.expect(200));
    loop {
        match answers() {
            Ok(_) => return Ok(()),
            Err(error) if process.has_ended() || Instant::now() > deadline => {
                bail!("a server does not answer: {error:#}; its log:\n{}", tail(log));
            }
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Waits until a server takes connections.
fn wait_until_listening(process: &mut Process, address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + START_MAX;
    while TcpStream::connect(address).is_err() {
        if process.has_ended() || Instant::now() > deadline {
            bail!("nothing listens on {address}");
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The end of a log.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 20;
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
