//! Requests without a socket: head and body are made by the test.

use bytes::Bytes;
use http_body_util::BodyExt;
use registry_auth::{AllowAll, NoAuthentication};
use registry_database::{Database, Fault, Owners, Session, Statement, Step, step};
use registry_digest::{Algorithm, Digest};
use registry_events::Recorder;
use registry_metadata::{Options, SqliteStore, SystemClock};
use registry_server::{Budget, Peer};
use registry_storage::MemoryStore;

use super::*;
use crate::{Events, Manifests, Metrics, Pulls, RunningUploads, Settings};

const MIB: usize = 1024 * 1024;

/// The owners of a database with events.
const OWNERS: Owners =
    Owners::new(&[&registry_metadata::SCHEMA, &registry_events::SCHEMA, &registry_database::SCHEMA]);

/// An API over memory, of which a connection may use what `budget` has for it.
struct Fixture {
    api: Api,
    budget: Budget,
    database: Database,
}

impl Fixture {
    fn new(settings: Settings) -> Fixture {
        let options = Options { owners: OWNERS, recorder: Recorder::new(), ..Options::default() };
        let metadata = SqliteStore::open_in_memory(options, Arc::new(SystemClock)).unwrap();
        let database = metadata.database();
        let app = App {
            observer: None,
            origin: None,
            store: Arc::new(MemoryStore::new()),
            metadata: Arc::new(metadata),
            authenticator: Arc::new(NoAuthentication),
            authorizer: Arc::new(AllowAll),
            settings,
            metrics: Arc::new(Metrics::new(Arc::default())),
            uploads: RunningUploads::default(),
            pulls: Pulls::default(),
            manifests: Manifests::default(),
            events: Events::default(),
        };
        Fixture { api: Api::new(Arc::new(app)), budget: Budget::new(16 * MIB, 16), database }
    }

    async fn ask(&self, request: http::request::Builder, body: impl Into<Bytes>) -> (Answer, Bytes) {
        let context = Context::without_connection(Peer::at("192.0.2.7".parse().ok()), &self.budget);
        let request = request.body(ServerBody::from(body.into())).unwrap();
        let reply = self.api.respond(request, &context).await;
        let route = context.route();
        let (head, body) = reply.response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (Answer { status: head.status, headers: head.headers, route, cause: reply.cause }, bytes)
    }
}

/// The events so far: their kinds and requests, without the ids.
struct Told;

impl Step for Told {
    type Of = ();
    type Output = Vec<String>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Vec<String>, Fault> {
        let statement = Statement::same(
            "SELECT kind || ' ' || request_address || ' ' || request_host || ' ' || request_method
                || ' ' || request_user_agent || ' ' || length(request_id)
            FROM events ORDER BY id",
        );
        session.all(statement, &[]).await
    }
}

step!(Told);

/// What is looked at of a reply, beside its body.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    route: &'static str,
    cause: Option<String>,
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "registry.example")
}

#[tokio::test]
async fn a_blob_is_pushed_and_pulled() {
    let fixture = Fixture::new(Settings::default());
    let digest = Digest::of(Algorithm::default(), b"layer");
    let path = format!("/v2/app/blobs/uploads/?digest={digest}");
    let (pushed, _) = fixture.ask(request(Method::POST, &path), "layer").await;
    assert_eq!((pushed.status, pushed.route), (StatusCode::CREATED, "blob_upload"));
    let location = format!("http://registry.example/v2/app/blobs/{digest}");
    assert_eq!(pushed.headers[header::LOCATION], location);

    let (pulled, bytes) = fixture.ask(request(Method::GET, &location).header("range", "bytes=1-3"), "").await;
    assert_eq!((pulled.status, pulled.route), (StatusCode::PARTIAL_CONTENT, "blob"));
    assert_eq!(pulled.headers[header::CONTENT_RANGE], "bytes 1-3/5");
    assert_eq!(bytes, "aye");
    drop(bytes);
    assert_eq!((fixture.budget.memory_bytes(), fixture.budget.files()), (0, 0), "nothing is held after it");
}

#[tokio::test]
async fn a_body_that_is_not_what_it_should_be_leaves_nothing() {
    let fixture = Fixture::new(Settings::default());
    let digest = Digest::of(Algorithm::default(), b"layer");
    let path = format!("/v2/app/blobs/uploads/?digest={digest}");
    let (refused, text) = fixture.ask(request(Method::POST, &path), "something else").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(String::from_utf8_lossy(&text).contains("DIGEST_INVALID"), "{text:?}");
    assert_eq!(refused.cause, None, "an error of the client is none of ours");
    let (absent, _) = fixture.ask(request(Method::HEAD, &format!("/v2/app/blobs/{digest}")), "").await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_manifest_that_is_too_long_is_refused_by_what_comes() {
    let settings = Settings { manifest_bytes_max: 1000, ..Settings::default() };
    let fixture = Fixture::new(settings);
    let put = || {
        request(Method::PUT, "/v2/app/manifests/x")
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
    };
    for put in [put(), put().header("content-length", "1001"), put().header("content-length", "10")] {
        let (refused, _) = fixture.ask(put, vec![b' '; 1001]).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    let (refused, _) = fixture.ask(put(), vec![b' '; 1000]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(fixture.budget.memory_bytes(), 0);
}

#[tokio::test]
async fn an_event_names_the_request_that_caused_it() {
    let fixture = Fixture::new(Settings { delete_enabled: true, ..Settings::default() });
    let manifest =
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let of = |method: Method| {
        request(method, "/v2/app/manifests/v1")
            .header("user-agent", "docker/27.0")
            .header("content-type", "application/vnd.oci.image.index.v1+json")
    };
    let (pushed, _) = fixture.ask(of(Method::PUT), manifest).await;
    assert_eq!(pushed.status, StatusCode::CREATED);
    let (deleted, _) = fixture.ask(of(Method::DELETE), "").await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    let told = fixture.database.read("look", Told, ()).await.unwrap();
    let line =
        |kind: &str, method: &str| format!("{kind} 192.0.2.7 registry.example {method} docker/27.0 24");
    let expected = [
        line("repository.created", "PUT"),
        line("manifest.pushed", "PUT"),
        line("tag.moved", "PUT"),
        line("tag.deleted", "DELETE"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_the_server_refuses_is_told_in_the_words_of_the_api() {
    let fixture = Fixture::new(Settings::default());
    let parts = request(Method::GET, "/v2/").body(()).unwrap().into_parts().0;
    let refused = Refused::Busy { resource: "open files" };
    let response = fixture.api.refuse(&parts, refused);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert_eq!(response.headers()[&DOCKER_API_VERSION], "registry/2.0");
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("UNAVAILABLE"), "{text:?}");
}
