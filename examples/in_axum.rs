//! A registry inside an axum application, which has a page of its own and listens itself.
//!
//! `cargo run -p registry-examples --example in_axum`, then `docker push localhost:5000/hello`.

use std::net::SocketAddr;

use axum::{Router, extract::ConnectInfo, routing::get};
use registry_core::{Registry, server::Peer};
use tokio::{net::TcpListener, sync::oneshot};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let registry = Registry::builder().filesystem("registry-data").open().await?;

    // Clients ask below /v2. The router takes that off the path, and the service puts it back.
    let service = registry.service().nested("/v2").peers(|extensions| {
        let ConnectInfo(address) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(Peer::at(Some(address.ip())))
    });
    let app =
        Router::new().route("/", get(|| async { "images are below /v2\n" })).nest_service("/v2", service);

    // What the registry does beside serving ends after the last request.
    let (served, background_ends) = oneshot::channel::<()>();
    let background = tokio::spawn(registry.background(async {
        let _ = background_ends.await;
    }));
    let listener = TcpListener::bind(&address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    drop(served);
    Ok(background.await??)
}
