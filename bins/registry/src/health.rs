//! `registry health`: asks the server that a configuration describes whether it is well, as containers' engines want to know.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use registry_core::config::{Config, Listen, TcpAddress};
use reqwest::StatusCode;

use crate::{
    cli::{self, Command, ConfigFile, Health},
    commands::{become_user, config_file, load_config, print},
};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a server that is well may also answer.
const IS_WELL: [StatusCode; 2] = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];

/// Where to ask.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    url: String,
    socket: Option<PathBuf>,
}

pub(crate) fn run(how: Health) -> anyhow::Result<()> {
    let question = match how.url {
        Some(url) => Question { url, socket: None },
        None => {
            // The variable last: the file that the server was given counts over it.
            let file = how.file.named().or_else(file_of_the_container);
            let file = file.or_else(|| config_file(ConfigFile::default()));
            let loaded = load_config(file.as_deref())?;
            become_user(&loaded.config)?;
            Question::about(&loaded.config)?
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let said = runtime.context("can not start the runtime")?.block_on(ask(&question))?;
    print(&format!("{said}\n"))
}

impl Question {
    /// The debug server knows most; without one, what every client asks first.
    fn about(config: &Config) -> anyhow::Result<Question> {
        if let Some(debug) = &config.http.debug
            && debug.address.port != 0
        {
            let url = format!("http://{}/debug/health", reachable(&debug.address));
            return Ok(Question { url, socket: None });
        }
        let scheme = if config.http.tls.is_some() { "https" } else { "http" };
        let prefix = &config.http.prefix;
        match &config.http.listen {
            Listen::Tcp(address) if address.port == 0 => {
                bail!("the configuration asks for any free port, so the address is not known; --url names it")
            }
            Listen::Tcp(address) => {
                Ok(Question { url: format!("{scheme}://{}{prefix}v2/", reachable(address)), socket: None })
            }
            Listen::Unix(path) => {
                Ok(Question { url: format!("{scheme}://localhost{prefix}v2/"), socket: Some(path.clone()) })
            }
        }
    }
}

/// Where a program on the same machine reaches what listens there.
fn reachable(address: &TcpAddress) -> TcpAddress {
    let host = match address.host.as_str() {
        "" | "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    TcpAddress { host: host.to_owned(), port: address.port }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command asks this registry itself, by its socket where it has one"
)]
async fn ask(question: &Question) -> anyhow::Result<String> {
    // Fails only if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // The command asks whether the server answers, not whether its name is right: the certificate is seldom one for this address.
        .tls_danger_accept_invalid_certs(true);
    let client = match &question.socket {
        Some(path) => client.unix_socket(path.as_path()),
        None => client,
    };
    let client = client.build().context("can not ask")?;
    let url = &question.url;
    match client.get(url).send().await {
        Ok(answer) => match answer.status() {
            // A server that is well tells a client without credentials to log in, or to come again where its address sent too much.
            status if status.is_success() || IS_WELL.contains(&status) => {
                Ok(format!("{url} answers {status}"))
            }
            status => bail!("{url} answers {status}"),
        },
        Err(error) if wants_a_certificate(&error) => {
            Ok(format!("{url} serves, and wants a certificate of its clients"))
        }
        Err(error) => Err(anyhow::Error::new(error).context(format!("{url} does not answer"))),
    }
}

/// A server that knows its clients by certificates refuses this one, which has none.
fn wants_a_certificate(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.into_iter().any(|cause| {
        let text = cause.to_string();
        text.contains("CertificateRequired") || text.contains("certificate required")
    })
}

/// The file that a container's first process was given, if that is this program: its health is asked for with other
/// arguments than it was started with.
fn file_of_the_container() -> Option<PathBuf> {
    let arguments = std::fs::read("/proc/1/cmdline").ok()?;
    file_of(&arguments, Path::is_file)
}

/// Source: proc_pid_cmdline(5): each argument ends with a NUL. There may be another program in front that runs this one.
fn file_of(arguments: &[u8], is_file: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;

    let arguments: Vec<OsString> = arguments
        .split(|byte| *byte == 0)
        .map(|argument| OsString::from_vec(argument.to_vec()))
        .filter(|argument| !argument.is_empty())
        .collect();
    let program = arguments
        .iter()
        .position(|argument| Path::new(argument).file_name().is_some_and(|name| name == "registry"))?;
    match cli::parse_from(arguments[program + 1..].to_vec(), is_file) {
        Ok(Command::Serve { file }) => file.named(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(yaml: &str) -> anyhow::Result<Question> {
        let yaml = format!("version: 0.1\nauth: none\n{yaml}");
        Question::about(&registry_core::config::parse(&yaml, std::iter::empty()).unwrap().config)
    }

    #[test]
    fn the_address_comes_from_the_configuration() {
        for (yaml, url) in [
            ("http: {addr: '127.0.0.1:5000'}", "http://127.0.0.1:5000/v2/"),
            ("http: {addr: ':5001', insecure: true}", "http://127.0.0.1:5001/v2/"),
            ("http: {addr: '0.0.0.0:443', tls: {certificate: c, key: k}}", "https://127.0.0.1:443/v2/"),
            ("http: {addr: '[::]:5000', insecure: true, prefix: /r/}", "http://[::1]:5000/r/v2/"),
            ("http: {addr: 'host:5000', insecure: true}", "http://host:5000/v2/"),
            (
                "http: {addr: ':5000', insecure: true, debug: {addr: ':5001'}}",
                "http://127.0.0.1:5001/debug/health",
            ),
        ] {
            assert_eq!(question(yaml).unwrap(), Question { url: url.to_owned(), socket: None }, "{yaml}");
        }
        let socket = question("http: {net: unix, addr: /run/registry.sock}").unwrap();
        assert_eq!(socket.socket, Some("/run/registry.sock".into()));
        assert!(question("http: {addr: '127.0.0.1:0'}").unwrap_err().to_string().contains("--url"));
    }

    #[test]
    fn a_containers_file_is_that_of_its_first_process() {
        for (arguments, file) in [
            ("/bin/registry\0serve\0/my.yml\0", Some("/my.yml")),
            ("/bin/registry\0serve\0--config\0/my.yml\0", Some("/my.yml")),
            ("/bin/registry\0/my.yml\0", Some("/my.yml")),
            ("/sbin/docker-init\0--\0/bin/registry\0serve\0/my.yml\0", Some("/my.yml")),
            ("/bin/registry\0serve\0", None),
            ("/bin/registry\0fsck\0/my.yml\0", None),
            ("/sbin/init\0", None),
            ("", None),
        ] {
            let found = file_of(arguments.as_bytes(), |path| path == Path::new("/my.yml"));
            assert_eq!(found.as_deref(), file.map(Path::new), "{arguments:?}");
        }
    }
}
