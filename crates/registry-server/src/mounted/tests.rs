use futures_util::future::BoxFuture;
use http::request::Parts;
use http_body_util::{BodyExt, Full};
use tower_service::Service as _;

use super::*;
use crate::{Context as RequestContext, Endpoint, Refused, Reply, Site};

/// Answers what it sees of a request.
#[derive(Debug)]
struct Mirror;

impl Endpoint for Mirror {
    fn respond<'a>(
        &'a self,
        request: Request<ServerBody>,
        context: &'a RequestContext,
    ) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let (parts, mut body) = request.into_parts();
            let mut bytes = 0;
            while let Ok(Some(frame)) = body.next(std::time::Duration::from_secs(1)).await {
                bytes += frame.len();
            }
            let (prefix, client) = (context.prefix(), context.client);
            let seen = format!("{prefix}|{}|{client:?}|{}|{bytes}", parts.uri, context.peer.tls);
            Response::new(crate::Body::full(seen.into())).into()
        })
    }

    fn refuse(&self, _: &Parts, refused: Refused) -> Response<crate::Body> {
        refused.into_response()
    }
}

async fn ask(mut service: Mounted, request: http::request::Builder) -> (u16, String) {
    let request = request.body(Full::new(Bytes::from_static(b"12345"))).unwrap();
    let answer = service.call(request).await.unwrap_or_else(|never| match never {});
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

fn mounted(site: Site) -> Mounted {
    Mounted::new(Arc::new(Server::new(site)))
}

fn get(uri: &str) -> http::request::Builder {
    Request::get(uri).header("host", "registry.example")
}

#[tokio::test]
async fn what_the_router_took_off_is_put_back_and_the_sites_prefix_taken_off() {
    let site = || Site::of(Arc::new(Mirror));
    let whole = ask(mounted(site()), get("/v2/a?n=1")).await;
    assert_eq!(whole, (200, "|/v2/a?n=1|Some(0.0.0.0)|false|5".to_owned()));
    let nested = ask(mounted(site()).nested("/v2/"), get("/a?n=1")).await;
    assert_eq!(nested.1, "|/v2/a?n=1|Some(0.0.0.0)|false|5");
    let below = mounted(site().behind("/registry")).nested("/registry");
    assert_eq!(ask(below, get("/v2/a")).await.1, "/registry|/v2/a|Some(0.0.0.0)|false|5");
    assert_eq!(ask(mounted(site().behind("/registry")), get("/v2/a")).await.0, 404);
}

#[tokio::test]
async fn a_peer_is_what_the_application_says_and_an_unknown_one_is_not_trusted() {
    let site = || mounted(Site::of(Arc::new(Mirror)));
    let forwarded = || get("/").header("x-forwarded-for", "192.0.2.9");
    assert_eq!(ask(site(), forwarded()).await.1, "|/|Some(0.0.0.0)|false|5");
    let peer = Peer::at("192.0.2.1".parse().ok()).over_tls(None);
    assert_eq!(ask(site(), forwarded().extension(peer)).await.1, "|/|Some(192.0.2.1)|true|5");
    let told = site().peers(|_| Some(Peer::at("192.0.2.2".parse().ok())));
    assert_eq!(ask(told, forwarded()).await.1, "|/|Some(192.0.2.2)|false|5");
}

#[tokio::test]
async fn what_the_server_refuses_and_counts_it_refuses_and_counts_here() {
    let mounted = mounted(Site::of(Arc::new(Mirror)));
    let server = mounted.server.clone();
    // HTTP/1.1 without a host.
    assert_eq!(ask(mounted.clone(), Request::get("/")).await.0, 400);
    assert_eq!(ask(mounted, get("/")).await.0, 200);
    let text = server.metrics.render();
    assert!(
        text.contains(r#"registry_http_requests_total{handler="none",code="400",method="get"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"registry_http_requests_total{handler="none",code="200",method="get"} 1"#),
        "{text}"
    );
}
