//! nginx with the same bytes as static files: what the machine can do. Debian's configuration where it matters (`sendfile`,
//! `tcp_nopush`, a worker for each core), and connections that may be used for ever.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context, Result};

use super::{Certificate, Kind, Programs, Server, free_address, wait_until_ready};
use crate::process::Process;

/// What is served: names in the root, and their bytes.
type Files<'a> = &'a [(&'a str, &'a [u8])];

impl Server {
    /// On a plain and on a TLS port. None: it is not installed.
    pub(crate) fn nginx(
        programs: &Programs,
        directory: &Path,
        certificate: &Certificate,
        files: Files<'_>,
    ) -> Result<Option<Server>> {
        let Some(program) = &programs.nginx else { return Ok(None) };
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        fs::write(data.join("ready"), "ready")?;
        for (name, bytes) in files {
            fs::write(data.join(name), bytes)?;
        }
        let (plain, secure) = (free_address()?, free_address()?);
        let (file, log) = (directory.join("nginx.conf"), directory.join("log"));
        fs::write(&file, configuration(directory, certificate, plain, secure)?)?;
        let process = Process::spawn(
            program,
            |command| {
                command
                    .arg("-p")
                    .arg(directory)
                    .arg("-c")
                    .arg(&file)
                    .arg("-e")
                    .arg(directory.join("error.log"));
            },
            &log,
        )?;
        let mut server =
            Server { kind: Kind::Nginx, process, directory: data, plain: Some(plain), secure: Some(secure) };
        let endpoint = server.plain()?;
        wait_until_ready(&mut server.process, &endpoint, "/ready", &log)?;
        Ok(Some(server))
    }
}

fn configuration(
    directory: &Path,
    certificate: &Certificate,
    plain: SocketAddr,
    secure: SocketAddr,
) -> Result<String> {
    let at = directory.to_str().context("the folder's name is not text")?;
    // Root's workers would become someone who may not read below our folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let (certificate_file, key_file) =
        (certificate.certificate_file.display(), certificate.key_file.display());
    Ok(format!(
        "{user}
daemon off;
worker_processes auto;
worker_rlimit_nofile 20000;
pid {at}/nginx.pid;
events {{ worker_connections 16384; }}
http {{
    access_log {at}/access.log;
    client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 600;
    send_timeout 600;
    server {{
        listen {plain};
        root {at}/data;
    }}
    server {{
        listen {secure} ssl http2;
        root {at}/data;
        ssl_certificate {certificate_file};
        ssl_certificate_key {key_file};
        ssl_protocols TLSv1.3;
    }}
}}
"
    ))
}
