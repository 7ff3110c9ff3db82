//! The URL to which a receiver of Docker Hub's format reports what came of a message.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use registry_server::{
    Body, BoxFuture, Bytes, Context, Endpoint, Refused, Reply, ServerBody, declared_length,
};
use registry_webhooks::{CALLBACK_BODY_BYTES_MAX, Callback, MessageId, ParseCallbackError, Webhooks};

/// Where they report, below the prefix of all paths.
pub(crate) const PATH: &str = "/api/v1/webhooks/callbacks";

/// The name under which requests are counted.
const ROUTE: &str = "webhook_callback";

/// How long the body may pause.
const BODY_IDLE: Duration = Duration::from_secs(10);

/// Notes what receivers report. The id of the message, which its receiver alone was told, is what lets it.
#[derive(Debug)]
pub(crate) struct Callbacks(pub(crate) Webhooks);

impl Endpoint for Callbacks {
    fn respond<'a>(&'a self, request: Request<ServerBody>, context: &'a Context) -> BoxFuture<'a, Reply> {
        context.set_route(ROUTE);
        Box::pin(async move {
            match self.noted(request, context).await {
                Ok(reply) => reply,
                Err(refused) => refused.into_response().into(),
            }
        })
    }

    fn refuse(&self, _: &Parts, refused: Refused) -> Response<Body> {
        refused.into_response()
    }
}

impl Callbacks {
    async fn noted(&self, request: Request<ServerBody>, context: &Context) -> Result<Reply, Refused> {
        context.admit(None)?;
        let Some(id) = message(request.uri().path()) else {
            return Ok(said(StatusCode::NOT_FOUND, "nothing is here").into());
        };
        if request.method() != Method::POST {
            let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "a report is sent by POST");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return Ok(response.into());
        }
        let _memory = context.share.memory(CALLBACK_BODY_BYTES_MAX)?;
        let callback = match whole(request).await?.ok_or(ParseCallbackError::Long) {
            Ok(body) => Callback::parse(&body),
            Err(long) => Err(long),
        };
        Ok(match callback {
            Ok(callback) => self.note(id, callback).await,
            Err(error @ ParseCallbackError::Long) => {
                said(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()).into()
            }
            Err(error) => said(StatusCode::BAD_REQUEST, &error.to_string()).into(),
        })
    }

    async fn note(&self, id: MessageId, callback: Callback) -> Reply {
        match self.0.report(id, callback).await {
            Ok(true) => empty(StatusCode::NO_CONTENT).into(),
            Ok(false) => said(StatusCode::NOT_FOUND, "there is no such message, or it was long ago").into(),
            Err(error) => Reply {
                response: said(StatusCode::SERVICE_UNAVAILABLE, "the report can not be kept now"),
                user: None,
                cause: Some(crate::causes(&error)),
            },
        }
    }
}

/// The message that a path names.
fn message(path: &str) -> Option<MessageId> {
    path.strip_prefix(PATH)?.strip_prefix('/')?.parse().ok()
}

/// The body; none if it is too long for a report.
async fn whole(request: Request<ServerBody>) -> Result<Option<Vec<u8>>, Refused> {
    let limit = CALLBACK_BODY_BYTES_MAX;
    if declared_length(request.headers()).is_some_and(|length| length > limit as u64) {
        return Ok(None);
    }
    let (mut body, mut all) = (request.into_body(), Vec::new());
    while let Some(bytes) = body.next(BODY_IDLE).await? {
        if all.len() + bytes.len() > limit {
            return Ok(None);
        }
        all.extend_from_slice(&bytes);
    }
    Ok(Some(all))
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn said(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// Answers reports where receivers are told of the URL.
pub(crate) fn endpoint(webhooks: &Webhooks) -> Arc<dyn Endpoint> {
    Arc::new(Callbacks(webhooks.clone()))
}
