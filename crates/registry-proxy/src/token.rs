//! Tokens of upstreams' token servers.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use registry_outbound::{Ask, Client, Destination};
use serde::Deserialize;

use crate::{credentials::Login, error::UpstreamError};

/// How many tokens are remembered of an upstream.
const TOKENS_MAX: usize = 10_000;

/// How long the mirror uses a token, if the token server does not say how long it is good. Spec: Docker's token authentication.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);

/// So long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// How long a token server may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The longest answer of a token server, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The tokens of an upstream, by repository.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<Arc<str>, Remembered>>);

#[derive(Debug)]
struct Remembered {
    authorization: HeaderValue,
    until: Instant,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// What a token is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) realm: &'a str,
    pub(crate) service: Option<&'a str>,
    pub(crate) repository: &'a str,
    /// What the token server is shown.
    pub(crate) login: Option<&'a Login>,
}

/// For how long a token is remembered at most, whatever its server says.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Tokens {
    /// What `Authorization` says for a repository, if it is known.
    pub(crate) fn get(&self, repository: &str) -> Option<HeaderValue> {
        let tokens = self.0.lock();
        let remembered = tokens.get(repository).filter(|remembered| remembered.until > Instant::now())?;
        Some(remembered.authorization.clone())
    }

    pub(crate) fn forget(&self, repository: &str) {
        self.0.lock().remove(repository);
    }

    /// Remembers what `Authorization` says for a repository.
    pub(crate) fn put(&self, repository: &str, authorization: HeaderValue, lifetime: Duration) {
        let (mut tokens, now) = (self.0.lock(), Instant::now());
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_, remembered| remembered.until > now);
        }
        if tokens.len() < TOKENS_MAX {
            tokens.insert(
                repository.into(),
                Remembered { authorization, until: now + lifetime.min(LIFETIME_MAX) },
            );
        }
    }
}

/// `Authorization: Basic`.
pub(crate) fn basic(username: &str, password: &str) -> Result<HeaderValue, UpstreamError> {
    sensitive(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
}

fn sensitive(text: String) -> Result<HeaderValue, UpstreamError> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from(text))
        .map_err(|_| UpstreamError::Unusable("the token can not stand in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Asks a token server. Answers what `Authorization` says, and for how long.
pub(crate) async fn fetch(
    client: &Client,
    wanted: &Wanted<'_>,
) -> Result<(HeaderValue, Duration), UpstreamError> {
    let answer = client.send(ask(wanted)?).await?;
    match answer.status.as_u16() {
        200 => {}
        401 | 403 => return Err(UpstreamError::Denied),
        status => return Err(UpstreamError::Status { status }),
    }
    let unusable = || UpstreamError::Unusable("the token server gave no token".to_owned());
    let parsed: Answer = serde_json::from_slice(&answer.body).map_err(|_| unusable())?;
    let token =
        parsed.token.or(parsed.access_token).filter(|token| !token.is_empty()).ok_or_else(unusable)?;
    let lifetime = parsed.expires_in.map_or(LIFETIME_DEFAULT, Duration::from_secs).saturating_sub(MARGIN);
    Ok((sensitive(format!("Bearer {token}"))?, lifetime))
}

/// `GET` with a user and a password or with neither, `POST` with an identity token.
fn ask(wanted: &Wanted<'_>) -> Result<Ask, UpstreamError> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut parameters = format!("scope={}", encoded(&format!("repository:{}:pull", wanted.repository)));
    if let Some(service) = wanted.service {
        parameters.push_str(&format!("&service={}", encoded(service)));
    }
    let mut headers = HeaderMap::new();
    let (method, url, body) = match wanted.login {
        Some(Login::Token(token)) => {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, kind);
            let grant =
                format!("grant_type=refresh_token&client_id=registry&refresh_token={}", encoded(token));
            (Method::POST, wanted.realm.to_owned(), format!("{grant}&{parameters}"))
        }
        login => {
            if let Some(Login::Password { username, password }) = login {
                headers.insert(header::AUTHORIZATION, basic(username, password)?);
            }
            let mark = if wanted.realm.contains('?') { '&' } else { '?' };
            (Method::GET, format!("{}{mark}{parameters}", wanted.realm), String::new())
        }
    };
    let url: Destination = url.parse()?;
    Ok(Ask { method, url, headers, body: body.into(), within: TIMEOUT, answer_bytes_max: ANSWER_BYTES_MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_server_can_not_make_a_token_last_for_ever() {
        let tokens = Tokens::default();
        let authorization = basic("ada", "secret").unwrap();
        tokens.put("library/alpine", authorization.clone(), Duration::MAX);
        assert_eq!(tokens.get("library/alpine"), Some(authorization));
        let until = tokens.0.lock()["library/alpine"].until;
        assert!(until <= Instant::now() + LIFETIME_MAX);
        tokens.forget("library/alpine");
        assert_eq!(tokens.get("library/alpine"), None);
    }
}
