use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use registry_outbound::{Destination, UrlError};
use registry_types::{ParseWebhookFormatError, WebhookFormat};
use thiserror::Error;

use crate::{
    Accepts, Audience, Backoff, Filter, FilterError, Headers, HeadersError, Of, ParseSecretError,
    WebhookSecret,
};

/// The longest name of a webhook, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// How long a receiver may take by default, until its answer is read.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The shortest time that a receiver can be given.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// The longest time that a receiver can be given.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// What a webhook is called: by operators, in commands, logs and metrics. 1 to [`NAME_BYTES_MAX`] bytes, nothing that controls a
/// terminal, no space at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookName(Box<str>);

/// A text is no name of a webhook.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a webhook's name has 1 to {NAME_BYTES_MAX} bytes, no control characters, and no space at its ends")]
pub struct ParseWebhookNameError;

impl FromStr for WebhookName {
    type Err = ParseWebhookNameError;

    fn from_str(text: &str) -> Result<WebhookName, ParseWebhookNameError> {
        let is_name = (1..=NAME_BYTES_MAX).contains(&text.len())
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if is_name { Ok(WebhookName(text.into())) } else { Err(ParseWebhookNameError) }
    }
}

impl fmt::Display for WebhookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for WebhookName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What a person enters for a webhook.
#[derive(Clone, Default)]
pub struct Draft {
    /// The name.
    pub name: String,
    /// The URL that messages are sent to.
    pub url: String,
    /// The format's name; none for CloudEvents.
    pub format: Option<String>,
    /// Which events: `tag.moved`, `tag.*`, `*`. None for all.
    pub events: Vec<String>,
    /// Patterns of repositories. None for all.
    pub repositories: Vec<String>,
    /// Patterns of tags. None for all, also for events without one.
    pub tags: Vec<String>,
    /// What to sign with.
    pub secret: Option<WebhookSecret>,
    /// Headers to add.
    pub headers: BTreeMap<String, Vec<String>>,
    /// How long the receiver may take. None for [`TIMEOUT`].
    pub timeout: Option<Duration>,
}

/// What a webhook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The name.
    pub name: WebhookName,
    /// Where messages are sent.
    pub url: Destination,
    /// In which format.
    pub format: WebhookFormat,
    /// Which events.
    pub filter: Filter,
    /// What messages are signed with.
    pub secret: Option<WebhookSecret>,
    /// What is added to each request.
    pub headers: Headers,
    /// How long the receiver may take.
    pub timeout: Duration,
    /// Which answers mean that the receiver has the message.
    pub accepts: Accepts,
    /// When a message that failed is sent again.
    pub backoff: Backoff,
    /// Whose it is.
    pub audience: Audience,
    /// Whether it is told nothing for now. Events are kept for it, as for one that is paused. False, as it is checked.
    pub is_disabled: bool,
}

impl Definition {
    /// Whether it is told of what clients read, mount and push as blobs: an endpoint of the Go registry's `notifications` is, whose waits
    /// are short. Other webhooks wait for hours, and what waits in memory would be lost.
    pub(crate) fn takes_notices(&self) -> bool {
        self.accepts == Accepts::SuccessAndRedirects
    }
}

/// Why a webhook can not be as it was entered.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefinitionError {
    /// The name.
    #[error(transparent)]
    Name(#[from] ParseWebhookNameError),
    /// The URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The format.
    #[error(transparent)]
    Format(#[from] ParseWebhookFormatError),
    /// The filters.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The secret.
    #[error(transparent)]
    Secret(#[from] ParseSecretError),
    /// The headers.
    #[error(transparent)]
    Headers(#[from] HeadersError),
    /// The time.
    #[error("a receiver has {TIMEOUT_MIN:?} to {TIMEOUT_MAX:?} to answer, and not {0:?}")]
    Timeout(Duration),
}

impl Draft {
    /// Checks all of it.
    ///
    /// # Errors
    /// [`DefinitionError`]: the first that is wrong.
    pub fn check(&self, audience: Audience) -> Result<Definition, DefinitionError> {
        let of = match audience {
            Audience::Operators => Of::Operators,
            Audience::Users => Of::Users,
        };
        let timeout = self.timeout.unwrap_or(TIMEOUT);
        if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout) {
            return Err(DefinitionError::Timeout(timeout));
        }
        Ok(Definition {
            name: self.name.parse()?,
            url: self.url.parse()?,
            format: self.format.as_deref().map(str::parse).transpose()?.unwrap_or_default(),
            filter: Filter::new(&self.events, &self.repositories, &self.tags)?,
            secret: self.secret.clone(),
            headers: Headers::new(of, &self.headers)?,
            timeout,
            accepts: Accepts::default(),
            backoff: Backoff::default(),
            audience,
            is_disabled: false,
        })
    }
}

/// An endpoint of the Go registry's `notifications`.
#[derive(Clone, Default)]
pub struct Endpoint {
    /// The name.
    pub name: String,
    /// The URL. A user and a password in it become a header.
    pub url: String,
    /// Headers to add.
    pub headers: BTreeMap<String, Vec<String>>,
    /// How long it may take; none for a second, as there.
    pub timeout: Option<Duration>,
    /// After how many failures in a row it is asked at each `backoff`; none for ten.
    pub threshold: Option<u32>,
    /// How often it is asked then; none for a second.
    pub backoff: Option<Duration>,
    /// Media types of which it is told nothing: `ignoredmediatypes` and `ignore.mediatypes`.
    pub ignored_media_types: Vec<String>,
    /// Actions of which it is told nothing.
    pub ignored_actions: Vec<String>,
}

impl Endpoint {
    /// What stands in for a time that is not given, as in the Go registry.
    const TIMEOUT: Duration = Duration::from_secs(1);
    const THRESHOLD: u32 = 10;
    const BACKOFF: Duration = Duration::from_secs(1);

    /// Checks all of it. A time that is longer than [`TIMEOUT_MAX`] is made that.
    ///
    /// # Errors
    /// [`DefinitionError`]: the first that is wrong.
    pub fn check(&self) -> Result<Definition, DefinitionError> {
        let (url, credentials) = Destination::parse_with_credentials(&self.url)?;
        let headers = Headers::new(Of::Operators, &self.headers)?;
        Ok(Definition {
            name: self.name.parse()?,
            url,
            format: WebhookFormat::Distribution,
            filter: Filter::default().ignoring(&self.ignored_media_types, &self.ignored_actions)?,
            secret: None,
            headers: match &credentials {
                Some(credentials) => headers.with_credentials(credentials),
                None => headers,
            },
            timeout: given(self.timeout).unwrap_or(Self::TIMEOUT).clamp(TIMEOUT_MIN, TIMEOUT_MAX),
            accepts: Accepts::SuccessAndRedirects,
            backoff: Backoff::Endpoint {
                threshold: self.threshold.filter(|threshold| *threshold > 0).unwrap_or(Self::THRESHOLD),
                backoff: given(self.backoff).unwrap_or(Self::BACKOFF),
            },
            audience: Audience::Operators,
            is_disabled: false,
        })
    }
}

/// A time of zero is none there.
fn given(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| !time.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft { name: "deploy".into(), url: "https://ci.example.com/hook".into(), ..Draft::default() }
    }

    #[test]
    fn a_name_and_a_url_are_enough() {
        let webhook = draft().check(Audience::Users).unwrap();
        assert_eq!((webhook.format, webhook.timeout), (WebhookFormat::CloudEvents, TIMEOUT));
        assert_eq!((webhook.accepts, webhook.backoff), (Accepts::Success, Backoff::Standard));
        assert!(webhook.secret.is_none() && webhook.headers.as_map().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let header = |name: &str| BTreeMap::from([(name.to_owned(), vec!["a".to_owned()])]);
        let text = |text: &str| vec![text.to_owned()];
        for (wrong, error) in [
            (Draft { name: "".into(), ..draft() }, "a webhook's name has 1 to 128 bytes"),
            (Draft { name: " a".into(), ..draft() }, "no space at its ends"),
            (Draft { name: "a\u{1b}[0m".into(), ..draft() }, "no control characters"),
            (Draft { url: "ftp://a".into(), ..draft() }, "not with ftp:"),
            (Draft { url: "https://a:b@c/".into(), ..draft() }, "no user and no password"),
            (Draft { format: Some("xml".into()), ..draft() }, "there is no format \"xml\""),
            (Draft { events: text("tag.mvoed"), ..draft() }, "there is no event \"tag.mvoed\""),
            (Draft { tags: text("re:("), ..draft() }, "is no pattern"),
            (Draft { headers: header("Host"), ..draft() }, "host is made by the registry"),
            (Draft { headers: header("Cookie"), ..draft() }, "cookie can not be set"),
            (
                Draft { timeout: Some(Duration::from_secs(31)), ..draft() },
                "100ms to 30s to answer, and not 31s",
            ),
            (Draft { timeout: Some(Duration::ZERO), ..draft() }, "and not 0ns"),
        ] {
            let seen = wrong.check(Audience::Users).unwrap_err().to_string();
            assert!(seen.contains(error), "{seen}");
        }
    }

    #[test]
    fn an_endpoint_of_the_go_registry_has_its_defaults() {
        let endpoint = Endpoint {
            name: "a listener".into(),
            url: "http://10.0.0.5:8080/".into(),
            ..Endpoint::default()
        };
        let zeros = Endpoint {
            timeout: Some(Duration::ZERO),
            threshold: Some(0),
            backoff: Some(Duration::ZERO),
            ..endpoint.clone()
        };
        let checked = endpoint.check().unwrap();
        assert_eq!(zeros.check().unwrap(), checked);
        let backoff = Backoff::Endpoint { threshold: 10, backoff: Duration::from_secs(1) };
        assert_eq!((checked.timeout, checked.backoff), (Duration::from_secs(1), backoff));
        assert_eq!(
            (checked.format, checked.accepts),
            (WebhookFormat::Distribution, Accepts::SuccessAndRedirects)
        );
        let secured = Endpoint { url: "http://ann:s%20ecret@10.0.0.5/".into(), ..endpoint.clone() };
        let secured = secured.check().unwrap();
        assert_eq!(secured.url.as_str(), "http://10.0.0.5/");
        assert_eq!(secured.headers.as_map()["authorization"], "Basic YW5uOnMgZWNyZXQ=");
        let long = Endpoint { timeout: Some(Duration::from_secs(3600)), ..endpoint };
        assert_eq!(long.check().unwrap().timeout, TIMEOUT_MAX);
    }
}
