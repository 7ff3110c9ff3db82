//! Slow, broken and hostile clients, byte by byte.

mod bodies;
mod budget;
mod heads;
mod http2;
mod layers;
mod refusals;
mod scarcity;
mod smuggling;
mod vanishing;

use std::time::Duration;

use registry_core::api::{Limits, ServeOptions};
use registry_testing::{Client, RawConnection, TestRegistry, UploadSession, eventually};

/// Short enough for a test to wait for, long enough not to be reached by accident.
pub(super) const SHORT: Duration = Duration::from_millis(400);

/// How long something that is not to come is waited for.
pub(super) const A_WHILE: Duration = Duration::from_millis(150);

/// A registry that soon loses its patience.
pub(super) async fn impatient() -> TestRegistry {
    impatient_with(|limits| limits).await
}

pub(super) async fn impatient_with(choose: impl FnOnce(Limits) -> Limits) -> TestRegistry {
    // A client's connection that rests while the test waits for another one's end is not to end with it.
    let limits = Limits::default().head_timeout(SHORT).idle_timeout(3 * SHORT).stall_timeout(SHORT);
    let serve = ServeOptions::default().limits(choose(limits));
    let settings = TestRegistry::settings().body_idle(SHORT);
    TestRegistry::on_disk(|builder| builder.settings(settings).serve_options(serve)).await
}

pub(super) async fn connect(registry: &TestRegistry) -> RawConnection {
    RawConnection::open(registry.address()).await.unwrap()
}

/// The registry serves others, whatever happened before.
pub(super) async fn still_serves(registry: &TestRegistry) {
    registry.client().get("/v2/").expect(200).await;
}

/// Waits until no request holds the session. Returns how far it is.
pub(super) async fn free(client: &Client, session: &UploadSession) -> UploadSession {
    eventually("the session is free", async || {
        let answer = client.patch(&session.location).send().await.unwrap();
        (answer.status == 202).then(|| UploadSession::of(&answer).unwrap())
    })
    .await
}

/// Waits until the registry holds no connection any more.
pub(super) async fn no_connection_left(registry: &TestRegistry) {
    eventually("no connection is left", async || {
        registry.app().metrics.render().contains("\nregistry_http_connections 0\n").then_some(())
    })
    .await;
}

/// The path of a session, without scheme and host.
pub(super) fn path_of(session: &UploadSession, registry: &TestRegistry) -> String {
    session.location.strip_prefix(registry.url()).unwrap().to_owned()
}
