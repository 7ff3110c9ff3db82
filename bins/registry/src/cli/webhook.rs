//! Commands about receivers of events, and about what is sealed.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use registry_core::{
    types::{EventFilter, Pattern, WebhookFormat},
    webhook::{MessageId, WebhookName},
};

use super::{ConfigFile, Format};

/// What to do with webhooks.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Webhook {
    /// Tell a URL of events from now on; prints the secret that signs the calls, once
    Add(Box<Add>),
    /// Show all webhooks, those of the configuration too
    List {
        /// The form of the report
        #[arg(long, value_enum, default_value_t)]
        report: Format,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Send a webhook a sign of life, and show what it answers
    Test(Named),
    /// Send nothing until it is resumed; what happens meanwhile is kept
    Pause(Named),
    /// Send again, and first what was kept
    Resume(Named),
    /// Show what was sent, and what came back
    History(History),
    /// Send something once more
    Redeliver(Redeliver),
    /// Give a webhook another secret; calls are signed with both for a time
    Rotate(Rotate),
    /// Forget a webhook, and all that waits for it
    Remove(Named),
}

/// A webhook of the database or of the configuration.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Named {
    /// The webhook
    #[arg(value_name = "name")]
    pub(crate) name: WebhookName,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Add {
    /// What it is called here
    #[arg(value_name = "name")]
    pub(crate) name: WebhookName,
    /// Where it is told
    #[arg(long, value_name = "url")]
    pub(crate) url: String,
    /// How: cloudevents, dockerhub or distribution
    #[arg(long, value_name = "format", default_value_t)]
    pub(crate) format: WebhookFormat,
    /// Of which events: `tag.moved`, `tag.*`; of all, if this is not given. May be repeated
    #[arg(long = "event", value_name = "event")]
    pub(crate) events: Vec<EventFilter>,
    /// In which repositories: `team/**`. May be repeated
    #[arg(long = "repository", value_name = "pattern")]
    pub(crate) repositories: Vec<Pattern>,
    /// Of which tags, where an event has one: `v*`. May be repeated
    #[arg(long = "tag", value_name = "pattern")]
    pub(crate) tags: Vec<Pattern>,
    /// Say this in each request: `X-Team: acme`. May be repeated. Others on the machine see what a command is given: a credential
    /// belongs into a file
    #[arg(long = "header", value_name = "name: value", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// And what this file has, a header in each line: `Authorization: Bearer …`
    #[arg(long, value_name = "file")]
    pub(crate) header_file: Option<PathBuf>,
    /// How many seconds an attempt may take
    #[arg(long, value_name = "seconds", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub(crate) timeout: u64,
    /// Read the secret from the first line of a file, instead of making one
    #[arg(long, value_name = "file")]
    pub(crate) secret_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct History {
    /// The webhook
    #[arg(value_name = "name")]
    pub(crate) name: WebhookName,
    /// How many messages, the newest first
    #[arg(long, value_name = "n", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Only what was given up
    #[arg(long = "dead")]
    pub(crate) is_dead: bool,
    /// One message, with its attempts and what came back
    #[arg(long, value_name = "id", conflicts_with_all = ["limit", "is_dead"])]
    pub(crate) message: Option<MessageId>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) report: Format,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Redeliver {
    /// The webhook
    #[arg(value_name = "name")]
    pub(crate) name: WebhookName,
    /// One message: `msg_…`, as the history shows it
    #[arg(long, value_name = "id", required_unless_present = "since", conflicts_with = "since")]
    pub(crate) message: Option<MessageId>,
    /// All since so long ago: `90m`, `6h`, `2d`
    #[arg(long, value_name = "duration", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Under an id of its own, so that a receiver which has seen it takes it again
    #[arg(long = "anew")]
    pub(crate) is_anew: bool,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(skip)]
pub(crate) struct Rotate {
    /// The webhook
    #[arg(value_name = "name")]
    pub(crate) name: WebhookName,
    /// How long calls are signed with the former secret as well
    #[arg(long, value_name = "duration", default_value = "24h", value_parser = duration)]
    pub(crate) keep: Duration,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

/// What to do with the key that seals secrets.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Secrets {
    /// Print a new key, for `secrets.keyfile` or REGISTRY_SECRETS_KEY
    Key,
    /// Show what is sealed under which key, and what can not be opened
    Status {
        /// The form of the report
        #[arg(long, value_enum, default_value_t)]
        report: Format,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Seal anew what is sealed under former keys; safe while servers run that have the new key
    Rotate {
        /// Make a new key and put it before the others in the file of keys; servers read the file again by themselves
        #[arg(long = "new-key")]
        makes_key: bool,
        #[command(flatten)]
        file: ConfigFile,
    },
}

pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or("a header is a name, a colon and a value, such as `X-Team: acme`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A number and `s`, `m`, `h` or `d`.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
    let expected = || format!("{text:?} is no duration such as 90m, 6h or 2d");
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(expected)?;
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    number.checked_mul(unit.1).map(Duration::from_secs).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, seconds) in [("90m", 5400), ("6h", 21_600), ("2d", 172_800), ("10s", 10), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "m", "1", "1w", "-1m", "1.5h", "99999999999999999999d", "999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
