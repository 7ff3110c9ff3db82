//! Starts each example, and does with it what its first lines say.

// A test has no caller that takes an error.
#![allow(clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use registry_testing::{Client, Image};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::UnixStream,
    process::{Child, ChildStderr, Command},
    time::timeout,
};

/// How long an example may take for something.
const LIMIT: Duration = Duration::from_secs(60);

/// An example that runs in a folder of its own. Dropping it kills it.
struct Example {
    lines: Lines<BufReader<ChildStderr>>,
    child: Child,
    folder: tempfile::TempDir,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Example {
        // Cargo builds the examples of a package with its tests, beside them.
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(folder.path()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Example { lines, child, folder }
    }

    /// The rest of the next line that begins so.
    async fn line(&mut self, beginning: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if let Some(rest) = line.strip_prefix(beginning) {
                    return rest.to_owned();
                }
            }
            panic!("it ended without `{beginning}`")
        };
        timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("no line begins with `{beginning}`"))
    }

    async fn client(&mut self) -> Client {
        Client::new(&format!("http://{}", self.line("listening on ").await))
    }

    /// Interrupts it as Ctrl-C does, and waits until it has ended well.
    async fn stop(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
        assert!(timeout(LIMIT, self.child.wait()).await.unwrap().unwrap().success());
    }
}

#[tokio::test]
async fn embed() {
    let mut example = Example::start("embed", &["127.0.0.1:0"]);
    let (client, image) = (example.client().await, Image::random(1));
    client.push("hello", "latest", &image).await.unwrap();
    client.pull("hello", "latest", &image).await.unwrap();
    assert!(example.folder.path().join("registry-data/store").is_dir());
    example.stop().await;
}

#[tokio::test]
async fn in_axum() {
    let mut example = Example::start("in_axum", &["127.0.0.1:0"]);
    let (client, image) = (example.client().await, Image::random(2));
    assert_eq!(client.get("/").expect(200).await.body, "images are below /v2\n");
    client.push("hello", "latest", &image).await.unwrap();
    client.pull("hello", "latest", &image).await.unwrap();
    let begun = client.post("/v2/hello/blobs/uploads/").expect(202).await;
    assert!(begun.location().contains("/v2/hello/blobs/uploads/"), "{}", begun.location());
    client.get("/v2/hello/manifests/absent").expect(404).await;
    example.stop().await;
}

#[tokio::test]
async fn two_listeners() {
    let mut example = Example::start("two_listeners", &["127.0.0.1:0"]);
    let name = example.line("listening on ").await;
    let socket = example.folder.path().join(name);
    let (client, image) = (example.client().await, Image::random(3));
    client.push("hello", "latest", &image).await.unwrap();
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    let request = "GET /v2/_catalog HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains(r#"{"repositories":["hello"]}"#), "{answer}");
    example.stop().await;
}

#[tokio::test]
async fn own_parts() {
    let mut example = Example::start("own_parts", &["127.0.0.1:0"]);
    let (client, image) = (example.client().await, Image::random(4));
    assert_eq!(client.get("/pushes").expect(200).await.body, "0 pushes\n");
    client.push("hello", "latest", &image).await.unwrap();
    let told = example.line("hello has ").await;
    assert!(told.starts_with(&image.manifest.digest.to_string()) && told.contains("latest"), "{told}");
    assert_eq!(client.get("/pushes").expect(200).await.body, "1 pushes\n");
    example.stop().await;
}

#[tokio::test]
async fn client_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let authority = Authority::new();
    let [server, ada, bob] = ["localhost", "ada", "bob"].map(|name| authority.vouch(name));
    let files = [write("crt", &server.pem), write("key", &server.key), write("authority", &authority.pem)];
    let [certificate, key, trusted] = files.each_ref().map(|path: &PathBuf| text_of(path));
    let arguments = [certificate, key, trusted, &ada.fingerprint, "127.0.0.1:0"];
    let mut example = Example::start("client_certificates", &arguments);
    let address = example.line("listening on 127.0.0.1:").await;
    let client = Client::new(&format!("https://localhost:{address}")).trusting(authority.pem.as_bytes());
    let [known, other] =
        [&ada, &bob].map(|one| client.clone().presenting(one.pem.as_bytes(), one.key.as_bytes()));
    let image = Image::random(5);
    known.push("hello", "latest", &image).await.unwrap();
    assert!(example.line("ada comes from ").await.contains("127.0.0.1"));
    for guest in [client, other] {
        guest.pull("hello", "latest", &image).await.unwrap();
        guest.post("/v2/hello/blobs/uploads/").expect(403).await;
    }
    example.stop().await;
}

#[tokio::test]
async fn custom_authorizer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let line = registry_core::auth::make_htpasswd_line("ada", "secret", 5).unwrap();
    std::fs::write(&path, format!("{line}\n")).unwrap();
    let mut example = Example::start("custom_authorizer", &[text_of(&path), "127.0.0.1:0"]);
    let (client, image) = (example.client().await, Image::random(6));
    let ada = client.clone().login("ada", "secret");
    ada.push("ada/app", "latest", &image).await.unwrap();
    client.pull("ada/app", "latest", &image).await.unwrap();
    ada.post("/v2/bob/app/blobs/uploads/").expect(403).await;
    example.stop().await;
}

#[tokio::test]
async fn layers_alone() {
    for name in ["storage_alone", "types_alone"] {
        let mut example = Example::start(name, &[]);
        assert!(timeout(LIMIT, example.child.wait()).await.unwrap().unwrap().success(), "{name}");
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Vouches for certificates.
struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

/// A certificate and its key, in PEM form.
struct Vouched {
    pem: String,
    key: String,
    fingerprint: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: rcgen::Issuer::new(params, key) }
    }

    fn vouch(&self, name: &str) -> Vouched {
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let fingerprint = registry_digest::Digest::of(registry_digest::Algorithm::Sha256, certificate.der());
        Vouched { pem: certificate.pem(), key: key.serialize_pem(), fingerprint: fingerprint.to_string() }
    }
}
