//! Limits on how many requests a client may send.

use registry_core::types::ErrorCode;
use registry_testing::{Client, Image, Server, ServerOptions};

use crate::{metrics::debug_client, secured::with_passwords};

/// How many requests in a row are not refused.
async fn taken(client: &Client, path: &str) -> usize {
    for count in 0..100 {
        if client.get(path).send().await.unwrap().status == 429 {
            return count;
        }
    }
    panic!("100 requests were answered");
}

const LIMITS: &str = "
http:
  debug: {addr: '127.0.0.1:0', prometheus: {enabled: true}}
  ratelimits:
    address: {requests: 30, per: 1h, burst: 10}
    user: {requests: 20, per: 1h}
";

/// How often a limit was reached, as the metrics say.
async fn refusals(server: &Server, reason: &str) -> u64 {
    let metrics = debug_client(server).await.get("/metrics").expect(200).await.text();
    let name = format!("registry_http_refusals_total{{reason=\"{reason}\"}} ");
    let (_, value) = metrics.split_once(&name).unwrap();
    value.split_once('\n').unwrap().0.parse().unwrap()
}

#[tokio::test]
async fn an_address_has_so_many_requests_and_is_told_when_it_has_more() {
    let server = ServerOptions::new().config(&format!("version: 0.1{LIMITS}")).start().await;
    let client = server.client();
    let image = Image::random(1);
    client.get("/v2/").expect(200).await;
    client.get("/v2/absent/tags/list").expect(404).await;
    client.get("/v2/no%20name/tags/list").expect(400).await;
    assert_eq!(taken(&client, "/v2/").await, 7, "whatever the answer was");
    let refused = client.get("/v2/").expect(429).await;
    assert_eq!(refused.error_code(), ErrorCode::TooManyRequests);
    let retry_after: u64 = refused.must_have("retry-after").parse().unwrap();
    assert!((1..=120).contains(&retry_after), "{retry_after}");
    assert!(refused.text().contains("more than 30 requests in 3600s"), "{}", refused.text());
    // Another connection, another path, a path that leads nowhere, a push: the client is the same.
    let again = client.reconnected();
    again.get("/v2/_catalog").expect(429).await;
    again.get("/nowhere").expect(429).await;
    assert!(again.push("app", "v1", &image).await.is_err());
    for _ in 0..20 {
        client.get("/").expect(200).await;
    }
    server.log().wait_for("`http.ratelimits.address`").await;
    assert!(refusals(&server, "address_rate").await > 4);
    assert_eq!(refusals(&server, "user_rate").await, 0);
}

#[tokio::test]
async fn users_have_their_own_requests_and_guesses_are_the_addresss() {
    let (server, _passwords) = with_passwords(&[("ann", "a"), ("bob", "b")], LIMITS).await;
    let (ann, bob) = (server.client().login("ann", "a"), server.client().login("bob", "b"));
    assert_eq!(taken(&ann, "/v2/").await, 20);
    assert_eq!(taken(&bob, "/v2/_catalog").await, 20, "another user at the same address");
    ann.reconnected().get("/v2/").expect(429).await;
    for _ in 0..3 {
        server.client().login("ann", "wrong").get("/v2/").expect(401).await;
    }
    assert_eq!(taken(&server.client(), "/v2/").await, 7, "wrong passwords count for the address");
    assert_eq!(refusals(&server, "user_rate").await, 3);
    assert_eq!(refusals(&server, "address_rate").await, 1);
}
