//! Debian's `docker-registry`: the Go registry 2.8.2, with files, or an object store, and its cache of descriptors in memory.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context, Result};

use super::{Bucket, Kind, Programs, Server, bucket, free_address, wait_until_ready};
use crate::process::Process;

impl Server {
    /// None: it is not installed.
    pub(crate) fn docker_registry(
        programs: &Programs,
        directory: &Path,
        address: Option<SocketAddr>,
        is_timed: bool,
    ) -> Result<Option<Server>> {
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        let path = data.to_str().context("the folder's name is not text")?;
        let storage = format!("filesystem: {{rootdirectory: '{path}', maxthreads: 100}}");
        Server::docker_registry_over(programs, directory, &storage, address, is_timed)
    }

    /// The same over an object store. Blobs go through it, as through ours. None: it is not installed.
    pub(crate) fn docker_registry_in(
        programs: &Programs,
        directory: &Path,
        bucket: &Bucket,
    ) -> Result<Option<Server>> {
        let storage = format!(
            "s3: {{bucket: {}, region: us-east-1, regionendpoint: 'http://{}', secure: false, accesskey: {}, \
             secretkey: {}, rootdirectory: /docker-registry}}\n  redirect: {{disable: true}}",
            bucket::NAME,
            bucket.address,
            bucket::KEY_ID,
            bucket::SECRET,
        );
        Server::docker_registry_over(programs, directory, &storage, None, false)
    }

    fn docker_registry_over(
        programs: &Programs,
        directory: &Path,
        storage: &str,
        address: Option<SocketAddr>,
        is_timed: bool,
    ) -> Result<Option<Server>> {
        let Some(program) = &programs.docker_registry else { return Ok(None) };
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        let address = address.map_or_else(free_address, Ok)?;
        let (file, log) = (directory.join("config.yml"), directory.join("log"));
        fs::write(&file, configuration(storage, address))?;
        let process = Process::spawn(
            program,
            |command| {
                command.arg("serve").arg(&file);
            },
            &log,
        )?;
        let mut server = Server {
            kind: Kind::DockerRegistry,
            process,
            directory: data,
            plain: Some(address),
            secure: None,
        };
        if !is_timed {
            let endpoint = server.plain()?;
            wait_until_ready(&mut server.process, &endpoint, "/v2/", &log)?;
        }
        Ok(Some(server))
    }
}

fn configuration(storage: &str, address: SocketAddr) -> String {
    format!(
        "version: 0.1
log: {{level: info}}
storage:
  cache: {{blobdescriptor: inmemory}}
  {storage}
  delete: {{enabled: true}}
http: {{addr: '{address}'}}
"
    )
}
