//! A webhook as the database has it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use registry_database::{Fault, FromRow, Row};
use registry_secrets::{Place, Secrets, Zeroizing};
use registry_types::WebhookFormat;

use crate::{
    Audience, Definition, Draft, Filter, TIMEOUT, WebhookSecret,
    error::{StoredError, WebhookError},
};

/// A number that no other webhook ever has.
pub type WebhookId = i64;

/// Whether a webhook is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    Active,
    /// A person paused it. What happens meanwhile it is told later, as far as events are kept.
    Paused,
    /// Its receiver said that it wants nothing more, and a person can resume it; or the configuration says so. With the reason.
    Disabled(String),
}

impl State {
    /// Its name: `active`, `paused`, `disabled`.
    pub fn as_str(&self) -> &'static str {
        match self {
            State::Active => "active",
            State::Paused => "paused",
            State::Disabled(_) => "disabled",
        }
    }

    pub(crate) fn of(number: i64, reason: Option<String>) -> Result<State, StoredError> {
        match number {
            0 => Ok(State::Active),
            1 => Ok(State::Paused),
            2 => Ok(State::Disabled(reason.unwrap_or_default())),
            other => Err(StoredError::State(other)),
        }
    }

    pub(crate) fn number(&self) -> i64 {
        match self {
            State::Active => 0,
            State::Paused => 1,
            State::Disabled(_) => 2,
        }
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            State::Disabled(reason) => Some(reason),
            State::Active | State::Paused => None,
        }
    }
}

/// A webhook, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its number.
    pub id: WebhookId,
    /// Its name.
    pub name: String,
    /// Whether the configuration defines it. Then this node may not know the definition, and `url` and `format` are none.
    pub is_configured: bool,
    /// Where it is told.
    pub url: Option<String>,
    /// In which format.
    pub format: Option<WebhookFormat>,
    /// Of which events.
    pub events: Vec<String>,
    /// In which repositories.
    pub repositories: Vec<String>,
    /// Of which tags.
    pub tags: Vec<String>,
    /// How long its receiver may take.
    pub timeout: Duration,
    /// Whether messages are signed.
    pub is_signed: bool,
    /// Until when the former secret signs as well, in milliseconds since 1970.
    pub former_secret_until_ms: Option<i64>,
    /// Whether it is told of events.
    pub state: State,
    /// When it was added, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// A row of `webhooks`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) id: WebhookId,
    pub(crate) name: String,
    pub(crate) is_configured: bool,
    pub(crate) url: Option<String>,
    pub(crate) format: Option<WebhookFormat>,
    pub(crate) events: Vec<String>,
    pub(crate) repositories: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) secret: Option<Vec<u8>>,
    pub(crate) former_secret: Option<Vec<u8>>,
    pub(crate) former_until_ms: Option<i64>,
    pub(crate) headers: Option<Vec<u8>>,
    pub(crate) state: State,
    pub(crate) created_at_ms: i64,
}

impl FromRow for Stored {
    fn from_row(row: &Row<'_>) -> Result<Stored, Fault> {
        let format: Option<String> = row.get(4)?;
        let unreadable = |error: StoredError| Fault::Unreadable(error.into());
        let timeout_ms: Option<u64> = row.get(8)?;
        Ok(Stored {
            id: row.get(0)?,
            name: row.get(1)?,
            is_configured: row.get(2)?,
            url: row.get(3)?,
            format: format
                .map(|format| format.parse())
                .transpose()
                .map_err(|error| unreadable(StoredError::Format(error)))?,
            events: list(row, 5)?,
            repositories: list(row, 6)?,
            tags: list(row, 7)?,
            timeout: timeout_ms.map_or(TIMEOUT, Duration::from_millis),
            secret: row.get(9)?,
            former_secret: row.get(10)?,
            former_until_ms: row.get(11)?,
            headers: row.get(12)?,
            state: State::of(row.get(13)?, row.get(14)?).map_err(unreadable)?,
            created_at_ms: row.get(15)?,
        })
    }
}

/// A JSON list of texts; an empty one where there is none.
fn list(row: &Row<'_>, index: usize) -> Result<Vec<String>, Fault> {
    let text: Option<String> = row.get(index)?;
    let list = text.map(|text| serde_json::from_str(&text)).transpose();
    Ok(list.map_err(|error| Fault::Unreadable(error.into()))?.unwrap_or_default())
}

/// As [`list`] reads it.
pub(crate) fn json(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

/// What can be sent with a webhook now.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) definition: Arc<Definition>,
    /// The former secret, as long as it is good.
    pub(crate) former: Option<WebhookSecret>,
}

impl Stored {
    /// Where this row's column is, for what is sealed.
    pub(crate) fn place(id: WebhookId, column: &'static str) -> Place {
        Place { table: "webhooks", column, row: id }
    }

    /// The definition in the row, opened. `now_ms` says whether the former secret is good.
    pub(crate) fn ready(&self, secrets: &Secrets, now_ms: i64) -> Result<Ready, WebhookError> {
        let former = self.former_secret.as_ref().filter(|_| self.is_former_good(now_ms));
        let secret = |column, sealed: Option<&Vec<u8>>| self.secret(secrets, column, sealed);
        let draft = Draft {
            name: self.name.clone(),
            url: self.url.clone().unwrap_or_default(),
            format: self.format.map(|format| format.to_string()),
            events: self.events.clone(),
            repositories: self.repositories.clone(),
            tags: self.tags.clone(),
            secret: secret("secret", self.secret.as_ref())?,
            headers: self.opened_headers(secrets)?,
            timeout: Some(self.timeout),
        };
        Ok(Ready {
            definition: Arc::new(draft.check(Audience::Users)?),
            former: secret("former_secret", former)?,
        })
    }

    /// Whether the former secret still signs.
    pub(crate) fn is_former_good(&self, now_ms: i64) -> bool {
        self.former_until_ms.is_some_and(|until| now_ms < until)
    }

    /// What its filter is made of.
    pub(crate) fn filter_texts(&self) -> [&[String]; 3] {
        [&self.events, &self.repositories, &self.tags]
    }

    /// Which events it wants.
    pub(crate) fn filter(&self) -> Result<Filter, WebhookError> {
        Ok(Filter::new(&self.events, &self.repositories, &self.tags).map_err(crate::DefinitionError::from)?)
    }

    fn secret(
        &self,
        secrets: &Secrets,
        column: &'static str,
        sealed: Option<&Vec<u8>>,
    ) -> Result<Option<WebhookSecret>, WebhookError> {
        let Some(sealed) = sealed else { return Ok(None) };
        let text = text(secrets.open(&Stored::place(self.id, column), sealed)?)?;
        Ok(Some(text.parse().map_err(crate::DefinitionError::from)?))
    }

    fn opened_headers(&self, secrets: &Secrets) -> Result<BTreeMap<String, Vec<String>>, WebhookError> {
        let Some(sealed) = &self.headers else { return Ok(BTreeMap::new()) };
        let text = text(secrets.open(&Stored::place(self.id, "headers"), sealed)?)?;
        serde_json::from_str(&text).map_err(|error| StoredError::Headers(error).into())
    }

    /// Without what is secret. `configured` is the definition, if the configuration of this node has it.
    pub(crate) fn shown(self, configured: Option<&Definition>) -> Webhook {
        let of = |list: fn(&Filter) -> Vec<String>, own: Vec<String>| {
            configured.map_or(own, |definition| list(&definition.filter))
        };
        Webhook {
            id: self.id,
            name: self.name,
            is_configured: self.is_configured,
            url: configured.map_or(self.url, |definition| Some(definition.url.to_string())),
            format: configured.map_or(self.format, |definition| Some(definition.format)),
            events: of(Filter::events, self.events),
            repositories: of(Filter::repositories, self.repositories),
            tags: of(Filter::tags, self.tags),
            timeout: configured.map_or(self.timeout, |definition| definition.timeout),
            is_signed: self.secret.is_some()
                || configured.is_some_and(|definition| definition.secret.is_some()),
            former_secret_until_ms: self.former_until_ms,
            state: match configured {
                Some(definition) if definition.is_disabled => {
                    State::Disabled("by the configuration".to_owned())
                }
                _ => self.state,
            },
            created_at_ms: self.created_at_ms,
        }
    }
}

fn text(bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, StoredError> {
    let text = std::str::from_utf8(&bytes).map_err(|_| StoredError::Text)?;
    Ok(Zeroizing::new(text.to_owned()))
}
