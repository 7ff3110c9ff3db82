//! A request from top to bottom: parse, authenticate, authorise, handle, render.

use std::{convert::Infallible, net::IpAddr, pin::Pin, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use registry_auth::{Access, Caller, Decision, Presented};

use crate::{
    access_log::Entry,
    addresses::{Holder, Sharing},
    app::{App, Call},
    body::Body,
    budget::{CountedConnection, Share, Window},
    error::ApiError,
    forwarded,
    handlers::{blob, catalog, manifest, referrers, tags, upload},
    links::{Links, Target},
    metrics::Handler,
    observed::Observed,
    receive::RequestBody,
    request_id::RequestId,
    response::{DOCKER_API_VERSION, Response, X_REQUEST_ID, bytes_response, empty_response},
    route::{Route, RouteError},
    server::Limits,
};

const CONTENT_SECURITY_POLICY: HeaderValue =
    HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// The API as a hyper service, one for each connection.
#[derive(Clone, Debug)]
pub struct Service {
    app: Arc<App>,
    peer: Peer,
    share: Share,
    sharing: Arc<Sharing>,
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
    /// Serves `app` to one peer, with the [`Limits`] that are the default.
    pub fn new(app: Arc<App>, peer: Peer) -> Service {
        let limits = Limits::default();
        let sharing = Sharing::new(&limits, limits.connections_max);
        Service::shared(app, peer, Arc::new(sharing))
    }

    /// Serves `app` to one peer, which shares it with others in this way.
    pub(crate) fn shared(app: Arc<App>, peer: Peer, sharing: Arc<Sharing>) -> Service {
        let share = app.budget.share(holder(&app, &sharing, peer.address));
        Service { app, peer, share, sharing }
    }

    /// Counts the connection, unless its address holds as many as it may.
    pub(crate) fn count(&self) -> Option<CountedConnection> {
        self.app.budget.connection(self.share.holder().cloned())
    }

    /// What the peer may send on an HTTP/2 connection before it is read.
    pub(crate) fn window(&self) -> Window {
        self.share.window()
    }

    /// The share of a request: the connection's, or, if a proxy names its client, that of the connection and the client.
    fn share_of(&self, client: Option<IpAddr>) -> Share {
        if client == self.peer.address.map(|address| address.to_canonical()) {
            return self.share.clone();
        }
        self.share.on_behalf_of(holder(&self.app, &self.sharing, client))
    }

    /// The address of the other end.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer.address
    }

    /// Answers one request. Never fails: what goes wrong is an answer, too. Dropping the future abandons the request,
    /// except that a running upload saves what has arrived.
    pub async fn respond(&self, request: Request<Incoming>) -> Response<Observed> {
        let started = Instant::now();
        let request_id = RequestId::of(request.headers());
        let trusted = &self.app.settings.trusted_proxies;
        let client = forwarded::client(request.headers(), self.peer.address, trusted);
        let mut entry = Entry::begin(&request, client, request_id);
        let (parts, body) = request.into_parts();
        let route = self.parse(&parts.method, &parts.uri);
        let handler = route.as_ref().map_or(Handler::None, Handler::of);
        let in_flight = self.app.metrics.begin(handler);

        let (body, unread) = RequestBody::new(body);
        let Answer { mut response, user, error } = self.answer(&parts, client, route, body).await;
        unread.settle(&parts, response.headers_mut()).await;
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
            return Err(RouteError::Moved { path: "/v2/".to_owned() }.into());
        }
        let unknown = || RouteError::Unknown { path: uri.path().chars().take(128).collect() };
        let below = uri.path_and_query().and_then(|path| path.as_str().strip_prefix(prefix));
        let below = below.filter(|path| path.starts_with('/')).ok_or_else(unknown)?;
        let below = below.parse().map_err(|_| unknown())?;
        Ok(Route::parse(method, &below)?)
    }

    async fn answer(
        &self,
        parts: &Parts,
        client: Option<IpAddr>,
        route: Result<Route, ApiError>,
        body: RequestBody,
    ) -> Answer {
        let app = &self.app;
        let mut user = None;
        let is_refused = app.hosts.check(parts.uri.authority(), &parts.headers);
        let is_refused = is_refused.and_then(|()| app.hosts.check_page(parts, &app.settings.headers));
        let result = match route {
            _ if is_refused.is_err() => is_refused.map(|()| alive(None)),
            _ if !self.app.health.is_serving() => Err(ApiError::Unhealthy),
            // Before any authentication: a browser's preflight can not have any.
            Err(ApiError::Route(RouteError::Method { allow })) if parts.method == Method::OPTIONS => {
                Ok(options(allow))
            }
            Ok(Route::Alive) => Ok(alive(self.links(parts).name())),
            _ if has_ambiguous_host(parts) => Err(ApiError::Host),
            _ if has_ambiguous_body(parts) => Err(ApiError::TransferEncoding),
            Ok(route) => self.handle(parts, client, &route, body, &mut user).await,
            Err(ApiError::Route(RouteError::Moved { path })) => {
                Err(RouteError::Moved { path: self.links(parts).moved(&path) }.into())
            }
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
        self.add_headers(response.headers_mut(), user.is_some());
        Answer { response, user, error }
    }

    async fn handle(
        &self,
        parts: &Parts,
        client: Option<IpAddr>,
        route: &Route,
        body: RequestBody,
        user: &mut Option<String>,
    ) -> Result<Response<Body>, ApiError> {
        let app = &self.app;
        let access = route.required_access();
        let caller = self.authenticate(&parts.headers, client, access.as_ref()).await?;
        if let Caller::User(name) = &caller {
            *user = Some(name.to_string());
        }
        if let Some(access) = &access {
            self.authorise(&caller, access).await?;
        }
        if app.settings.read_only && route.is_write() {
            return Err(ApiError::ReadOnly);
        }
        let share = self.share_of(client);
        let call = Call {
            app,
            caller,
            headers: &parts.headers,
            links: self.links(parts),
            is_head: parts.method == Method::HEAD,
            client,
            share: &share,
        };
        dispatch(&call, route, body).await
    }

    async fn authenticate(
        &self,
        headers: &HeaderMap,
        client: Option<IpAddr>,
        access: Option<&Access>,
    ) -> Result<Caller, ApiError> {
        let authorization = headers.get(header::AUTHORIZATION);
        let presented = Presented::new(authorization).from_address(client);
        let result = self.app.authenticator.authenticate(presented).await;
        if authorization.is_some() {
            self.app.metrics.login(&result);
        }
        result.map_err(|error| {
            let challenge = access.and_then(|access| self.app.authenticator.challenge(access));
            ApiError::authentication(error, challenge, access)
        })
    }

    /// 401 to the anonymous whether or not the repository exists, and to users who may not see it 404 in both cases.
    async fn authorise(&self, caller: &Caller, access: &Access) -> Result<(), ApiError> {
        let visible = match self.app.authorizer.decide(caller, access).await {
            Decision::Allow => return Ok(()),
            Decision::Deny { visible } => visible,
        };
        let challenge = self.app.authenticator.challenge(access);
        match (caller, access) {
            (Caller::Anonymous, _) if challenge.is_some() => {
                Err(ApiError::Unauthenticated { challenge, access: Some(access.clone()) })
            }
            // No credentials would help, so none are asked for.
            (Caller::Anonymous, _) => Err(ApiError::Denied),
            (Caller::User(_), Access::Repository { name, .. }) if !visible => {
                Err(ApiError::RepositoryUnknown { name: name.clone() })
            }
            (Caller::User(_), _) => Err(ApiError::Denied),
        }
    }

    fn links(&self, parts: &Parts) -> Links {
        let target = Target {
            headers: &parts.headers,
            authority: parts.uri.authority(),
            peer: self.peer.address,
            tls: self.peer.tls,
        };
        Links::new(&self.app.settings, &target)
    }

    /// What is pushed is not ours: a browser that is led to it must not run it, nor show it as part of another site.
    fn add_headers(&self, headers: &mut HeaderMap, has_user: bool) {
        headers.insert(DOCKER_API_VERSION, HeaderValue::from_static("registry/2.0"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, SAME_ORIGIN);
        if has_user {
            make_private(headers);
        }
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

/// What an address holds of the budget, if it has a share.
fn holder(app: &App, sharing: &Sharing, address: Option<IpAddr>) -> Option<Arc<Holder>> {
    let address = address?;
    sharing.connections_of(address).map(|connections| app.budget.holder(address, connections))
}

/// Every endpoint on one page. What the caller may do has been decided.
async fn dispatch(call: &Call<'_>, route: &Route, body: RequestBody) -> Result<Response<Body>, ApiError> {
    match route {
        Route::Alive => Ok(alive(call.links.name())),
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

/// What was shown to a user is not for the caches that users share.
fn make_private(headers: &mut HeaderMap) {
    let private = match headers.get(header::CACHE_CONTROL) {
        None => HeaderValue::from_static("private"),
        Some(value) if *value == blob::CACHE_CONTROL => blob::CACHE_CONTROL_PRIVATE,
        Some(_) => return,
    };
    headers.insert(header::CACHE_CONTROL, private);
}

fn options(allow: &'static str) -> Response<Body> {
    let mut response = empty_response(StatusCode::NO_CONTENT);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// Spec: RFC 9112, section 3.2: a request of HTTP/1.1 names its host once. An empty name is one that something in front may
/// read otherwise.
fn has_ambiguous_host(parts: &Parts) -> bool {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let is_named = hosts.next().is_some_and(|host| !host.is_empty());
    parts.version == http::Version::HTTP_11 && (!is_named || hosts.next().is_some())
}

/// Spec: RFC 9112, section 6.1: a body is chunked once, and what is chunked has no other coding here. Hyper takes a coding
/// that is repeated.
fn has_ambiguous_body(parts: &Parts) -> bool {
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    codings.next().is_some_and(|coding| !is_chunked(coding)) || codings.next().is_some()
}

/// For load balancers, without authentication; and a sentence for people, who come here first.
fn alive(name: Option<&str>) -> Response<Body> {
    let name = name.unwrap_or("<this host>");
    let text = format!(
        "This is a container registry, and it runs.\n\n\
         Push an image:  docker tag hello-world {name}/hello-world && docker push {name}/hello-world\n\
         Pull it again:  docker pull {name}/hello-world\n"
    );
    let mut response = bytes_response(StatusCode::OK, "text/plain; charset=utf-8", text);
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
