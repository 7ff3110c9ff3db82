//! Requests over real sockets, with resolvers that lie.

#![allow(clippy::unwrap_used, reason = "a test fails where something is missing")]

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method};
use registry_outbound::{Ask, Outbound, OutboundError, OutboundOptions, Refusal, Resolver};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls};

const WITHIN: Duration = Duration::from_secs(20);

/// Answers in turn, and the last one from then on.
#[derive(Debug)]
struct Answers {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Answers {
    fn new(answers: &[&[&str]]) -> Arc<Answers> {
        let parse = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Answers { answers: answers.iter().map(parse).collect(), asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Resolver for Answers {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        Ok(self.answers[turn].clone())
    }
}

/// A server that gives the same answer to each connection, and keeps what was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Texts>,
    task: JoinHandle<()>,
}

/// What was read from connections.
#[derive(Default)]
struct Texts(Mutex<Vec<String>>);

impl Texts {
    fn push(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Server {
    async fn start(answer: &str) -> Server {
        Server::start_with(answer, None).await
    }

    async fn start_with(answer: &str, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Texts::default()));
        let (answer, texts) = (answer.to_owned(), asked.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                match &tls {
                    None => respond(stream, &answer, &texts).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            respond(stream, &answer, &texts).await;
                        }
                    }
                }
            }
        });
        Server { address, asked, task }
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/hook", self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn respond(mut stream: impl AsyncReadExt + AsyncWrite + Unpin, answer: &str, texts: &Texts) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
    }
    texts.push(String::from_utf8_lossy(&head).into_owned());
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn ask(url: &str) -> Ask {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
    Ask {
        method: Method::POST,
        url: url.parse().unwrap(),
        headers,
        body: "{}".into(),
        within: WITHIN,
        answer_bytes_max: 16,
    }
}

fn options(allowed: &[&str], own: &[&str]) -> OutboundOptions {
    let mut options = OutboundOptions::default();
    options.allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
    options.own = own.iter().map(|text| text.parse().unwrap()).collect();
    options
}

fn outbound(options: OutboundOptions) -> Outbound {
    Outbound::new(options).unwrap()
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, OutboundError>, reason: Refusal) -> bool {
    match result {
        Err(OutboundError::Refused { reason: got, .. }) if got == reason => true,
        other => panic!("{other:?} and not {reason:?}"),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let below = error.source().map(|cause| format!(": {}", causes(cause))).unwrap_or_default();
    format!("{error}{below}")
}

#[tokio::test]
async fn a_request_is_sent_and_its_answer_is_kept_up_to_the_limit() {
    let server = Server::start(&answer("202 Accepted", "retry-after: 7\r\n", "0123456789abcdefg")).await;
    let outbound = outbound(options(&["127.0.0.1"], &[]));
    for client in [outbound.operators(), outbound.users()] {
        let answer = client.send(ask(&server.url("127.0.0.1"))).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["retry-after"]),
            (202, &"7".parse::<HeaderValue>().unwrap())
        );
        assert_eq!((&answer.body[..], answer.is_cut), (&b"0123456789abcdef"[..], true));
        assert!(!answer.is_public, "it came from this machine");
    }
    let asked = server.asked.all();
    assert!(asked[0].starts_with("POST /hook HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(
        asked[0].contains("webhook-id: msg_1\r\n") && asked[0].contains("user-agent: registry/"),
        "{}",
        asked[0]
    );
}

#[tokio::test]
async fn users_reach_no_address_that_is_not_public() {
    let server = Server::start(&answer("200 OK", "", "")).await;
    let port = server.address.port();
    let guarded = outbound(options(&[], &[]));
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "[::ffff:7f00:1]", "0.0.0.0"] {
        let url = format!("https://{host}:{port}/");
        is_refused(guarded.users().send(ask(&url)).await, Refusal::Special);
    }
    for name in ["localhost", "metadata.example"] {
        let mut options = options(&[], &[]);
        options.resolver = Answers::new(&[&["127.0.0.1"]]);
        let url = format!("https://{name}:{port}/");
        let error = outbound(options).users().send(ask(&url)).await.unwrap_err();
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
        is_refused::<()>(Err(error), Refusal::Special);
    }
    let mut options = options(&["*"], &["127.0.0.0/8"]);
    options.resolver = Answers::new(&[&["127.0.0.1"]]);
    let outbound = outbound(options);
    is_refused(outbound.users().send(ask(&server.url("own.example"))).await, Refusal::Own);
    is_refused(outbound.users().connect("own.example", port, WITHIN).await, Refusal::Own);
    is_refused(outbound.users().connect("127.0.0.1", port, WITHIN).await, Refusal::Own);
    for nowhere in ["0.0.0.0", "::"] {
        let mut options = self::options(&["*"], &["127.0.0.0/8", "::1"]);
        options.resolver = Answers::new(&[&[nowhere]]);
        let outbound = self::outbound(options);
        is_refused(outbound.users().send(ask(&server.url("own.example"))).await, Refusal::Own);
        is_refused(outbound.users().connect("own.example", port, WITHIN).await, Refusal::Own);
    }
    assert!(server.asked.all().is_empty());
}

#[tokio::test]
async fn a_resolver_that_changes_its_answer_leads_nowhere() {
    let server = Server::start(&answer("200 OK", "", "")).await;
    // At the first attempt the name leads to a network that is allowed, and nothing listens there; then to this machine.
    let resolver = Answers::new(&[&["127.9.9.9"], &["127.0.0.1"]]);
    let mut options = options(&["127.9.9.0/24"], &[]);
    options.resolver = resolver.clone();
    let outbound = outbound(options);
    let url = format!("https://rebinding.example:{}/", server.address.port());
    let first = outbound.users().send(ask(&url)).await.unwrap_err();
    assert!(matches!(first, OutboundError::Connect { .. }), "{first:?}");
    is_refused(outbound.users().send(ask(&url)).await, Refusal::Special);
    // One of several is enough, at whichever place.
    for addresses in [["127.9.9.9", "127.0.0.1"], ["127.0.0.1", "127.9.9.9"]] {
        let mut options = self::options(&["127.9.9.0/24"], &[]);
        options.resolver = Answers::new(&[&addresses]);
        is_refused(self::outbound(options).users().send(ask(&url)).await, Refusal::Special);
    }
    assert!(server.asked.all().is_empty());
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let to = "location: http://169.254.169.254/latest/meta-data/\r\n";
    let server = Server::start(&answer("302 Found", to, "")).await;
    let outbound = outbound(options(&["127.0.0.1"], &[]));
    let answer = outbound.users().send(ask(&server.url("127.0.0.1"))).await.unwrap();
    assert_eq!(answer.status.as_u16(), 302);
    is_refused(
        outbound.users().send(ask("https://169.254.169.254/latest/meta-data/")).await,
        Refusal::Special,
    );
}

#[tokio::test]
async fn a_proxy_is_asked_only_where_the_options_name_one() {
    let proxy = Server::start(&answer("200 OK", "", "by proxy")).await;
    let server = Server::start(&answer("200 OK", "", "direct")).await;
    let mut options = options(&["hooks.example"], &[]);
    options.proxy = Some(proxy.url("127.0.0.1").parse().unwrap());
    let proxied = outbound(options);
    for client in [proxied.operators(), proxied.users()] {
        let answer = client.send(ask("http://hooks.example/hook")).await.unwrap();
        assert_eq!(&answer.body[..], b"by proxy");
        // The proxy can have asked anything.
        assert!(!answer.is_public);
    }
    assert!(proxy.asked.all()[0].starts_with("POST http://hooks.example/hook HTTP/1.1\r\n"));
    is_refused(proxied.users().send(ask("https://other.example/")).await, Refusal::NotListed);
    is_refused(proxied.users().send(ask(&server.url("127.0.0.1"))).await, Refusal::Special);
    assert_eq!(proxy.asked.all().len(), 2);
}

#[tokio::test]
async fn certificates_are_checked_against_the_system_and_the_options() {
    let made = rcgen::generate_simple_self_signed(vec!["hooks.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let server = Server::start_with(&answer("200 OK", "", "safe"), Some(Arc::new(config).into())).await;
    let url = format!("https://hooks.example:{}/", server.address.port());
    let with = |roots: Vec<Vec<u8>>| {
        let mut options = options(&["hooks.example"], &[]);
        options.resolver = Answers::new(&[&["127.0.0.1"]]);
        options.roots = roots;
        outbound(options)
    };
    let error = with(Vec::new()).users().send(ask(&url)).await.unwrap_err();
    assert!(matches!(error, OutboundError::Connect { .. }), "{error:?}");
    let causes = causes(&error);
    assert!(causes.contains("certificate"), "{causes}");
    let answer = with(vec![made.cert.pem().into_bytes()]).users().send(ask(&url)).await.unwrap();
    assert_eq!(&answer.body[..], b"safe");
}

#[tokio::test]
async fn what_fails_is_named() {
    let outbound = outbound(options(&[], &[]));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let slow = Ask { within: Duration::from_millis(50), ..ask(&url) };
    let error = outbound.operators().send(slow).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer from 127.0.0.1 within 50ms");
    drop(silent);
    let error = outbound.operators().send(ask(&url)).await.unwrap_err();
    assert_eq!(error.to_string(), "can not connect to 127.0.0.1");
    let nonsense = Server::start("SSH-2.0-OpenSSH_9.9\r\n").await;
    let error = outbound.operators().send(ask(&nonsense.url("127.0.0.1"))).await.unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1 gave no answer that can be read");

    let mut options = options(&[], &[]);
    options.resolver = Answers::new(&[&[]]);
    let error = self::outbound(options).users().send(ask("https://absent.example/")).await.unwrap_err();
    assert!(matches!(&error, OutboundError::NoAddress { host, .. } if host == "absent.example"), "{error:?}");
}

#[tokio::test]
async fn other_protocols_get_a_connection() {
    let server = Server::start("+PONG\r\n").await;
    let outbound = outbound(options(&[], &[]));
    let port = server.address.port();
    let mut stream: TcpStream = outbound.operators().connect("127.0.0.1", port, WITHIN).await.unwrap();
    stream.write_all(b"PING\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "+PONG\r\n");
    is_refused(outbound.users().connect("127.0.0.1", port, WITHIN).await, Refusal::Special);
    let lenient = self::outbound(options(&["*"], &[]));
    is_refused(lenient.users().connect("127.0.0.1", port, WITHIN).await, Refusal::Special);
    is_refused(lenient.users().connect("example.com", 22, WITHIN).await, Refusal::Port(22));
}
