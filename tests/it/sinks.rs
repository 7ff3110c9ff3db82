//! Sinks of an embedder hear of a change whose client went away before it was answered.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use registry_core::{
    EventSink, OWNERS, async_trait,
    database::{Database, Fault, Session, Sqlite, Statement, Step, SystemClock, params, step},
};
use registry_testing::{Image, RawConnection, TestRegistry, eventually};

/// The digests of what was pushed, as the sink was told.
#[derive(Debug, Default)]
struct Pushed(Mutex<Vec<String>>);

#[async_trait]
impl EventSink for Pushed {
    async fn note(&self, event: registry_core::Event) {
        if let registry_core::Change::Pushed { digest, .. } = event.change {
            self.0.lock().unwrap().push(digest.to_string());
        }
    }
}

/// Holds the database's lock for writers until it is told to end.
struct Hold {
    held: mpsc::Sender<()>,
    release: Mutex<mpsc::Receiver<()>>,
}

impl Step for Hold {
    type Of = ();
    type Output = ();

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<(), Fault> {
        const NOTHING: Statement = Statement::same("UPDATE store SET format = format WHERE one = 0");
        session.execute(NOTHING, params![]).await?;
        self.held.send(()).unwrap();
        let _ = self.release.lock().unwrap().recv();
        Ok(())
    }
}

step!(Hold);

/// How many requests about manifests are answered now.
fn in_flight(registry: &TestRegistry) -> u64 {
    let text = registry.app().metrics.render();
    let line =
        text.lines().find(|line| line.starts_with("registry_http_in_flight_requests{handler=\"manifest\"}"));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0)
}

/// Pushes a manifest while no transaction can be committed, goes away after `patience`, and lets the transaction be committed.
async fn push_and_leave(registry: &TestRegistry, image: &Image, patience: Duration) {
    let path = registry.data().join("metadata.sqlite");
    let beside = Database::Sqlite(Arc::new(Sqlite::open(path, &OWNERS, Arc::new(SystemClock)).unwrap()));
    let ((held, is_held), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let hold = Hold { held, release: Mutex::new(released) };
    let holding = tokio::spawn(async move { beside.write("hold the lock", hold, ()).await });
    tokio::task::spawn_blocking(move || is_held.recv()).await.unwrap().unwrap();

    let manifest = &image.manifest;
    let mut connection = RawConnection::open(registry.address()).await.unwrap();
    let head = format!(
        "PUT /v2/app/manifests/{} HTTP/1.1\r\nhost: a\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        manifest.digest,
        manifest.media_type,
        manifest.bytes.len()
    );
    connection.send([head.as_bytes(), manifest.bytes.as_ref()].concat()).await.unwrap();
    eventually("the request has begun", async || (in_flight(registry) == 1).then_some(())).await;
    // Nothing outside shows that its transaction waits: it gets longer each time.
    tokio::time::sleep(patience).await;
    connection.reset().unwrap();
    eventually("the request is given up", async || (in_flight(registry) == 0).then_some(())).await;
    drop(release);
    holding.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_hears_of_a_push_whose_client_went_away() {
    let sink = Arc::new(Pushed::default());
    let registry = TestRegistry::on_disk(|builder| builder.events(sink.clone())).await;
    let (client, mut pushed) = (registry.client(), 0);
    for attempt in 1..=40 {
        let image = Image::random(attempt);
        for blob in &image.blobs {
            client.push_blob("app", blob).await.unwrap();
        }
        push_and_leave(&registry, &image, Duration::from_millis(attempt)).await;
        let digest = image.manifest.digest.to_string();
        // What comes after it in the database's queue is committed after it.
        client.push("app", "later", &Image::random(1_000 + attempt)).await.unwrap();
        let answer = client.head(&format!("/v2/app/manifests/{digest}")).send().await.unwrap();
        if answer.status == 200 {
            pushed += 1;
            let is_told = async || sink.0.lock().unwrap().contains(&digest).then_some(());
            eventually("the sink is told of what is there", is_told).await;
        }
        if pushed == 3 {
            return;
        }
    }
    panic!("no push was committed after its client went away");
}
