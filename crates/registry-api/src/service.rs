//! A request from top to bottom: parse, authenticate, authorise, handle, render.

use std::{convert::Infallible, net::IpAddr, pin::Pin, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use registry_auth::{Access, Caller, Decision};

use crate::{
    access_log::Entry,
    app::{App, Call},
    body::Body,
    error::ApiError,
    handlers::{blob, catalog, manifest, referrers, tags, upload},
    links::Links,
    metrics::Handler,
    observed::Observed,
    request_id::RequestId,
    response::{DOCKER_API_VERSION, Response, X_REQUEST_ID, bytes_response, empty_response},
    route::{Route, RouteError},
};

/// The API as a hyper service, one for each connection.
#[derive(Clone, Debug)]
pub struct Service {
    app: Arc<App>,
    peer: Peer,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address; none on a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl Service {
    /// Serves `app` to one peer.
    pub fn new(app: Arc<App>, peer: Peer) -> Service {
        Service { app, peer }
    }

    /// Answers one request. Never fails: what goes wrong is an answer, too. Dropping the future abandons the request,
    /// except that a running upload saves what has arrived.
    pub async fn respond(&self, request: Request<Incoming>) -> Response<Observed> {
        let started = Instant::now();
        let request_id = RequestId::of(request.headers());
        let mut entry = Entry::begin(&request, self.peer.address, request_id);
        let (parts, body) = request.into_parts();
        let route = self.parse(&parts.method, &parts.uri);
        let handler = route.as_ref().map_or(Handler::None, Handler::of);
        let in_flight = self.app.metrics.begin(handler);

        let Answer { mut response, user, error } = self.answer(&parts, route, body).await;
        if let Some(error) = error {
            tracing::error!(
                request.id = %entry.request_id, http.route = handler.name(),
                "{} {} failed: {error}", parts.method, parts.uri.path()
            );
        }
        if !self.peer.tls && parts.version < http::Version::HTTP_2 {
            response.body_mut().send_files();
        }
        response.headers_mut().insert(X_REQUEST_ID, entry.request_id.header());
        entry.set_outcome(user, response.status());
        let observed = |body| Observed::new(body, self.app.clone(), entry, in_flight, started);
        response.map(observed)
    }

    /// The route of a request below the configured prefix.
    fn parse(&self, method: &Method, uri: &http::Uri) -> Result<Route, ApiError> {
        let prefix = self.app.settings.prefix.trim_end_matches('/');
        if prefix.is_empty() || uri.path() == "/" {
            return Ok(Route::parse(method, uri)?);
        }
        if uri.path().strip_prefix(prefix) == Some("/v2") {
            return Err(RouteError::Moved { path: format!("{prefix}/v2/") }.into());
        }
        let unknown = || RouteError::Unknown { path: uri.path().chars().take(128).collect() };
        let below = uri.path_and_query().and_then(|path| path.as_str().strip_prefix(prefix));
        let below = below.filter(|path| path.starts_with('/')).ok_or_else(unknown)?;
        let below = below.parse().map_err(|_| unknown())?;
        Ok(Route::parse(method, &below)?)
    }

    async fn answer(
        &self,
        parts: &http::request::Parts,
        route: Result<Route, ApiError>,
        body: Incoming,
    ) -> Answer {
        if let (Ok(Route::Alive), true) = (&route, self.app.health.is_serving()) {
            return Answer { response: alive(), user: None, error: None };
        }
        let mut user = None;
        let result = match route {
            _ if !self.app.health.is_serving() => Err(ApiError::Unhealthy),
            // Before any authentication: a browser's preflight can not have any.
            Err(ApiError::Route(RouteError::Method { allow })) if parts.method == Method::OPTIONS => {
                Ok(options(allow))
            }
            _ if has_ambiguous_host(parts) => Err(ApiError::Host),
            Ok(route) => self.handle(parts, &route, body, &mut user).await,
            Err(error) => Err(error),
        };
        let (mut response, error) = match result {
            Ok(response) => (response, None),
            Err(error) => {
                let for_the_log = error.for_the_log();
                (error.into_response(), for_the_log)
            }
        };
        if parts.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        self.add_headers(response.headers_mut());
        Answer { response, user, error }
    }

    async fn handle(
        &self,
        parts: &http::request::Parts,
        route: &Route,
        body: Incoming,
        user: &mut Option<String>,
    ) -> Result<Response<Body>, ApiError> {
        let app = &self.app;
        let access = route.required_access();
        let caller = self.authenticate(&parts.headers, access.as_ref()).await?;
        if let Caller::User(name) = &caller {
            *user = Some(name.to_string());
        }
        if let Some(access) = &access {
            self.authorise(&caller, access).await?;
        }
        if app.settings.read_only && route.is_write() {
            return Err(ApiError::ReadOnly);
        }
        let call = Call {
            app,
            caller,
            headers: &parts.headers,
            links: Links::new(&app.settings, &parts.headers, parts.uri.authority(), self.peer.tls),
            is_head: parts.method == Method::HEAD,
            peer: self.peer.address,
        };
        dispatch(&call, route, body).await
    }

    async fn authenticate(&self, headers: &HeaderMap, access: Option<&Access>) -> Result<Caller, ApiError> {
        let result = self.app.authenticator.authenticate(headers.get(header::AUTHORIZATION)).await;
        result.map_err(|error| {
            let challenge = access.and_then(|access| self.app.authenticator.challenge(access));
            ApiError::authentication(error, challenge)
        })
    }

    /// 401 to the anonymous whether or not the repository exists, and to users who may not see it 404 in both cases.
    async fn authorise(&self, caller: &Caller, access: &Access) -> Result<(), ApiError> {
        let visible = match self.app.authorizer.decide(caller, access).await {
            Decision::Allow => return Ok(()),
            Decision::Deny { visible } => visible,
        };
        match (caller, access) {
            (Caller::Anonymous, _) => {
                Err(ApiError::Unauthenticated { challenge: self.app.authenticator.challenge(access) })
            }
            (Caller::User(_), Access::Repository { name, .. }) if !visible => {
                Err(ApiError::RepositoryUnknown { name: name.clone() })
            }
            (Caller::User(_), _) => Err(ApiError::Denied),
        }
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(DOCKER_API_VERSION, HeaderValue::from_static("registry/2.0"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for name in self.app.settings.headers.keys() {
            headers.remove(name);
        }
        headers.extend(self.app.settings.headers.clone());
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Observed>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.respond(request).await) })
    }
}

/// Every endpoint on one page. What the caller may do has been decided.
async fn dispatch(call: &Call<'_>, route: &Route, body: Incoming) -> Result<Response<Body>, ApiError> {
    match route {
        Route::Alive => Ok(alive()),
        Route::Version => Ok(bytes_response(StatusCode::OK, "application/json", "{}")),
        Route::Catalog { page } => catalog::list(call, page).await,
        Route::Tags { repository, page } => tags::list(call, repository, page).await,
        Route::GetManifest { repository, reference } => manifest::get(call, repository, reference).await,
        Route::PutManifest { repository, reference, tags } => {
            manifest::put(call, repository, reference, tags, body).await
        }
        Route::DeleteManifest { repository, reference } => {
            deletion(call)?;
            manifest::delete(call, repository, reference).await
        }
        Route::GetBlob { repository, digest } => blob::get(call, repository, *digest).await,
        Route::DeleteBlob { repository, digest } => {
            deletion(call)?;
            blob::delete(call, repository, *digest).await
        }
        Route::StartUpload { repository, start } => upload::start(call, repository, start, body).await,
        Route::UploadStatus { repository, id } => upload::status(call, repository, *id).await,
        Route::AppendUpload { repository, id } => upload::append(call, repository, *id, body).await,
        Route::FinishUpload { repository, id, digest } => {
            upload::finish(call, repository, *id, *digest, body).await
        }
        Route::CancelUpload { repository, id } => upload::cancel(call, repository, *id).await,
        Route::Referrers { repository, subject, artifact_type, last } => {
            referrers::list(call, repository, *subject, artifact_type.as_deref(), *last).await
        }
    }
}

fn deletion(call: &Call<'_>) -> Result<(), ApiError> {
    if call.app.settings.delete_enabled { Ok(()) } else { Err(ApiError::DeleteDisabled) }
}

fn options(allow: &'static str) -> Response<Body> {
    let mut response = empty_response(StatusCode::NO_CONTENT);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// Spec: RFC 9112, section 3.2: a request of HTTP/1.1 names its host once.
fn has_ambiguous_host(parts: &http::request::Parts) -> bool {
    parts.version == http::Version::HTTP_11 && parts.headers.get_all(header::HOST).iter().count() != 1
}

/// For load balancers: no authentication, no body.
fn alive() -> Response<Body> {
    let mut response = empty_response(StatusCode::OK);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What a request comes to.
struct Answer {
    response: Response<Body>,
    /// Who gets it.
    user: Option<String>,
    /// What the log gets to see of a failure of ours, and the client does not.
    error: Option<String>,
}
