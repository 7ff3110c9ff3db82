//! versitygw: an object store that speaks as S3 does, over a folder.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Programs, free_address, tail};
use crate::process::Process;

pub(crate) const NAME: &str = "images";
pub(crate) const KEY_ID: &str = "registry-bench";
pub(crate) const SECRET: &str = "registry-bench-secret";

/// A bucket of a store that runs; it stops when this is dropped.
pub(crate) struct Bucket {
    pub(crate) address: SocketAddr,
    process: Process,
    access_log: PathBuf,
}

impl Bucket {
    /// None: it is not installed.
    pub(crate) fn start(programs: &Programs, directory: &Path) -> Result<Option<Bucket>> {
        let Some(program) = &programs.versitygw else { return Ok(None) };
        let (data, sidecar) = (directory.join("data"), directory.join("sidecar"));
        fs::create_dir_all(data.join(NAME))?;
        fs::create_dir_all(&sidecar)?;
        let (address, log) = (free_address()?, directory.join("log"));
        let access_log = directory.join("access.log");
        let process = Process::spawn(
            program,
            |command| {
                command.args(["--quiet", "--keep-alive", "--access", KEY_ID, "--secret", SECRET]);
                command.arg("--port").arg(address.to_string()).arg("--access-log").arg(&access_log);
                command.args(["posix", "--sidecar"]).arg(sidecar).arg(data);
            },
            &log,
        )?;
        let mut bucket = Bucket { address, process, access_log };
        super::wait_until_listening(&mut bucket.process, address)
            .with_context(|| format!("versitygw does not answer; its log:\n{}", tail(&log)))?;
        Ok(Some(bucket))
    }

    /// How many requests it was sent so far.
    pub(crate) fn requests(&self) -> Result<u64> {
        let log = fs::read(&self.access_log).context("read the store's access log")?;
        Ok(log.iter().filter(|&&byte| byte == b'\n').count() as u64)
    }
}

/// From the `PATH`, or from where `tests/setup` puts what it builds.
pub(super) fn find_versitygw() -> Option<PathBuf> {
    let cache = || match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache"),
    };
    let tools =
        env::var_os("REGISTRY_TOOLS_DIR").map_or_else(|| cache().join("registry-tools"), PathBuf::from);
    let built = tools.join("bin/versitygw");
    super::on_path("versitygw").or_else(|| built.is_file().then_some(built))
}
