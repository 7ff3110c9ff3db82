//! Servers that `tests/interop` has beside a registry, and that no client brings along.
//!
//! - `tokens CONFIG` gives tokens, over TLS. It writes the set of its keys, says where it listens, and then a line of JSON for each
//!   request.
//! - `slow LISTEN SERVER BYTES` hands connections on to a server, and lets so many bytes a second of each client through.

#![allow(
    clippy::disallowed_methods,
    reason = "it hands connections of clients on to a registry of the tests"
)]

use std::{env, fs, path::PathBuf, process::ExitCode, time::Duration};

use registry_testing::{TokenServer, TokenServerOptions, Users};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

/// How often in a second a slow connection lets something through.
const STEPS: u32 = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["tokens", config] => tokens(config).await,
        ["slow", listen, server, bytes] => slow(listen, server, bytes).await,
        _ => Err("interop-servers tokens CONFIG | slow LISTEN SERVER BYTES".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

type Failed = Box<dyn std::error::Error>;

/// What the server of tokens is started with, in JSON.
#[derive(Deserialize)]
struct Config {
    listen: String,
    certificate: PathBuf,
    key: PathBuf,
    /// Where the set of keys goes.
    jwks: PathBuf,
    issuer: String,
    service: String,
    expires_in: i64,
    ends_in: i64,
    users: Users,
}

async fn tokens(config: &str) -> Result<(), Failed> {
    let config: Config = serde_json::from_slice(&fs::read(config)?)?;
    let server = TokenServer::new(
        TokenServerOptions {
            issuer: config.issuer,
            service: config.service,
            users: config.users,
            expires_in: config.expires_in,
            ends_in: config.ends_in,
        },
        |line| tell(&line.to_string()),
    );
    fs::write(config.jwks, server.jwks())?;
    let listener = listen(&config.listen).await?;
    server.serve(listener, &fs::read(config.certificate)?, &fs::read(config.key)?).await;
    Ok(())
}

async fn slow(address: &str, server: &str, bytes: &str) -> Result<(), Failed> {
    let (listener, bytes_per_sec) = (listen(address).await?, bytes.parse()?);
    loop {
        let (client, _) = listener.accept().await?;
        let server = TcpStream::connect(server).await?;
        tokio::spawn(hand_on(client, server, bytes_per_sec));
    }
}

async fn hand_on(client: TcpStream, server: TcpStream, bytes_per_sec: u32) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let sent = async {
        let mut buffer = vec![0; usize::try_from(bytes_per_sec / STEPS).unwrap_or(usize::MAX).max(1)];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            if to_server.write_all(&buffer[..length]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1) / STEPS).await;
        }
    };
    tokio::select! {
        () = sent => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}

async fn listen(address: &str) -> Result<TcpListener, Failed> {
    let listener = TcpListener::bind(address).await?;
    tell(&format!("listening on {}", listener.local_addr()?));
    Ok(listener)
}

#[expect(clippy::print_stdout, reason = "the scripts read it")]
fn tell(line: &str) {
    println!("{line}");
}
