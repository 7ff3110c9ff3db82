//! The database goes away while clients push through the built program.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use registry_testing::{Client, Image, ServerOptions, eventually};
use registry_testing_postgres::PostgresServer;

/// How many clients push at once, and how often the database goes.
const CLIENTS: u64 = 6;
const LOSSES: u64 = 4;

/// By when a request has been told, on a machine that has more to do.
const AT_ONCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_fail_cleanly_and_what_was_acknowledged_stays() {
    let postgres = PostgresServer::start();
    let options = ServerOptions::new().variable("REGISTRY_METADATA_POSTGRESQL_URL", &postgres.database());
    let server = options.start().await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let pushing: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(push_until_enough(server.client(), number, acknowledged.clone())))
        .collect();
    for loss in 0..LOSSES {
        let before = acknowledged.load(Relaxed);
        eventually("pushes go on", async || (acknowledged.load(Relaxed) > before + 10).then_some(())).await;
        if loss % 2 == 0 {
            postgres.stop()
        } else {
            postgres.kill()
        }
        refused_at_once(&server.client()).await;
        postgres.resume();
        let client = server.client();
        eventually("the database is found again", async || {
            (client.get("/v2/_catalog").send().await.ok()?.status == 200).then_some(())
        })
        .await;
    }
    acknowledged.fetch_add(ENOUGH, Relaxed);
    let mut images = 0;
    for (number, client) in pushing.into_iter().enumerate() {
        for (tag, image) in client.await.unwrap() {
            server.client().pull(&format!("app{number}"), &tag, &image).await.unwrap();
            images += 1;
        }
    }
    eprintln!("{images} images were acknowledged, and all are there");
    assert!(images > 40);
}

/// A count that only the end of the test brings.
const ENOUGH: u64 = 1_000_000;

/// Every kind of request is told 503, when to come again, and at once.
async fn refused_at_once(client: &Client) {
    for _ in 0..3 {
        let requests = [
            client.get("/v2/app0/manifests/latest"),
            client.post("/v2/app0/blobs/uploads/"),
            client.head(&format!("/v2/app0/blobs/{}", Image::random(1).config().digest)),
            client.get("/v2/_catalog"),
        ];
        for request in requests {
            let started = Instant::now();
            let response = request.send().await.unwrap();
            assert_eq!(response.status, 503);
            let seconds: u64 = response.must_have("retry-after").parse().unwrap();
            assert!(seconds > 0);
            assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        }
    }
}

/// Pushes image after image, each again until it is acknowledged, as a client that tries again does.
async fn push_until_enough(
    client: Client,
    number: u64,
    acknowledged: Arc<AtomicU64>,
) -> BTreeMap<String, Image> {
    let (repository, mut pushed) = (format!("app{number}"), BTreeMap::new());
    for made in 0.. {
        let (tag, image) = (format!("v{made}"), Image::random(number * ENOUGH + made));
        while let Err(error) = client.reconnected().push(&repository, &tag, &image).await {
            // Nothing but this: no 500, and no 404 of something that is there. (A session may be held for a moment by the
            // request that lost its database.)
            let status = error.status();
            assert!(matches!(status, Some(503 | 404 | 409)), "{error}");
            if acknowledged.load(Relaxed) >= ENOUGH {
                return pushed;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        pushed.insert(tag, image);
        if acknowledged.fetch_add(1, Relaxed) >= ENOUGH {
            break;
        }
    }
    pushed
}
