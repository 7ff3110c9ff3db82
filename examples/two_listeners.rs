//! One registry on two listeners: TCP for the network, and a Unix socket for programs of this machine.
//!
//! `cargo run -p registry-examples --example two_listeners`, then `curl --unix-socket registry.socket http://localhost/v2/`.

use std::path::Path;

use registry_core::{Registry, api::Listener};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let socket = arguments.next().unwrap_or_else(|| "registry.socket".to_owned());

    let registry = Registry::builder().open().await?;
    let listeners = [Listener::unix(Path::new(&socket))?, Listener::tcp(&address).await?];
    for listener in &listeners {
        eprintln!("listening on {}", listener.address()?);
    }
    // Their connections share all limits, and end together.
    Ok(registry.serve_all(listeners, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?)
}
