use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use registry_types::{EventFilter, EventKind, Pattern, Secret, WebhookFormat};

use crate::config::patterns;
use crate::field::{Field, quoted};
use crate::http::headers;
use crate::nearest::nearest;

/// The longest URL of a receiver, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// The longest name of a receiver.
const NAME_BYTES_MAX: usize = 64;

/// The most receivers of each kind.
pub const RECEIVERS_MAX: usize = 1000;

/// A receiver of events. Key `webhooks[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, which no other has: under it the database keeps what it was told. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Where it is told.
    pub url: String,
    /// How it is told.
    pub format: WebhookFormat,
    /// Of which events; of all, if there is no filter.
    pub events: Vec<EventFilter>,
    /// In which repositories.
    pub repositories: Vec<Pattern>,
    /// Of which tags, where an event has one.
    pub tags: Vec<Pattern>,
    /// By what its calls are signed.
    pub secret: Option<WebhookSecret>,
    /// What its requests say in addition.
    pub headers: Vec<(String, Vec<String>)>,
    /// How long an attempt may take; 10 seconds by default.
    pub timeout: Duration,
    /// Whether it is told nothing. What happens meanwhile it is told later, if that is not too much.
    pub disabled: bool,
}

/// By what the calls of a webhook are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookSecret {
    /// Key `secret`.
    Text(Secret),
    /// Key `secretfile`: a file of which the first line is the secret.
    File(PathBuf),
}

/// Receivers as the Go registry has them. Key `notifications`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifications {
    /// Whether an event of a manifest lists what it refers to. Key `events.includereferences`.
    pub include_references: bool,
    /// The receivers. Key `endpoints`.
    pub endpoints: Vec<Endpoint>,
}

/// A receiver of the Go registry's envelope. Key `notifications.endpoints[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, which no other has.
    pub name: String,
    /// Whether it is told nothing.
    pub disabled: bool,
    /// Where it is told. It may hold a user and a password.
    pub url: Secret,
    /// What its requests say in addition.
    pub headers: Vec<(String, Vec<String>)>,
    /// How long an attempt may take; 1 second by default.
    pub timeout: Duration,
    /// After how many failures in a row it is asked less often; 10 by default.
    pub threshold: u32,
    /// How long it is then left alone; 1 second by default.
    pub backoff: Duration,
    /// Media types of which it is told nothing. Keys `ignoredmediatypes` and `ignore.mediatypes`.
    pub ignored_media_types: Vec<String>,
    /// Actions of which it is told nothing: `push`, `pull`, `mount`, `delete`. Key `ignore.actions`.
    pub ignored_actions: Vec<String>,
}

/// The receivers of both kinds: no two of them have one name, under which the database keeps what each was told.
pub(crate) fn receivers(root: &Field<'_>) -> (Vec<Webhook>, Notifications) {
    let field = root.get("webhooks");
    let webhooks: Vec<Webhook> = some(&field).iter().filter_map(webhook).collect();
    let notifications = Notifications::read(&root.get("notifications"));
    let endpoints = notifications.endpoints.iter().map(|endpoint| endpoint.name.as_str());
    refuse_doubles(&field, webhooks.iter().map(|webhook| webhook.name.as_str()).chain(endpoints));
    (webhooks, notifications)
}

impl Notifications {
    fn read(notifications: &Field<'_>) -> Notifications {
        let endpoints = notifications.get("endpoints");
        let read: Vec<Endpoint> = some(&endpoints).iter().filter_map(endpoint).collect();
        let include_references = notifications.get("events").get("includereferences").flag(false);
        Notifications { include_references, endpoints: read }
    }
}

/// The items of a list of receivers, unless there are too many.
fn some<'a>(field: &Field<'a>) -> Vec<Field<'a>> {
    let items = field.items();
    if items.len() > RECEIVERS_MAX {
        field.problem(format!("has {} receivers", items.len()), format!("at most {RECEIVERS_MAX}"));
        return Vec::new();
    }
    items
}

fn refuse_doubles<'a>(field: &Field<'_>, names: impl Iterator<Item = &'a str>) {
    let mut seen = HashSet::new();
    for name in names.filter(|name| !seen.insert(*name)) {
        field.problem(format!("two receivers are named {}", quoted(name)), "a name for each");
    }
}

fn webhook(field: &Field<'_>) -> Option<Webhook> {
    let name = name(&field.get("name"));
    let url = field.get("url").required("the URL of the receiver").and_then(|_| url(&field.get("url")));
    let secret = secret(field);
    let format = field.get("format").choice(&WebhookFormat::ALL).unwrap_or_default();
    Some(Webhook {
        events: field.get("events").items().iter().filter_map(filter).collect(),
        repositories: patterns(&field.get("repositories")),
        tags: patterns(&field.get("tags")),
        secret,
        headers: headers(&field.get("headers")),
        timeout: field.get("timeout").duration(Duration::from_secs(10), Duration::from_millis(100)),
        disabled: field.get("disabled").flag(false),
        format,
        name: name?,
        url: url?,
    })
}

fn name(field: &Field<'_>) -> Option<String> {
    let expected = "a name of letters, digits, - _ and ., at most 64";
    field.required(expected)?;
    field.parse(expected, |text| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        ((1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
    })
}

fn url(field: &Field<'_>) -> Option<String> {
    let expected = "a URL that begins with https:// or http:// and has neither a user nor a part after #";
    field.parse(expected, |text| is_receiver(text).then(|| text.to_owned()))
}

fn is_receiver(text: &str) -> bool {
    let path = text.split('?').next().unwrap_or_default();
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    text.len() <= URL_BYTES_MAX && is_visible && crate::http::is_web_url(path)
}

fn filter(item: &Field<'_>) -> Option<EventFilter> {
    let near = item.scalar().and_then(|text| nearest(text, EventKind::ALL.iter().map(|kind| kind.as_str())));
    let meant = near.map(|kind| format!(" (was {kind} meant?)")).unwrap_or_default();
    let expected = format!("an event such as tag.moved, a group such as tag.*, or *{meant}");
    item.parse(&expected, |text| text.parse().ok())
}

fn secret(field: &Field<'_>) -> Option<WebhookSecret> {
    let (text, file) = (field.get("secret"), field.get("secretfile"));
    if text.is_set() && file.is_set() {
        file.problem("is given beside secret", "one of the two");
    }
    match text.text() {
        Some(text) => Some(WebhookSecret::Text(Secret::new(text))),
        None => file.path().map(WebhookSecret::File),
    }
}

/// What the Go registry takes as it is: zero leaves its default, and an action that it does not know is no error.
fn endpoint(field: &Field<'_>) -> Option<Endpoint> {
    let disabled = field.get("disabled").flag(false);
    if disabled && !field.get("url").is_set() {
        return None;
    }
    let name = field.get("name").required("the name of the endpoint");
    let url =
        field.get("url").required("the URL of the endpoint").and_then(|_| endpoint_url(&field.get("url")));
    let ignore = field.get("ignore");
    let texts = |field: Field<'_>| field.texts();
    let mut ignored_media_types = texts(field.get("ignoredmediatypes"));
    ignored_media_types.extend(texts(ignore.get("mediatypes")));
    let threshold = field.get("threshold").integer(0, 0..=1_000_000);
    Some(Endpoint {
        disabled,
        headers: headers(&field.get("headers")),
        timeout: unless_zero(field.get("timeout"), Duration::from_secs(1)),
        threshold: u32::try_from(threshold).ok().filter(|threshold| *threshold > 0).unwrap_or(10),
        backoff: unless_zero(field.get("backoff"), Duration::from_secs(1)),
        ignored_media_types,
        ignored_actions: ignore.get("actions").items().iter().filter_map(action).collect(),
        name: name?,
        url: url?,
    })
}

fn unless_zero(field: Field<'_>, default: Duration) -> Duration {
    match field.duration(default, Duration::ZERO) {
        Duration::ZERO => default,
        duration => duration,
    }
}

fn endpoint_url(field: &Field<'_>) -> Option<Secret> {
    let expected = "a URL that begins with https:// or http:// and has no part after #";
    field.parse(expected, |text| {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        // A user and a password become a header of the request.
        let host = rest[..end].rsplit_once('@').map_or(rest, |(user, _)| &rest[user.len() + 1..]);
        is_receiver(&format!("{scheme}://{host}")).then(|| Secret::new(text))
    })
}

const ACTIONS: [&str; 4] = ["push", "pull", "mount", "delete"];

fn action(item: &Field<'_>) -> Option<String> {
    let action = item.text()?;
    if !ACTIONS.contains(&action.as_str()) {
        item.remark(format!("{} is no action: there are push, pull, mount and delete", quoted(&action)));
    }
    Some(action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Problems};

    fn config(text: &str) -> Result<Config, Problems> {
        crate::parse(&format!("version: 0.1\n{text}\n"), std::iter::empty()).map(|loaded| loaded.config)
    }

    #[test]
    fn a_webhook_needs_a_name_and_a_url() {
        let config = config("webhooks: [{name: ci, url: 'https://ci.example.com/hook?a=b'}]").unwrap();
        let [webhook] = &config.webhooks[..] else { panic!("one") };
        assert_eq!((webhook.name.as_str(), webhook.url.as_str()), ("ci", "https://ci.example.com/hook?a=b"));
        assert_eq!((webhook.format, webhook.timeout), (WebhookFormat::CloudEvents, Duration::from_secs(10)));
        assert!(webhook.events.is_empty() && webhook.secret.is_none() && !webhook.disabled);
        assert!(webhook.repositories[0].matches("a/b") && webhook.tags[0].matches("latest"));
    }

    #[test]
    fn what_a_webhook_can_not_be_is_named() {
        for (webhooks, wrong) in [
            ("[{url: 'https://a.example'}]", "is missing"),
            ("[{name: 'a b', url: 'https://a.example'}]", "is \"a b\""),
            ("[{name: a}]", "webhooks[0].url: is missing"),
            ("[{name: a, url: 'ftp://a.example'}]", "webhooks[0].url (line 2): is \""),
            ("[{name: a, url: 'https://u:p@a.example'}]", "webhooks[0].url (line 2): is \""),
            ("[{name: a, url: 'https://a.example/#x'}]", "webhooks[0].url (line 2): is \""),
            ("[{name: a, url: 'https://a.example', format: docker}]", "webhooks[0].format"),
            ("[{name: a, url: 'https://a.example', events: [tag.move]}]", "was tag.moved meant?"),
            ("[{name: a, url: 'https://a.example', events: ['tags.*']}]", "webhooks[0].events[0]"),
            ("[{name: a, url: 'https://a.example', tags: ['re:(']}]", "webhooks[0].tags[0]"),
            ("[{name: a, url: 'https://a.example', secret: x, secretfile: y}]", "webhooks[0].secretfile"),
            ("[{name: a, url: 'https://a.example'}, {name: a, url: 'https://b.example'}]", "two receivers"),
            (
                "[{name: a, url: 'https://a.example'}]\nnotifications: {endpoints: [{name: a, url: 'https://b.example'}]}",
                "two receivers",
            ),
        ] {
            let problems = config(&format!("webhooks: {webhooks}")).unwrap_err().to_string();
            assert!(problems.contains(wrong), "{webhooks}: {problems}");
        }
    }

    #[test]
    fn an_endpoint_of_the_go_registry_is_read_as_there() {
        let text = "notifications: {events: {includereferences: true}, endpoints: [{name: a b, url: 'http://u:p%40@10.0.0.5/x', \
                    headers: {Authorization: [Bearer x]}, threshold: 0, timeout: 0, backoff: 2s, ignoredmediatypes: [a/b], \
                    ignore: {mediatypes: [c/d], actions: [pull, fly]}}]}";
        let notifications = config(text).unwrap().notifications;
        assert!(notifications.include_references);
        let [endpoint] = &notifications.endpoints[..] else { panic!("one") };
        assert_eq!((endpoint.name.as_str(), endpoint.url.expose()), ("a b", "http://u:p%40@10.0.0.5/x"));
        assert_eq!(
            (endpoint.timeout, endpoint.threshold, endpoint.backoff),
            (Duration::from_secs(1), 10, Duration::from_secs(2))
        );
        assert_eq!(endpoint.ignored_media_types, ["a/b", "c/d"]);
        assert_eq!(endpoint.ignored_actions, ["pull", "fly"]);
        assert!(!format!("{endpoint:?}").contains("p%40"));
    }

    #[test]
    fn the_key_is_given_by_a_file_or_a_variable() {
        let with = |text: &str, key: Option<&str>| {
            let variables = key.map(|key| ("REGISTRY_SECRETS_KEY".to_owned(), key.to_owned()));
            crate::parse(&format!("version: 0.1\n{text}\n"), variables.into_iter())
                .map(|loaded| loaded.config.secrets)
        };
        assert_eq!(with("secrets: {keyfile: /k}", None).unwrap().key_file, Some("/k".into()));
        assert_eq!(with("", Some("abc")).unwrap().key.unwrap().expose(), "abc");
        assert!(with("secrets: {key: abc}", None).unwrap_err().to_string().contains("REGISTRY_SECRETS_KEY"));
        assert!(
            with("secrets: {keyfile: /k}", Some("abc")).unwrap_err().to_string().contains("one of the two")
        );
    }

    #[test]
    fn what_users_may_name_is_read() {
        let outbound =
            config("outbound: {proxy: 'http://proxy:3128', allow: [10.0.0.0/8, '*.lan']}").unwrap().outbound;
        assert_eq!((outbound.proxy.as_deref(), outbound.allow.len()), (Some("http://proxy:3128"), 2));
        let problems = config("outbound: {proxy: proxy, allow: ['a..b']}").unwrap_err().to_string();
        assert!(problems.contains("outbound.proxy") && problems.contains("outbound.allow[0]"), "{problems}");
    }
}
