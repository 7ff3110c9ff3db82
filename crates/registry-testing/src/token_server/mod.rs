//! A server of tokens, as the Docker token specification has it: small, and with everything that clients rely on.
//!
//! `GET` with a password as `Basic` or without one, `POST` with a password or a refresh token. Several scopes, in one parameter or in
//! many; `*` is spelled out. An answer has both fields of the token and how long it is good, and not when it began: clients would
//! compare that with a clock of their own.

mod asked;
mod users;

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use self::asked::{Asked, By};
pub use self::users::{Right, User, Users};
use crate::tokens::{KeyKind, SigningKey, now_secs};

/// The longest form that is read.
const FORM_BYTES_MAX: usize = 64 << 10;

/// The most refresh tokens that are remembered; the oldest is forgotten.
const REFRESH_TOKENS_MAX: usize = 1000;

const KEY_ID: &str = "token-server";

/// What tokens say, and which users get them.
#[derive(Debug)]
pub struct TokenServerOptions {
    /// The issuer of the tokens.
    pub issuer: String,
    /// The registry's name, which clients must ask for, and which is the audience.
    pub service: String,
    /// What each user may do.
    pub users: Users,
    /// For how many seconds a client is told that a token is good.
    pub expires_in: i64,
    /// After how many seconds a token ends. It may be less than none, for a registry that forgives a minute.
    pub ends_in: i64,
}

/// A server of tokens.
#[derive(Debug)]
pub struct TokenServer {
    options: TokenServerOptions,
    key: SigningKey,
    /// Refresh tokens and whose they are, oldest first.
    refresh: Mutex<Vec<(String, String)>>,
    log: fn(&Value),
}

/// Why there is no token: a status, and what the client is told.
type Refusal = (StatusCode, &'static str);

impl TokenServer {
    /// With a new key. `log` is told of each request, without secrets: method, client, status; and of each that is not refused at
    /// once: user, whether a refresh token is wanted, what is asked for, what is allowed.
    pub fn new(options: TokenServerOptions, log: fn(&Value)) -> TokenServer {
        TokenServer { options, key: SigningKey::new(KeyKind::P256), refresh: Mutex::default(), log }
    }

    /// The set of keys by which a registry checks the tokens.
    pub fn jwks(&self) -> String {
        json!({"keys": [self.key.jwk(KEY_ID)]}).to_string()
    }

    /// Serves the connections of a listener, over TLS with the certificates and the key of these PEM texts.
    ///
    /// # Panics
    /// If they cannot be used.
    pub async fn serve(self, listener: TcpListener, certificate_pem: &[u8], key_pem: &[u8]) {
        let (server, acceptor) = (Arc::new(self), acceptor(certificate_pem, key_pem));
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(Arc::clone(&server), stream, acceptor.clone()));
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let mut line = json!({"method": head.method.as_str(), "client": user_agent(&head.headers)});
        let response = match self.token(&head, body, &mut line).await {
            Ok(answer) => json_response(StatusCode::OK, &answer),
            Err((status, message)) => refused(status, message),
        };
        line["status"] = json!(response.status().as_u16());
        (self.log)(&line);
        response
    }

    async fn token(&self, head: &Parts, body: Incoming, line: &mut Value) -> Result<Value, Refusal> {
        let form = Limited::new(body, FORM_BYTES_MAX).collect().await;
        let form = form.map_err(|_| (StatusCode::BAD_REQUEST, "the form cannot be read"))?.to_bytes();
        let pairs = match head.method {
            Method::POST => &form[..],
            _ => head.uri.query().unwrap_or_default().as_bytes(),
        };
        let asked = Asked::of(&head.method, &head.headers, pairs)?;
        if asked.service.as_ref() != Some(&self.options.service) {
            return Err((StatusCode::BAD_REQUEST, "no such service"));
        }
        let user = self.user(&asked.by)?;
        line["user"] = json!(user);
        line["offline"] = json!(asked.is_offline);
        let access: Vec<Value> = asked.scopes.iter().filter_map(|scope| self.access(&user, scope)).collect();
        line["asked"] = asked
            .scopes
            .iter()
            .map(|scope| json!({"type": scope.kind, "name": scope.name, "actions": scope.actions}))
            .collect();
        line["allowed"] = json!(access);
        let token = self.sign(&user, &access);
        let mut answer =
            json!({"token": token, "access_token": token, "expires_in": self.options.expires_in});
        if asked.is_offline && !user.is_empty() {
            answer["refresh_token"] = json!(self.refresh_token(user));
        }
        Ok(answer)
    }

    /// The user's name; it is empty for a client that says none. A wrong password is refused, and never makes a client anonymous:
    /// a login with it would succeed.
    fn user(&self, by: &By) -> Result<String, Refusal> {
        let name = match by {
            By::Nothing => Some(String::new()),
            By::Password { user, password } => {
                let known = self.options.users.get(user).and_then(|user| user.password.as_ref());
                (known == Some(password)).then(|| user.clone())
            }
            By::Refresh(token) => {
                let known = self.refresh.lock();
                known.iter().find(|(known, _)| known == token).map(|(_, user)| user.clone())
            }
        };
        name.ok_or((StatusCode::UNAUTHORIZED, "wrong user name or password"))
    }

    fn access(&self, user: &str, scope: &asked::Scope) -> Option<Value> {
        let actions = users::allowed(&self.options.users, user, scope);
        (!actions.is_empty()).then(|| json!({"type": scope.kind, "name": scope.name, "actions": actions}))
    }

    fn sign(&self, user: &str, access: &[Value]) -> String {
        let (head, now) = (json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID}), now_secs());
        self.key.token(
            &head,
            &json!({
                "iss": self.options.issuer, "sub": user, "aud": self.options.service, "nbf": now - 10, "iat": now,
                "exp": now + self.options.ends_in, "jti": random_text(), "access": access,
            }),
        )
    }

    fn refresh_token(&self, user: String) -> String {
        let (mut known, token) = (self.refresh.lock(), random_text());
        if known.len() == REFRESH_TOKENS_MAX {
            known.remove(0);
        }
        known.push((token.clone(), user));
        token
    }
}

async fn connection(server: Arc<TokenServer>, stream: TcpStream, acceptor: TlsAcceptor) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    // The client may go away whenever it likes.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn acceptor(certificate_pem: &[u8], key_pem: &[u8]) -> TlsAcceptor {
    let certificates = CertificateDer::pem_slice_iter(certificate_pem).collect::<Result<_, _>>();
    let certificates = certificates.expect("the PEM text is well-formed");
    let key = PrivateKeyDer::from_pem_slice(key_pem).expect("the PEM text holds a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("certificate and key belong together");
    TlsAcceptor::from(Arc::new(config))
}

fn random_text() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn user_agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn refused(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json_response(status, &json!({"errors": [{"code": "UNAUTHORIZED", "message": message}]}))
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
