//! Servers that are not ours get no password.

use std::sync::Arc;

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{PostgresOptions, guard::Refusal, pool::Pool};

/// The user's password; also in what is sent as its MD5 hash there is something that begins so.
const PASSWORD: &str = "hunter2";

/// What a false server does.
#[derive(Clone, Copy, Debug)]
struct False {
    has_tls: bool,
    /// `AuthenticationCleartextPassword`, or another request.
    asks: &'static [u8],
}

const CLEAR_TEXT: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
const MD5: &[u8] = b"R\0\0\0\x0c\0\0\0\x05salt";

/// Accepts one connection, asks, and gives all that it hears from then on.
async fn serve(listener: TcpListener, server: False) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = [0; 8];
    // The URL may say that there is no TLS: then this is the begin of what comes first.
    stream.read_exact(&mut request).await.unwrap();
    if request[4..] != [0x04, 0xd2, 0x16, 0x2f] {
        let rest = u32::from_be_bytes([request[0], request[1], request[2], request[3]]) as usize - 8;
        stream.read_exact(&mut vec![0; rest]).await.unwrap();
        return ask(stream, server).await;
    }
    if !server.has_tls {
        stream.write_all(b"N").await.unwrap();
        return greet(stream, server).await;
    }
    stream.write_all(b"S").await.unwrap();
    match acceptor().accept(stream).await {
        Ok(stream) => greet(stream, server).await,
        Err(_) => Vec::new(),
    }
}

/// Reads the message that names user and database.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, server: False) -> Vec<u8> {
    let Ok(length) = stream.read_u32().await else { return Vec::new() };
    stream.read_exact(&mut vec![0; length as usize - 4]).await.unwrap();
    ask(stream, server).await
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, server: False) -> Vec<u8> {
    stream.write_all(server.asks).await.unwrap();
    let mut heard = Vec::new();
    // A message at most: a client that answers then waits.
    let Ok(kind) = stream.read_u8().await else { return heard };
    let Ok(length) = stream.read_u32().await else { return vec![kind] };
    heard.resize(length as usize - 4, 0);
    stream.read_exact(&mut heard).await.unwrap();
    heard
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Arc::new(config).into()
}

/// What a false server hears after it asked, and what the client says of it. (`0.0.0.0` leads to this machine and is not
/// known to: so it stands for a host elsewhere.)
#[allow(clippy::disallowed_methods, reason = "a test plays the server's other clients")]
async fn heard(host: &str, query: &str, server: False) -> (Vec<u8>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://user:{PASSWORD}@{host}:{port}/d?{query}");
    let options: PostgresOptions = url.parse().unwrap();
    let pool = Pool::new(&options).unwrap();
    let serving = tokio::spawn(serve(listener, server));
    let error = pool.connection().await.expect_err("no server of ours");
    // A server that is still waiting for a connection never gets one.
    drop(TcpStream::connect(("127.0.0.1", port)).await);
    let error = super::migrate::failed_to("connect", error);
    (serving.await.unwrap(), format!("{error:?}"))
}

#[tokio::test]
async fn a_server_that_nothing_vouches_for_gets_no_password() {
    for server in [
        False { has_tls: false, asks: CLEAR_TEXT },
        False { has_tls: false, asks: MD5 },
        False { has_tls: true, asks: CLEAR_TEXT },
        False { has_tls: true, asks: MD5 },
    ] {
        for query in ["", "sslmode=prefer", "sslmode=require", "sslmode=verify-full"] {
            let (heard, error) = heard("0.0.0.0", query, server).await;
            assert_eq!(heard, b"", "{query} {server:?}");
            let expected = match (query, server.has_tls) {
                ("sslmode=prefer", _) | ("sslmode=require", true) => "Password(",
                (_, false) => "NoTls",
                (_, true) => "UnknownIssuer",
            };
            assert!(error.contains(expected), "{query} {server:?}: {error}");
        }
    }
}

#[tokio::test]
async fn where_the_url_says_so_or_on_loopback_the_password_is_sent() {
    let server = False { has_tls: false, asks: CLEAR_TEXT };
    for (host, query) in [("127.0.0.1", ""), ("localhost", "sslmode=prefer"), ("0.0.0.0", "sslmode=disable")]
    {
        let (heard, _) = heard(host, query, server).await;
        assert_eq!(heard, format!("{PASSWORD}\0").as_bytes(), "{host} {query}");
    }
}

#[test]
fn refusals_are_found_behind_other_errors() {
    let error = std::io::Error::from(Refusal::NoTls);
    assert!(Refusal::is_cause_of(&error));
    assert!(!Refusal::is_cause_of(&std::io::Error::other("else")));
}
