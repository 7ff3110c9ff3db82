//! A working registry inside another program.
//!
//! `cargo run -p registry-examples --example embed`, then `docker push localhost:5000/hello`.

use registry_core::{
    Registry,
    api::{Listener, Settings},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let settings = Settings::default().delete_enabled(true);

    let registry = Registry::builder().filesystem("registry-data").settings(settings).open().await?;
    let listener = Listener::tcp(&address).await?;
    eprintln!("listening on {}", listener.address()?);

    // The caller owns the socket and the stop.
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    Ok(registry.serve(listener, stop).await?)
}
