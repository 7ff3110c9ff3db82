//! Tokens of another server, as the Go registry's `auth.token` takes them.
//!
//! | Module | What |
//! |---|---|
//! | `trusted` | the keys that an operator trusts, and which of them a token names |
//! | `jws` | the form of a token |
//! | `keys`, `jwk` | public keys and their ids |
//! | `crypto`, `p521` | signatures |
//! | `claims` | what a token says |
//! | `refusals` | what the log says of tokens that are refused |

mod claims;
mod crypto;
mod error;
mod jwk;
mod jws;
mod keys;
mod p521;
mod refusals;
mod trusted;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use http::HeaderValue;
use parking_lot::{Mutex, RwLock};
use registry_types::SigningAlgorithm;

pub use error::TokenError;
pub use trusted::TRUST_BYTES_MAX;

use crate::access::Access;
use crate::authenticator::{AuthenticationError, Authenticator, Refused, Why};
use crate::caller::Caller;
use crate::credentials::CREDENTIALS_BYTES_MAX;
use crate::logins::{Key, Memory, Secret};
use crate::presented::Presented;
use claims::Claims;
use error::Refusal;
use jws::Jws;
use refusals::Refusals;
use trusted::Trusted;

/// How far the clock of the token's server may be from ours, in seconds: that of the Go registry.
const LEEWAY_SECS: i64 = 60;

/// How many verified tokens are remembered, of at most how many bytes, and for how long.
const REMEMBERED_MAX: usize = 4096;
const REMEMBERED_BYTES_MAX: usize = 4096;
const REMEMBERED: Duration = Duration::from_secs(3600);

/// The server whose tokens count, and where clients find it.
#[derive(Clone, Debug)]
pub struct TokenOptions {
    /// The URL at which clients ask for a token.
    pub realm: String,
    /// The name of this registry there, which a token must have among its audience.
    pub service: String,
    /// The issuer that a token must name.
    pub issuer: String,
    /// A bundle of certificates: authorities of chains in tokens, and keys of tokens.
    pub root_certificates: Option<PathBuf>,
    /// A set of JSON web keys.
    pub jwks: Option<PathBuf>,
    /// The algorithms by which tokens may be signed.
    pub algorithms: Vec<SigningAlgorithm>,
    /// The path of the realm on the host that the client asked, instead of `realm`.
    pub auto_redirect: Option<String>,
}

/// Takes the tokens of a server, which say who the caller is and what it may use. It holds no users.
///
/// - A token is a signed JWT whose key is trusted, whose issuer and audience are the configured ones, and whose time it is, give
///   or take a minute. What it allows is what it says: a caller may use nothing else.
/// - A caller without a token is anonymous, and may be allowed nothing; so is one with a password, which is for the server.
/// - A verified token is remembered by a keyed hash until its end, for an hour at most.
pub struct Tokens {
    options: TokenOptions,
    trusted: RwLock<Arc<Trusted>>,
    secret: Secret,
    verified: Mutex<Memory<Key, Arc<Verified>>>,
    refusals: Refusals,
}

/// A token that was found to be good.
struct Verified {
    caller: Caller,
    /// In seconds since 1970.
    expires: i64,
}

impl Tokens {
    /// Reads the keys.
    ///
    /// # Errors
    /// A file cannot be read, or there is no key in them; realm or service cannot be sent to clients.
    pub fn open(options: TokenOptions) -> Result<Tokens, TokenError> {
        for text in [&options.realm, &options.service] {
            HeaderValue::from_str(text).map_err(|_| TokenError::Header { text: text.clone() })?;
        }
        Ok(Tokens {
            trusted: RwLock::new(read(&options)?.into()),
            options,
            secret: Secret::new().map_err(|source| TokenError::Randomness { source })?,
            verified: Mutex::new(Memory::new(REMEMBERED, REMEMBERED_MAX)),
            refusals: Refusals::default(),
        })
    }

    /// Reads the keys again: those that are gone count no more, also for tokens that were verified by them. If they cannot be
    /// read, they stay as they were, and the log says why. Blocks.
    pub fn reload(&self) {
        match read(&self.options) {
            Ok(trusted) => {
                let mut current = self.trusted.write();
                *current = trusted.into();
                *self.verified.lock() = Memory::new(REMEMBERED, REMEMBERED_MAX);
            }
            Err(error) => tracing::error!("{}; the keys stay as they were", with_cause(&error)),
        }
    }

    /// Logs it if the keys can not be read any more, since the process gave up rights: later ones will not count.
    pub fn look_again(&self) {
        if let Err(error) = read(&self.options) {
            tracing::warn!("later keys of tokens will not count: {}", with_cause(&error));
        }
    }

    fn check(&self, token: &str) -> Result<Caller, Refusal> {
        if token.len() > CREDENTIALS_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let key = self.secret.key(&[token.as_bytes()]);
        let known = self.verified.lock().get(&key, Instant::now());
        if let Some(verified) = known
            && !is_over(verified.expires)
        {
            return Ok(verified.caller.clone());
        }
        // What is verified by keys that are replaced meanwhile must not be remembered after them.
        let trusted = Arc::clone(&self.trusted.read());
        let claims = self.verify(token, &trusted)?;
        let (expires, caller) = (claims.exp, claims.caller()?);
        if token.len() <= REMEMBERED_BYTES_MAX {
            let verified = Verified { caller: caller.clone(), expires };
            let current = self.trusted.read();
            if Arc::ptr_eq(&current, &trusted) {
                self.verified.lock().insert(key, Arc::new(verified), Instant::now());
            }
        }
        Ok(caller)
    }

    fn verify(&self, token: &str, trusted: &Trusted) -> Result<Claims, Refusal> {
        let jws = Jws::parse(token)?;
        let algorithm = self.algorithm(&jws.head.alg)?;
        if !trusted.key(&jws.head)?.has_signed(algorithm, jws.signed, &jws.signature) {
            return Err(Refusal::Signature);
        }
        Claims::judged(&jws.claims, &self.options.issuer, &self.options.service, now_secs(), LEEWAY_SECS)
    }

    fn algorithm(&self, name: &str) -> Result<SigningAlgorithm, Refusal> {
        let known = SigningAlgorithm::named(name).filter(|known| self.options.algorithms.contains(known));
        known.ok_or_else(|| Refusal::Algorithm(name.to_owned()))
    }

    /// The URL at which clients ask for a token.
    fn realm(&self, origin: Option<&str>) -> String {
        match (&self.options.auto_redirect, origin) {
            (Some(path), Some(origin)) => format!("{origin}{path}"),
            _ => self.options.realm.clone(),
        }
    }
}

fn read(options: &TokenOptions) -> Result<Trusted, TokenError> {
    Trusted::read(options.root_certificates.as_deref(), options.jwks.as_deref())
}

fn with_cause(error: &TokenError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Whether a token has ended that ends at this second.
fn is_over(expires: i64) -> bool {
    now_secs().saturating_sub(LEEWAY_SECS) > expires
}

/// Seconds since 1970.
fn now_secs() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(now).unwrap_or(i64::MAX)
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, presented: Presented<'_>) -> Result<Caller, AuthenticationError> {
        // Another scheme than Bearer is no token, whatever it is.
        let Some(token) = presented.authorization.and_then(bearer) else { return Ok(Caller::anonymous()) };
        self.check(token).map_err(|refusal| {
            self.refusals.note(&refusal);
            AuthenticationError::InvalidToken
        })
    }

    /// Spec: RFC 6750, section 3, and the token specification of the distribution project.
    fn challenge(&self, refused: &Refused<'_>) -> Option<HeaderValue> {
        let realm = quoted(&self.realm(refused.origin));
        let mut text = format!("Bearer realm={realm},service={}", quoted(&self.options.service));
        if let Some(scope) = scope(refused.access) {
            text.push_str(&format!(",scope={}", quoted(&scope)));
        }
        match refused.why {
            Why::NoCredentials => {}
            Why::InvalidCredentials => text.push_str(",error=\"invalid_token\""),
            Why::InsufficientScope => text.push_str(",error=\"insufficient_scope\""),
        }
        HeaderValue::from_str(&text).ok()
    }
}

/// The token of a header of the scheme Bearer.
fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

/// What a client asks a token's server for. Of moving tags no such server knows: `push` says it.
fn scope(access: &Access) -> Option<String> {
    match access {
        Access::Base => None,
        Access::Catalog => Some("registry:catalog:*".to_owned()),
        Access::Repository { name, actions, source } => {
            let mut scope = format!("repository:{name}:{}", actions.words().join(","));
            if let Some(source) = source {
                scope.push_str(&format!(" repository:{source}:pull"));
            }
            Some(scope)
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("options", &self.options).finish_non_exhaustive()
    }
}
