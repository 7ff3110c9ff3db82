//! An endpoint, a background task and an event sink of one's own, beside those of the registry.
//!
//! `cargo run -p registry-examples --example own_parts`, push something, then `curl localhost:5000/pushes`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use registry_core::{
    Change, Event, EventSink, Registry,
    api::Listener,
    async_trait,
    http::{Request, Response, request::Parts},
    server::{Body, BoxFuture, Context, Endpoint, Refused, Reply, ServerBody},
};

#[derive(Debug, Default)]
struct Pushes(AtomicU64);

#[async_trait]
impl EventSink for Pushes {
    // Told once the push is durable. No request waits for this.
    async fn note(&self, event: Event) {
        if let Change::Pushed { digest, tags, .. } = event.change {
            self.0.fetch_add(1, Ordering::Relaxed);
            eprintln!("{} has {digest} under {tags:?}", event.repository);
        }
    }
}

#[derive(Debug)]
struct Page(Arc<Pushes>);

impl Endpoint for Page {
    fn respond<'a>(&'a self, _: Request<ServerBody>, context: &'a Context) -> BoxFuture<'a, Reply> {
        context.set_route("pushes");
        // Where requests are limited, this one counts for its client's address.
        if let Err(refused) = context.admit(None) {
            return Box::pin(async { refused.into_response().into() });
        }
        let text = format!("{} pushes\n", self.0.0.load(Ordering::Relaxed));
        Box::pin(async { Response::new(Body::full(text.into())).into() })
    }

    fn refuse(&self, _: &Parts, refused: Refused) -> Response<Body> {
        refused.into_response()
    }
}

async fn say_now_and_then(pushes: Arc<Pushes>) {
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        eprintln!("{} pushes so far", pushes.0.load(Ordering::Relaxed));
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let pushes = Arc::new(Pushes::default());
    let registry = Registry::builder()
        .events(pushes.clone())
        .mount("/pushes", Arc::new(Page(pushes.clone())))
        .background("say", say_now_and_then(pushes))
        .open()
        .await?;
    let listener = Listener::tcp(&address).await?;
    eprintln!("listening on {}", listener.address()?);
    Ok(registry.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?)
}
