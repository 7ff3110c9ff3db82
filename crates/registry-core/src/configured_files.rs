//! Whether the files and folders that a configuration names can be used.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use registry_auth::{Htpasswd, HtpasswdError, HtpasswdOptions};
use registry_config::{Auth, Certificate, Config, Driver, GcsCredentials, Listen, Metadata};
use registry_server::{CertificateSource, Tls};

use crate::{authentication, configured::data_folder, configured_tls::tls_options};

/// The most bytes that are read of a file of keys or certificates: more than any bundle of authorities has.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Looks at every file and folder that a configuration names, as the user of this process, and changes none. Each line that
/// is returned names the key and says why a start would fail.
pub async fn check_files(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    tls(config, &mut found);
    if let Err(error) = crate::configured_redirects::redirections(config) {
        found.push(format!("middleware.storage: {}", crate::causes(&error)));
    }
    found.extend(passwords(&config.auth).await);
    found.extend(keys_of_tokens(&config.auth));
    #[cfg(feature = "webhooks")]
    found.extend(crate::configured_webhooks::unusable(config));
    if let Driver::Gcs(gcs) = &config.storage.driver
        && let GcsCredentials::File(path) = &gcs.credentials
    {
        found.extend(unreadable("storage.gcs.keyfile", Path::new(path)));
    }
    if let Driver::Filesystem { root, .. } = &config.storage.driver {
        let key = "storage.filesystem.rootdirectory";
        found.extend(not_a_folder(key, root));
        if root.join("docker/registry/v2").is_dir() {
            found.push(format!(
                "{key}: {} holds the data of another registry (docker/registry/v2)",
                root.display()
            ));
        }
    } else if let Some(folder) = data_folder(config) {
        found.extend(not_a_folder("metadata.sqlite.path", &folder));
    }
    if let (Metadata::SqliteFile(database), Driver::Filesystem { root, .. }) =
        (&config.metadata, &config.storage.driver)
        && let Some(folder) = database.parent()
        && folder != root
    {
        found.extend(not_a_folder("metadata.sqlite.path", folder));
    }
    if let Listen::Unix(socket) = &config.http.listen
        && let Some(folder) = socket.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        found.push(format!("http.addr: there is no folder {}", folder.display()));
    }
    #[cfg(feature = "postgres")]
    if let Metadata::Postgresql(postgresql) = &config.metadata
        && let Err(error) = crate::configured::postgres_options(postgresql)
    {
        found.push(format!("metadata.postgresql.url: {}", crate::causes(&error)));
    }
    found
}

fn tls(config: &Config, found: &mut Vec<String>) {
    let Some(tls) = &config.http.tls else { return };
    let before = found.len();
    let authorities = tls.clients.as_ref().map(|clients| clients.authorities.as_slice()).unwrap_or_default();
    for (index, path) in authorities.iter().enumerate() {
        found.extend(unreadable(&format!("http.tls.clientcas[{index}]"), path));
    }
    let (certificate, key) = match &tls.certificate {
        Certificate::Files { certificate, key } => (certificate, key),
        Certificate::Acme(_) => return,
        Certificate::SelfSigned { directory, .. } => {
            let folder = directory.clone().unwrap_or_else(|| PathBuf::from("certificate"));
            found.extend(not_a_folder("http.tls.selfsigned.directory", &folder));
            return;
        }
    };
    let source = CertificateSource::Files { certificate: certificate.clone(), key: key.clone() };
    found.extend(unreadable("http.tls.certificate", certificate));
    found.extend(unreadable("http.tls.key", key));
    if found.len() > before {
        return;
    }
    if let Err(error) = Tls::load(tls_options(config, tls, source)) {
        found.push(format!("http.tls: {}", crate::causes(&error)));
    }
}

/// An absent file is made at the first start, if its folder is there.
async fn passwords(auth: &Auth) -> Option<String> {
    let Auth::Htpasswd { realm, path, .. } = auth else { return None };
    match Htpasswd::open(HtpasswdOptions::new(realm, path)).await {
        Ok(_) => None,
        Err(HtpasswdError::Missing { .. }) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            let wrong = format!("there is no {} and no folder to make it in", path.display());
            (!folder.is_dir()).then(|| format!("auth.htpasswd.path: {wrong}"))
        }
        Err(error) => Some(format!("auth.htpasswd.path: {}", crate::causes(&error))),
    }
}

fn keys_of_tokens(auth: &Auth) -> Option<String> {
    let Auth::Token(token) = auth else { return None };
    let error = authentication::tokens(token).err()?;
    Some(format!("auth.token: {}", crate::causes(&error)))
}

fn unreadable(key: &str, path: &Path) -> Option<String> {
    let read = || -> io::Result<()> {
        let file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::other("it is a folder"));
        }
        match metadata.len() {
            0 => Err(io::Error::other("it is empty")),
            bytes if bytes > FILE_BYTES_MAX => Err(io::Error::other("it is too large")),
            _ => Ok(()),
        }
    };
    let wrong = match read() {
        Ok(()) => return None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no file {}", path.display())
        }
        Err(error) => format!("{} can not be read: {error}", path.display()),
    };
    Some(format!("{key}: {wrong}"))
}

/// A folder that is absent is made at the start, below the nearest one that is there.
fn not_a_folder(key: &str, path: &Path) -> Option<String> {
    for above in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        let wrong = match fs::metadata(above) {
            Ok(metadata) if metadata.is_dir() => match fs::read_dir(above) {
                Ok(_) => return None,
                // What lies below it can be used without it being listed.
                Err(_) if above != path => return None,
                Err(error) => format!("can not be read: {error}"),
            },
            Ok(_) => "is no folder".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => format!("can not be looked at: {error}"),
        };
        return Some(format!("{key}: {} {wrong}", above.display()));
    }
    None
}
