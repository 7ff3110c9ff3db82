//! Certificates from an authority: Pebble, the one that Let's Encrypt tests clients with, and its server of names, in which every host
//! is this machine.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use registry_core::selfsigned;
use registry_testing::{Client, ObjectServer, Program, Server, ServerOptions, eventually, free_port};
use registry_testing_postgres::PostgresServer;
use reqwest::{Certificate, redirect::Policy};
use serde_json::json;

/// An authority, until it is dropped.
struct Authority {
    processes: Vec<Child>,
    folder: tempfile::TempDir,
    directory: String,
    management: String,
    /// By whose certificate it is known.
    roots: PathBuf,
    /// On which ports it asks hosts.
    tls_port: u16,
    http_port: u16,
}

impl Authority {
    /// Its certificates are good for so many seconds.
    async fn start(validity_secs: u32) -> Authority {
        let folder = tempfile::tempdir().unwrap();
        let made = selfsigned::find_or_make(&folder.path().join("tls"), &["localhost".to_owned()]).unwrap();
        let [api, management, names, names_management, tls_port, http_port] = [(); 6].map(|()| free_port());
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{api}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": made.certificate, "privateKey": made.key,
            "httpPort": http_port, "tlsPort": tls_port, "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "the only one", "validityPeriod": validity_secs}},
        }});
        fs::write(folder.path().join("pebble.json"), config.to_string()).unwrap();
        let start = |program: &str, arguments: &[&str]| {
            let log = fs::File::create(folder.path().join(format!("{program}.log"))).unwrap();
            let mut command = Command::new(program);
            // Without pauses that are to find races in clients.
            command.args(arguments).env("PEBBLE_VA_NOSLEEP", "1").stdin(Stdio::null());
            let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
            process.expect("`tests/setup registries` installs it, and its folder is on the PATH")
        };
        let names = format!("127.0.0.1:{names}");
        let management_of_names = format!("127.0.0.1:{names_management}");
        #[rustfmt::skip]
        let resolver = start("pebble-challtestsrv", &[
            "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dnsserver", &names, "-management", &management_of_names,
            "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "",
        ]);
        let config = folder.path().join("pebble.json");
        let pebble = start("pebble", &["-config", config.to_str().unwrap(), "-dnsserver", &names]);
        let authority = Authority {
            processes: vec![resolver, pebble],
            directory: format!("https://localhost:{api}/dir"),
            management: format!("https://localhost:{management}"),
            roots: made.authority,
            tls_port,
            http_port,
            folder,
        };
        eventually("the authority answers", async || authority.root().await).await;
        authority
    }

    /// What its certificates lead to.
    async fn root(&self) -> Option<Certificate> {
        let client =
            trusting(Certificate::from_pem(&fs::read(&self.roots).unwrap()).unwrap()).build().unwrap();
        let answer = client.get(format!("{}/roots/0", self.management)).send().await.ok()?;
        Certificate::from_pem(&answer.bytes().await.ok()?).ok()
    }

    /// How many certificates it was asked for.
    fn orders(&self) -> usize {
        let log = fs::read_to_string(self.folder.path().join("pebble.log")).unwrap();
        log.matches("Issued certificate").count()
    }

    /// A registry on a port of its own, with certificates for these hosts.
    fn registry(&self, port: u16, hosts: &str, more: &str) -> ServerOptions {
        let config = format!(
            "version: 0.1\nhttp: {{addr: '127.0.0.1:{port}', debug: {{addr: '127.0.0.1:0', prometheus: {{enabled: true}}}}, tls: {{letsencrypt: {{hosts: [{hosts}], email: ops@example.com, \
             directoryurl: '{}'{more}}}}}}}\n",
            self.directory
        );
        // The roots of the system are those in this file.
        let options = ServerOptions::new().config(&config).without("REGISTRY_HTTP_ADDR");
        options.variable("SSL_CERT_FILE", self.roots.to_str().unwrap())
    }

    /// Waits until a host shows a certificate of this authority, and says which: its bytes.
    async fn shown(&self, server: &Server, host: &str) -> Vec<u8> {
        let (root, address) = (self.root().await.unwrap(), server.address().parse().unwrap());
        eventually("the host has a certificate", async || {
            let client = trusting(root.clone()).resolve(host, address).tls_info(true).build().unwrap();
            let url = format!("https://{host}:{}/v2/", server.address().rsplit_once(':').unwrap().1);
            let answer = client.get(url).send().await.ok().filter(|answer| answer.status() == 200)?;
            let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
            Some(info.peer_certificate().unwrap().to_vec())
        })
        .await
    }
}

#[expect(clippy::disallowed_methods, reason = "a client of the registry under test")]
fn trusting(root: Certificate) -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([root]).no_proxy().redirect(Policy::none())
}

impl Drop for Authority {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[tokio::test]
async fn hosts_get_certificates_over_tls_and_keep_them() {
    let authority = Authority::start(90 * 24 * 60 * 60).await;
    let options = authority.registry(authority.tls_port, "registry.example.com, Images.example.com", "");
    let server = options.start().await;
    let first = authority.shown(&server, "registry.example.com").await;
    let second = authority.shown(&server, "images.example.com").await;
    assert_ne!(first, second);
    let listed = options.run(Program::Registry, &["certificate", "list", "--report", "json"]).await;
    assert!(listed.status.success(), "{listed:?}");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let hosts: Vec<_> =
        listed["certificates"].as_array().unwrap().iter().map(|one| one["host"].clone()).collect();
    assert_eq!(hosts, ["images.example.com", "registry.example.com"]);

    let debug = server.log().wait_for_value("the debug server's address", |log| {
        log.split_once("health and metrics at http://")?.1.split(['"', '\n']).next().map(str::to_owned)
    });
    let metrics = Client::new(&format!("http://{}", debug.await)).get("/metrics").expect(200).await.text();
    assert!(
        metrics.contains("registry_certificate_not_after_seconds{host=\"images.example.com\"} 1"),
        "{metrics}"
    );

    let server = server.restart().await;
    assert_eq!(authority.shown(&server, "registry.example.com").await, first);
    assert_eq!(authority.orders(), 2, "a restart orders nothing");

    // What is removed is ordered anew while the server runs.
    let removed = options.run(Program::Registry, &["certificate", "remove", "registry.example.com"]).await;
    assert!(removed.status.success(), "{removed:?}");
    eventually("there is another certificate", async || {
        (authority.shown(&server, "registry.example.com").await != first).then_some(())
    })
    .await;
    let absent = options.run(Program::Registry, &["certificate", "remove", "other.example.com"]).await;
    assert_eq!(absent.status.code(), Some(1));
}

#[tokio::test]
async fn an_authority_is_answered_over_plain_http_which_leads_to_https_otherwise() {
    let authority = Authority::start(90 * 24 * 60 * 60).await;
    let more = format!(", httpaddr: '127.0.0.1:{}'", authority.http_port);
    let server = authority.registry(0, "registry.example.com", &more).start().await;
    authority.shown(&server, "registry.example.com").await;

    let plain = format!("http://127.0.0.1:{}", authority.http_port);
    let client = trusting(authority.root().await.unwrap()).build().unwrap();
    let ask = async |path: &str, host: &str| {
        client.get(format!("{plain}{path}")).header("host", host).send().await.unwrap()
    };
    let sent_on = ask("/v2/?n=1", "Registry.example.com:80").await;
    assert_eq!(sent_on.status(), 308);
    assert_eq!(sent_on.headers()["location"], "https://registry.example.com/v2/?n=1");
    assert_eq!(ask("/.well-known/acme-challenge/unknown", "registry.example.com").await.status(), 404);
    assert_eq!(ask("/v2/", "evil.example").await.status(), 404);
    let posted =
        client.post(format!("{plain}/v2/")).header("host", "registry.example.com").send().await.unwrap();
    assert_eq!(posted.status(), 404);
}

/// The authority asks one node for the host of another: what it wants to see is in the database that both share.
#[tokio::test]
async fn any_node_answers_the_authority_and_shows_what_another_ordered() {
    let authority = Authority::start(90 * 24 * 60 * 60).await;
    let (store, database) = (ObjectServer::versitygw(), PostgresServer::shared().database());
    let node = async |port: u16, hosts: &str| {
        let options = authority.registry(port, hosts, "").in_bucket(store.port());
        let options = options.without("REGISTRY_METADATA_SQLITE_PATH").without("REGISTRY_HTTP_ADDR");
        let options = options.variable("REGISTRY_METADATA_POSTGRESQL_URL", &database);
        let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        options.variable("REGISTRY_SECRETS_KEY", key).start().await
    };
    let asked = node(authority.tls_port, "one.example.com").await;
    authority.shown(&asked, "one.example.com").await;
    let orders = node(0, "two.example.com, one.example.com").await;
    let two = authority.shown(&orders, "two.example.com").await;
    authority.shown(&orders, "one.example.com").await;
    assert_eq!(authority.orders(), 2, "each host was ordered once");
    drop(asked);
    let third = node(0, "two.example.com").await;
    assert_eq!(authority.shown(&third, "two.example.com").await, two);
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_ends_and_connections_go_on() {
    let authority = Authority::start(36).await;
    let server = authority.registry(authority.tls_port, "registry.example.com", "").start().await;
    let first = authority.shown(&server, "registry.example.com").await;
    eventually("it is renewed", async || {
        (authority.shown(&server, "registry.example.com").await != first).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_host_that_is_not_ours_gets_none_and_keeps_no_other_away() {
    let authority = Authority::start(90 * 24 * 60 * 60).await;
    // Nothing listens where the authority asks for the first one; it refuses to hear of the second.
    let options = authority.registry(0, "registry.example.com", "");
    let server = options.start().await;
    server.log().wait_for("got no certificate for registry.example.com; tries again in 60 s").await;
    let log = server.log().text();
    assert!(log.contains("error: ") || log.contains("error="), "{log}");
    drop(server);

    for (hosts, expected) in [
        ("localhost", "\\\"localhost\\\" is no host of a certificate"),
        ("'*.example.com'", "is no host of a certificate"),
        ("10.0.0.1", "is no host of a certificate"),
    ] {
        let (status, log) = authority.registry(0, hosts, "").try_start().await.unwrap_err();
        assert!(!status.success() && log.contains(expected), "{hosts}: {log}");
    }
}
