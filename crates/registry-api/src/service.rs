//! A request from top to bottom: parse, authenticate, authorise, handle, render.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header, request::Parts};
use registry_auth::{Access, ActionSet, Caller, Decision, Presented, Who, Why, decide};
use registry_metadata::MetadataError;
use registry_server::{Body, Context, Endpoint, Refused, Reply, ServerBody};

use crate::{
    app::{App, Call},
    error::ApiError,
    handlers::{blob, catalog, manifest, referrers, tags, upload},
    links::{Links, Target},
    origin::Located,
    query::Query,
    response::{DOCKER_API_VERSION, Response, bytes_response, empty_response},
    route::{Route, RouteError},
};

const CONTENT_SECURITY_POLICY: HeaderValue =
    HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// The API, as an endpoint of a server.
#[derive(Clone, Debug)]
pub struct Api {
    app: Arc<App>,
}

impl Endpoint for Api {
    fn respond<'a>(&'a self, request: Request<ServerBody>, context: &'a Context) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let route = Route::parse(&parts.method, &parts.uri).map_err(ApiError::from);
            if let Ok(route) = &route {
                context.set_route(route.info().label);
            }
            let mut user = None;
            let result = self.answer(&parts, context, route, body, &mut user).await;
            let (mut response, cause) = match result {
                Ok(response) => (response, None),
                Err(error) => {
                    let cause = error.for_the_log();
                    (error.into_response(), cause)
                }
            };
            self.add_headers(response.headers_mut(), user.is_some());
            Reply { response, user, cause }
        })
    }

    fn refuse(&self, _: &Parts, refused: Refused) -> Response<Body> {
        let mut response = ApiError::from(refused).into_response();
        self.add_headers(response.headers_mut(), false);
        response
    }
}

impl Api {
    /// Answers from these parts.
    pub fn new(app: Arc<App>) -> Api {
        Api { app }
    }

    async fn answer(
        &self,
        parts: &Parts,
        context: &Context,
        route: Result<Route, ApiError>,
        body: ServerBody,
        user: &mut Option<String>,
    ) -> Result<Response<Body>, ApiError> {
        match route {
            // Before any authentication: a browser's preflight can not have any.
            Err(ApiError::Route(RouteError::Method { allow })) if parts.method == Method::OPTIONS => {
                context.admit(None)?;
                Ok(options(allow))
            }
            // Balancers ask whether the node is there as often as they like.
            Ok(Route::Alive) => Ok(alive(self.links(parts, context).name())),
            Ok(mut route) => {
                let is_mirrored = self.locate(parts, context, &mut route).await?;
                self.handle(parts, context, &route, is_mirrored, body, user).await
            }
            Err(ApiError::Route(RouteError::Moved { path })) => {
                Err(RouteError::Moved { path: self.links(parts, context).moved(&path) }.into())
            }
            Err(error) => {
                context.admit(None)?;
                Err(error)
            }
        }
    }

    /// Puts the name of what a request means in the place of the one that it says, where other registries are mirrored. Answers whether
    /// it means one of theirs.
    async fn locate(&self, parts: &Parts, context: &Context, route: &mut Route) -> Result<bool, ApiError> {
        let Some(origin) = &self.app.origin else { return Ok(false) };
        let Some(repository) = route.repository_mut() else { return Ok(false) };
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        match origin.locate(repository, query.first("ns")).await {
            Ok(Located::Hosted) => Ok(false),
            Ok(Located::Mirrored(name)) => {
                *repository = name;
                Ok(true)
            }
            Err(error) => {
                context.admit(None)?;
                Err(error.into())
            }
        }
    }

    async fn handle(
        &self,
        parts: &Parts,
        context: &Context,
        route: &Route,
        is_mirrored: bool,
        body: ServerBody,
        user: &mut Option<String>,
    ) -> Result<Response<Body>, ApiError> {
        let app = &self.app;
        let access = route.required_access();
        let caller = match self.authenticate(parts, context, access.as_ref()).await {
            Ok(caller) => caller,
            Err(error) => {
                context.admit(None)?;
                return Err(error);
            }
        };
        if caller.is_authenticated() {
            *user = Some(caller.to_string());
        }
        context.admit(user.as_deref())?;
        let allowed = match &access {
            Some(access) => self.authorise(parts, context, &caller, access).await?,
            None => ActionSet::NONE,
        };
        if is_mirrored && route.info().is_write {
            return Err(ApiError::Mirrored);
        }
        if app.settings.read_only && route.info().is_write {
            return Err(ApiError::ReadOnly);
        }
        let call = Call {
            app,
            caller,
            allowed,
            headers: &parts.headers,
            target: target(parts, context),
            is_head: parts.method == Method::HEAD,
            client: context.client,
            request_id: context.request_id(),
            method: &parts.method,
            share: &context.share,
            origin: app.origin.as_deref().filter(|_| is_mirrored),
        };
        dispatch(&call, route, body).await
    }

    async fn authenticate(
        &self,
        parts: &Parts,
        context: &Context,
        access: Option<&Access>,
    ) -> Result<Caller, ApiError> {
        let authorization = parts.headers.get(header::AUTHORIZATION);
        let peer = &context.peer;
        let presented = Presented::new(authorization).from_address(context.client);
        let presented = presented.over(peer.address, peer.certificate.as_deref());
        let result = self.app.authenticator.authenticate(presented).await;
        if authorization.is_some() {
            self.app.metrics.login(&result);
        }
        result.map_err(|error| {
            let challenge =
                access.and_then(|access| self.challenge(parts, context, access, Why::InvalidCredentials));
            ApiError::authentication(error, challenge, access)
        })
    }

    /// All that the caller may do to the repository in question. 401 to the anonymous whether or not the repository exists, and
    /// 404 to users that may not see it, in both cases; 401 for a token that does not name it.
    async fn authorise(
        &self,
        parts: &Parts,
        context: &Context,
        caller: &Caller,
        access: &Access,
    ) -> Result<ActionSet, ApiError> {
        let visible = match decide(self.app.authorizer.as_ref(), caller, access).await {
            Decision::Allow { actions } => return Ok(actions),
            Decision::Insufficient => {
                let challenge = self.challenge(parts, context, access, Why::InsufficientScope);
                return Err(ApiError::InsufficientScope { challenge, access: Some(access.clone()) });
            }
            Decision::Deny { visible } => visible,
        };
        if caller.who == Who::Anonymous {
            return Err(match self.challenge(parts, context, access, Why::NoCredentials) {
                None => ApiError::Denied,
                challenge => ApiError::Unauthenticated { challenge, access: Some(access.clone()) },
            });
        }
        match access {
            Access::Repository { name, .. } if !visible => {
                Err(MetadataError::RepositoryUnknown { name: name.clone() }.into())
            }
            _ => Err(ApiError::Denied),
        }
    }

    /// What `WWW-Authenticate` says; nothing if no credentials would help.
    fn challenge(&self, parts: &Parts, context: &Context, access: &Access, why: Why) -> Option<HeaderValue> {
        let origin = Links::origin(&self.app.settings, &target(parts, context));
        let refused = registry_auth::Refused::new(access, why).under(origin.as_deref());
        self.app.authenticator.challenge(&refused)
    }

    fn links(&self, parts: &Parts, context: &Context) -> Links {
        Links::new(&self.app.settings, &target(parts, context))
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

/// Where the client found the registry.
fn target<'a>(parts: &'a Parts, context: &'a Context) -> Target<'a> {
    Target {
        prefix: context.prefix(),
        headers: &parts.headers,
        authority: parts.uri.authority(),
        peer: context.peer.address,
        tls: context.peer.tls,
    }
}

/// Every endpoint on one page. What the caller may do has been decided. What takes bytes is in a box of its own, so that the
/// future of a pull, of which there are many more, has no room for it.
async fn dispatch(call: &Call<'_>, route: &Route, body: ServerBody) -> Result<Response<Body>, ApiError> {
    match route {
        Route::Alive => Ok(alive(call.links().name())),
        Route::Version => Ok(bytes_response(StatusCode::OK, "application/json", "{}")),
        Route::Catalog { page } => catalog::list(call, page).await,
        Route::Tags { repository, page } => tags::list(call, repository, page).await,
        Route::GetManifest { repository, reference } => manifest::get(call, repository, reference).await,
        Route::PutManifest { repository, reference, tags } => {
            Box::pin(manifest::put(call, repository, reference, tags, body)).await
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
        Route::StartUpload { repository, start } => {
            Box::pin(upload::start(call, repository, start, body)).await
        }
        Route::UploadStatus { repository, id } => upload::status(call, repository, *id).await,
        Route::AppendUpload { repository, id } => Box::pin(upload::append(call, repository, *id, body)).await,
        Route::FinishUpload { repository, id, digest } => {
            Box::pin(upload::finish(call, repository, *id, *digest, body)).await
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

#[cfg(test)]
mod tests;
