//! Debian's `docker-registry`: the Go registry 2.8.2, with files and its cache of descriptors in memory.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context, Result};

use super::{Kind, Programs, Server, free_address, wait_until_ready};
use crate::process::Process;

impl Server {
    /// None: it is not installed.
    pub(crate) fn docker_registry(
        programs: &Programs,
        directory: &Path,
        address: Option<SocketAddr>,
        is_timed: bool,
    ) -> Result<Option<Server>> {
        let Some(program) = &programs.docker_registry else { return Ok(None) };
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        let address = address.map_or_else(free_address, Ok)?;
        let (file, log) = (directory.join("config.yml"), directory.join("log"));
        fs::write(&file, configuration(&data, address)?)?;
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

fn configuration(data: &Path, address: SocketAddr) -> Result<String> {
    let data = data.to_str().context("the folder's name is not text")?;
    Ok(format!(
        "version: 0.1
log: {{level: info}}
storage:
  cache: {{blobdescriptor: inmemory}}
  filesystem: {{rootdirectory: '{data}', maxthreads: 100}}
  delete: {{enabled: true}}
http: {{addr: '{address}'}}
"
    ))
}
