//! Asking an upstream: where it sends to, what it wants to be shown, and when it wants to be left alone.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, header};
use parking_lot::Mutex;
use registry_outbound::{AnswerBody, Ask, Client, Destination, Opened, Outbound};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    UpstreamOptions,
    challenge::{Challenge, is_of_same_owner},
    error::UpstreamError,
    metrics::Metrics,
    token::{self, Tokens, Wanted},
};

/// How long an upstream may take until the head of an answer is there.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the bytes of an answer may pause.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many redirects are followed in a row.
const REDIRECTS_MAX: usize = 5;

/// How long an upstream is left alone to which no connection came about.
const DOWN_FOR: Duration = Duration::from_secs(5);

/// How long an upstream is left alone that does not say it, and at most where it does.
const LIMITED_FOR: Duration = Duration::from_secs(30);
const LIMITED_FOR_MAX: Duration = Duration::from_secs(60 * 60);

/// How long a request waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(20);

/// How long a user and a password are shown without being asked for again.
const BASIC_FOR: Duration = Duration::from_secs(5 * 60);

/// A registry that is mirrored.
#[derive(Debug)]
pub(crate) struct Upstream {
    options: UpstreamOptions,
    outbound: Outbound,
    is_offline: bool,
    /// Bodies of blobs.
    running: Arc<Semaphore>,
    /// Everything else.
    asking: Arc<Semaphore>,
    tokens: Tokens,
    standing: Mutex<Standing>,
    pub(crate) metrics: Metrics,
}

/// What is remembered of the upstream's answers.
#[derive(Debug, Default)]
struct Standing {
    limited_until: Option<Instant>,
    down_until: Option<Instant>,
    /// When it last gave what it was asked for.
    well_at: Option<Instant>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    /// The repository's name upstream.
    pub(crate) repository: &'a str,
    /// What comes after it: `manifests/latest`.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// An answer with what was asked for.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: AnswerBody,
    /// The request counts as running until its body is read or given up.
    _running: OwnedSemaphorePermit,
}

impl Reply {
    /// The next bytes; an error if none come for [`IDLE_TIMEOUT`].
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let idle = |_| UpstreamError::Idle { secs: IDLE_TIMEOUT.as_secs() };
        Ok(tokio::time::timeout(IDLE_TIMEOUT, self.body.chunk()).await.map_err(idle)??)
    }

    /// All of the body.
    pub(crate) async fn read(mut self, bytes_max: usize) -> Result<Bytes, UpstreamError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > bytes_max {
                return Err(UpstreamError::Unusable(format!("the answer has more than {bytes_max} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// How long the body is.
    pub(crate) fn length(&self) -> Option<u64> {
        self.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}

impl Upstream {
    pub(crate) fn new(
        options: UpstreamOptions,
        outbound: Outbound,
        is_offline: bool,
        metrics: Metrics,
    ) -> Upstream {
        let running = Arc::new(Semaphore::new(options.concurrency.max(1)));
        let asking = Arc::new(Semaphore::new(options.concurrency.max(1)));
        let (tokens, standing) = (Tokens::default(), Mutex::default());
        Upstream { options, outbound, is_offline, running, asking, tokens, standing, metrics }
    }

    pub(crate) fn name(&self) -> &str {
        &self.options.name
    }

    /// Whether a repository may be asked for.
    pub(crate) fn allows(&self, repository: &str) -> bool {
        let is_in =
            |patterns: &[registry_types::Pattern]| patterns.iter().any(|pattern| pattern.matches(repository));
        (self.options.allow.is_empty() || is_in(&self.options.allow)) && !is_in(&self.options.deny)
    }

    /// Whether it gave something that was asked for since then.
    pub(crate) fn was_well_since(&self, since: Instant) -> bool {
        self.standing.lock().well_at.is_some_and(|at| at > since)
    }

    /// Asks. Nothing is an answer too: the upstream has no such thing.
    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Option<Reply>, UpstreamError> {
        self.may_ask()?;
        let running = self.turn(question).await?;
        // It may have asked for a pause while this waited.
        self.may_ask()?;
        let opened = self.ask_with_token(question).await;
        self.note(&opened);
        let Opened { status, headers, body, .. } = opened?;
        match status.as_u16() {
            200..=299 => Ok(Some(Reply { status: status.as_u16(), headers, body, _running: running })),
            404 => Ok(None),
            401 | 403 => Err(UpstreamError::Denied),
            429 => Err(UpstreamError::Limited { retry_after_secs: self.limited_secs().unwrap_or(1) }),
            status => Err(UpstreamError::Status { status }),
        }
    }

    /// Waits until this may be asked, for a while: what is here is served instead. Bodies of blobs run at the pace of the clients that take them, so that
    /// nothing else waits for their turns.
    async fn turn(&self, question: &Question<'_>) -> Result<OwnedSemaphorePermit, UpstreamError> {
        let is_body = question.method == Method::GET && question.path.starts_with("blobs/");
        let turns = if is_body { &self.running } else { &self.asking };
        let turn = tokio::time::timeout(TURN_WITHIN, turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| UpstreamError::Limited { retry_after_secs: 1 })?;
        turn.map_err(|_| UpstreamError::Offline)
    }

    fn may_ask(&self) -> Result<(), UpstreamError> {
        if self.is_offline {
            return Err(UpstreamError::Offline);
        }
        if let Some(retry_after_secs) = self.limited_secs() {
            return Err(UpstreamError::Limited { retry_after_secs });
        }
        match self.standing.lock().down_until.filter(|until| *until > Instant::now()) {
            Some(_) => Err(UpstreamError::Status { status: 0 }),
            None => Ok(()),
        }
    }

    fn limited_secs(&self) -> Option<u64> {
        let until = self.standing.lock().limited_until?;
        let left = until.checked_duration_since(Instant::now())?;
        Some(left.as_secs().max(1))
    }

    /// Remembers what an answer says of the upstream as a whole.
    fn note(&self, opened: &Result<Opened, UpstreamError>) {
        let mut standing = self.standing.lock();
        let now = Instant::now();
        match opened {
            Ok(Opened { status, headers, .. }) => {
                self.metrics.asked(self.name(), status.as_u16());
                if let Some(pulls) = remaining(headers) {
                    self.metrics.remaining(self.name(), pulls);
                }
                if status.as_u16() == 429 {
                    standing.limited_until = Some(now + retry_after(headers).unwrap_or(LIMITED_FOR));
                }
                if status.is_success() {
                    standing.well_at = Some(now);
                }
            }
            Err(UpstreamError::Outbound(_)) => {
                self.metrics.asked(self.name(), 0);
                standing.down_until = Some(now + DOWN_FOR);
            }
            Err(_) => self.metrics.asked(self.name(), 0),
        }
    }

    async fn ask_with_token(&self, question: &Question<'_>) -> Result<Opened, UpstreamError> {
        let known = self.tokens.get(question.repository);
        let opened = self.follow(question, known).await?;
        let Some(challenge) = Some(&opened)
            .filter(|opened| opened.status.as_u16() == 401)
            .and_then(|o| Challenge::of(&o.headers))
        else {
            return Ok(opened);
        };
        self.tokens.forget(question.repository);
        match self.authorization(&challenge, question.repository, opened.is_public).await? {
            Some((authorization, lifetime)) => {
                self.tokens.put(question.repository, authorization.clone(), lifetime);
                self.follow(question, Some(authorization)).await
            }
            None => Ok(opened),
        }
    }

    /// What meets a challenge. A token server of another owner is asked without credentials.
    async fn authorization(
        &self,
        challenge: &Challenge,
        repository: &str,
        is_public: bool,
    ) -> Result<Option<(HeaderValue, Duration)>, UpstreamError> {
        let url = &self.options.url;
        let login = self.options.credentials.login(url.as_str().trim_end_matches('/')).await?;
        match challenge {
            Challenge::Basic => match login {
                Some(crate::credentials::Login::Password { username, password }) => {
                    Ok(Some((token::basic(&username, &password)?, BASIC_FOR)))
                }
                _ => Ok(None),
            },
            Challenge::Bearer { realm, service } => {
                let server: Destination = realm.parse()?;
                let is_ours =
                    is_of_same_owner(server.host(), url.host()) && (server.is_https() || !url.is_https());
                let wanted = Wanted {
                    realm,
                    service: service.as_deref(),
                    repository,
                    login: login.as_ref().filter(|_| is_ours),
                };
                let client = self.client_for(&server, is_public);
                token::fetch(client, &wanted).await.map(Some)
            }
        }
    }

    /// Asks, and asks again where the upstream sends to. Only the upstream itself sees what it is shown.
    async fn follow(
        &self,
        question: &Question<'_>,
        authorization: Option<HeaderValue>,
    ) -> Result<Opened, UpstreamError> {
        let base = self.options.url.as_str().trim_end_matches('/');
        let mut url: Destination = format!("{base}/v2/{}/{}", question.repository, question.path).parse()?;
        let mut is_public = true;
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = question.headers.clone();
            if let Some(authorization) = authorization.as_ref().filter(|_| self.is_same_server(&url)) {
                headers.insert(header::AUTHORIZATION, authorization.clone());
            }
            let ask = Ask {
                method: question.method.clone(),
                url: url.clone(),
                headers,
                body: Bytes::new(),
                within: HEAD_TIMEOUT,
                answer_bytes_max: 0,
            };
            let opened = self.client_for(&url, is_public).open(ask).await?;
            if !matches!(opened.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(opened);
            }
            is_public = opened.is_public;
            let location = opened.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location =
                location.ok_or_else(|| UpstreamError::Unusable("a redirect leads nowhere".into()))?;
            url = url.join(location)?;
        }
        Err(UpstreamError::Unusable(format!("it redirects more than {REDIRECTS_MAX} times")))
    }

    fn is_same_server(&self, url: &Destination) -> bool {
        let ours = &self.options.url;
        (url.host(), url.port(), url.is_https()) == (ours.host(), ours.port(), ours.is_https())
    }

    /// What opens a connection: an upstream of the public internet may send to public addresses only, and one of a private network to
    /// private ones too.
    fn client_for(&self, url: &Destination, is_public: bool) -> &Client {
        match self.is_same_server(url) || !is_public {
            true => self.outbound.operators(),
            false => self.outbound.users(),
        }
    }
}

/// When to come again, in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match text.parse() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()?,
    };
    Some(after.clamp(Duration::from_secs(1), LIMITED_FOR_MAX))
}

/// `ratelimit-remaining: 76;w=21600`, as Docker Hub says it.
fn remaining(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get("ratelimit-remaining")?.to_str().ok()?;
    text.split(';').next()?.trim().parse().ok()
}
