//! The registry of this workspace, as it is released, with what it does by default: every push durable.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use anyhow::Result;

use super::{Bucket, Certificate, Kind, Programs, Protocol, Server, bucket, free_address, wait_until_ready};
use crate::process::Process;

/// How to start it.
#[derive(Clone, Copy, Default)]
pub(crate) struct OurOptions<'a> {
    /// With TLS.
    pub(crate) certificate: Option<&'a Certificate>,
    /// Where to listen; otherwise on a port that is free.
    pub(crate) address: Option<SocketAddr>,
    /// Does not wait until it answers.
    pub(crate) is_timed: bool,
    /// With this file; the address is changed all the same.
    pub(crate) configuration: Option<&'a Path>,
    /// Keeps bytes there, and the database in the folder.
    pub(crate) bucket: Option<&'a Bucket>,
    /// Without the journal of the database in the bucket.
    pub(crate) is_unjournalled: bool,
}

impl Server {
    pub(crate) fn ours(programs: &Programs, directory: &Path, options: OurOptions<'_>) -> Result<Server> {
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        let log = directory.join("log");
        let address = options.address.map_or_else(free_address, Ok)?;
        let process = Process::spawn(
            &programs.ours,
            |command| {
                command.arg("serve");
                command.args(options.configuration);
                command.env("REGISTRY_HTTP_ADDR", address.to_string());
                match options.bucket {
                    None => drop(command.env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &data)),
                    Some(bucket) => in_bucket(command, bucket, &data, options.is_unjournalled),
                }
                command.env("REGISTRY_STORAGE_DELETE_ENABLED", "true");
                if let Some(certificate) = options.certificate {
                    command.env("REGISTRY_HTTP_TLS_CERTIFICATE", &certificate.certificate_file);
                    command.env("REGISTRY_HTTP_TLS_KEY", &certificate.key_file);
                }
            },
            &log,
        )?;
        let is_secure = options.certificate.is_some();
        let mut server = Server {
            kind: if options.is_unjournalled { Kind::Unjournalled } else { Kind::Ours },
            process,
            directory: data,
            plain: (!is_secure).then_some(address),
            secure: is_secure.then_some(address),
        };
        if !options.is_timed {
            let endpoint = match options.certificate {
                Some(certificate) => server.endpoint(Protocol::Tls, certificate)?,
                None => server.plain()?,
            };
            wait_until_ready(&mut server.process, &endpoint, "/v2/", &log)?;
        }
        Ok(server)
    }
}

/// Blobs go through the registry, so that it and not the store is measured.
fn in_bucket(command: &mut Command, bucket: &Bucket, data: &Path, is_unjournalled: bool) {
    let prefix = if is_unjournalled { "/unjournalled" } else { "/registry" };
    command.env("REGISTRY_STORAGE_S3_BUCKET", bucket::NAME);
    command.env("REGISTRY_STORAGE_S3_REGIONENDPOINT", format!("http://{}", bucket.address));
    command.env("REGISTRY_STORAGE_S3_FORCEPATHSTYLE", "true");
    command.env("REGISTRY_STORAGE_S3_ACCESSKEY", bucket::KEY_ID);
    command.env("REGISTRY_STORAGE_S3_SECRETKEY", bucket::SECRET);
    command.env("REGISTRY_STORAGE_S3_ROOTDIRECTORY", prefix);
    command.env("REGISTRY_STORAGE_REDIRECT_DISABLE", "true");
    command.env("REGISTRY_METADATA_SQLITE_PATH", data.join("metadata.sqlite"));
    command.env("REGISTRY_METADATA_SQLITE_JOURNAL_ENABLED", (!is_unjournalled).to_string());
}
