//! `registry webhook`: receivers of events.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use registry_core::{
    BesideWebhooks, configured,
    events::KNOWN_WITHIN,
    types::Cause,
    webhook::{Attempt, Callback, Delivery, DeliveryState, Draft, State, WebhookName, WebhookSecret},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    cli::{Add, ConfigFile, Format, History, Redeliver, Rotate, Webhook, header},
    commands::{load_beside, print, warn},
    content::time,
};

/// Who changed it, where a command did.
const ACTOR: &str = "registry webhook";

/// How long `test` waits for a server that sends the message.
const TEST_WAIT: Duration = Duration::from_secs(30);

/// How often it looks.
const TEST_LOOK: Duration = Duration::from_millis(200);

pub(crate) fn run(command: Webhook) -> anyhow::Result<()> {
    match command {
        Webhook::Add(add) => on(add.file.clone(), async move |webhooks| added(webhooks, &add).await),
        Webhook::List { report, file } => on(file, async move |webhooks| listed(webhooks, report).await),
        Webhook::Test(named) => on(named.file, async move |webhooks| tested(webhooks, &named.name).await),
        Webhook::Pause(named) => on(named.file, async move |webhooks| {
            webhooks.pause(&named.name).await?;
            Ok(format!("{} is paused\n", named.name))
        }),
        Webhook::Resume(named) => on(named.file, async move |webhooks| {
            webhooks.resume(&named.name).await?;
            Ok(format!("{} is told of events again\n", named.name))
        }),
        Webhook::History(history) => {
            on(history.file.clone(), async move |webhooks| past(webhooks, &history).await)
        }
        Webhook::Redeliver(what) => {
            on(what.file.clone(), async move |webhooks| redelivered(webhooks, &what).await)
        }
        Webhook::Rotate(Rotate { name, keep, file }) => on(file, async move |webhooks| {
            let secret = webhooks.rotate(&name, keep).await?;
            Ok(format!("the secret of {name} is now {}\nit is not shown again\n", secret.expose()))
        }),
        Webhook::Remove(named) => on(named.file, async move |webhooks| {
            webhooks.remove(&named.name).await?;
            Ok(format!("{} is removed\n", named.name))
        }),
    }
}

/// Sends a message and waits for its first attempt. Anything but a delivery is an error.
async fn tested(webhooks: &BesideWebhooks, name: &WebhookName) -> anyhow::Result<String> {
    is_active(webhooks, name).await?;
    let id = webhooks.test(name, Cause::by(ACTOR)).await?;
    print(&format!("sent {id}; waits for what a server says of it\n"))?;
    let begun = Instant::now();
    loop {
        let (delivery, attempts, _) = webhooks.delivery(name, id).await?;
        if delivery.state == DeliveryState::Delivered {
            return Ok(told(&delivery, &attempts, &[]));
        }
        if !attempts.is_empty() {
            print(&told(&delivery, &attempts, &[]))?;
            anyhow::bail!("the receiver does not have it");
        }
        if begun.elapsed() > TEST_WAIT {
            anyhow::bail!(
                "no server has sent it within {TEST_WAIT:?}: does one run, or does it wait since the receiver fails? \
                 The message stays, and is sent later"
            );
        }
        sleep(TEST_LOOK).await;
    }
}

/// To a webhook that is not active nothing is sent, however long a command waits.
async fn is_active(webhooks: &BesideWebhooks, name: &WebhookName) -> anyhow::Result<()> {
    match webhooks.webhook(name).await?.state {
        State::Active => Ok(()),
        State::Paused => anyhow::bail!("{name} is paused: `registry webhook resume` has it told again"),
        State::Disabled(reason) => anyhow::bail!("{name} is disabled: {reason}"),
    }
}

/// Opens the webhooks of a configuration beside the process that serves, and prints what comes of it.
fn on(
    file: ConfigFile,
    work: impl AsyncFnOnce(&BesideWebhooks) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let loaded = load_beside(file)?;
    warn(&loaded.warnings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let said = runtime.context("can not start the runtime")?.block_on(async {
        let webhooks = configured::open_webhooks_beside(&loaded.config).await?;
        work(&webhooks).await
    })?;
    print(&said)
}

async fn added(webhooks: &BesideWebhooks, add: &Add) -> anyhow::Result<String> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let of_file = add.header_file.as_deref().map(headers_of).transpose()?;
    for (name, value) in add.headers.iter().cloned().chain(of_file.into_iter().flatten()) {
        headers.entry(name).or_default().push(value);
    }
    let texts = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>();
    let draft = Draft {
        name: add.name.to_string(),
        url: add.url.clone(),
        format: Some(add.format.to_string()),
        events: texts(&mut add.events.iter().map(ToString::to_string)),
        repositories: texts(&mut add.repositories.iter().map(ToString::to_string)),
        tags: texts(&mut add.tags.iter().map(ToString::to_string)),
        secret: add.secret_file.as_deref().map(secret).transpose()?,
        headers,
        timeout: Some(Duration::from_secs(add.timeout)),
    };
    let (webhook, secret) = webhooks.add(&draft).await?;
    // A server that had nothing to tell learns only now that it has: what is pushed after the answer is to be told.
    sleep(KNOWN_WITHIN).await;
    let mut said = format!("{} is told of events from now on\n", webhook.name);
    if draft.secret.is_none() {
        let _ = writeln!(said, "its secret is {}\nit is not shown again", secret.expose());
    }
    Ok(said)
}

/// The headers in the lines of a file; empty lines are nothing.
fn headers_of(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can not read {}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| header(line).map_err(|wrong| anyhow::anyhow!("{}: {wrong}", path.display()))).collect()
}

fn secret(path: &Path) -> anyhow::Result<WebhookSecret> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can not read {}", path.display()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    line.parse().with_context(|| format!("the first line of {} is no secret", path.display()))
}

async fn listed(webhooks: &BesideWebhooks, report: Format) -> anyhow::Result<String> {
    let (all, numbers) = (webhooks.list().await?, webhooks.numbers().await?);
    let numbers: BTreeMap<_, _> = numbers.webhooks.iter().map(|of| (of.name.as_str(), of)).collect();
    if report.is_json() {
        let one = |webhook: &registry_core::webhook::Webhook| {
            let of = numbers.get(webhook.name.as_str());
            json!({
                "name": webhook.name, "configured": webhook.is_configured, "state": webhook.state.as_str(),
                "reason": match &webhook.state { State::Disabled(reason) => Some(reason), _ => None },
                "url": webhook.url, "format": webhook.format.map(|format| format.as_str()),
                "events": webhook.events, "repositories": webhook.repositories, "tags": webhook.tags,
                "signed": webhook.is_signed, "waiting": of.map(|of| of.waiting), "dead": of.map(|of| of.dead),
                "created_at": time(webhook.created_at_ms),
            })
        };
        return Ok(format!("{}\n", json!({"webhooks": all.iter().map(one).collect::<Vec<Value>>()})));
    }
    if all.is_empty() {
        return Ok("there are no webhooks: `registry webhook add` adds one\n".to_owned());
    }
    let mut said =
        format!("{:<24} {:<9} {:>8} {:>6} {:<12} URL\n", "NAME", "STATE", "WAITING", "DEAD", "FORMAT");
    for webhook in &all {
        let of = numbers.get(webhook.name.as_str());
        let count = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let format = webhook.format.map_or("-", |format| format.as_str());
        let url = webhook.url.as_deref().unwrap_or("(in the configuration)");
        let (waiting, dead) = (count(of.map(|of| of.waiting)), count(of.map(|of| of.dead)));
        let state = webhook.state.as_str();
        let _ = writeln!(said, "{:<24} {state:<9} {waiting:>8} {dead:>6} {format:<12} {url}", webhook.name);
        if let State::Disabled(reason) = &webhook.state {
            let _ = writeln!(said, "{:<24} {reason}", "");
        }
    }
    Ok(said)
}

async fn past(webhooks: &BesideWebhooks, history: &History) -> anyhow::Result<String> {
    if let Some(id) = history.message {
        let (delivery, attempts, callbacks) = webhooks.delivery(&history.name, id).await?;
        return Ok(match history.report.is_json() {
            true => format!("{}\n", detailed(&delivery, &attempts, &callbacks)),
            false => told(&delivery, &attempts, &callbacks),
        });
    }
    let (mut all, mut before): (Vec<Delivery>, _) = (Vec::new(), None);
    let limit = usize::from(history.limit);
    while all.len() < limit {
        let page = match history.is_dead {
            true => webhooks.history_in(&history.name, DeliveryState::Dead, before, limit).await?,
            false => webhooks.history(&history.name, before, limit).await?,
        };
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        all.extend(page);
    }
    all.truncate(limit);
    if history.report.is_json() {
        return Ok(format!("{}\n", json!({"messages": all.iter().map(as_json).collect::<Vec<_>>()})));
    }
    Ok(all.iter().map(line).collect())
}

fn line(delivery: &Delivery) -> String {
    let (at, state) = (time(delivery.created_at_ms), delivery.state.as_str());
    format!("{at} {} {state:<9} {:<20} {}\n", delivery.id, delivery.event.kind.as_str(), subject(delivery))
}

/// What an event is about: `repository:tag` or `repository@digest`.
fn subject(delivery: &Delivery) -> String {
    let event = &delivery.event;
    let name = event.name.as_deref().unwrap_or("-");
    match (&event.tag, &event.digest) {
        (Some(tag), _) => format!("{name}:{tag}"),
        (None, Some(digest)) => format!("{name}@{digest}"),
        (None, None) => name.to_owned(),
    }
}

fn as_json(delivery: &Delivery) -> Value {
    let event = &delivery.event;
    json!({
        "id": delivery.id.to_string(), "state": delivery.state.as_str(), "sequence": delivery.sequence,
        "created_at": time(delivery.created_at_ms), "ended_at": delivery.ended_at_ms.map(time),
        "event": event.kind.as_str(), "repository": event.name, "tag": event.tag, "digest": event.digest,
    })
}

fn detailed(delivery: &Delivery, attempts: &[Attempt], callbacks: &[Callback]) -> Value {
    let mut all = as_json(delivery);
    let attempt = |attempt: &Attempt| {
        json!({
            "number": attempt.number, "at": time(attempt.at_ms), "latency_ms": attempt.latency_ms,
            "status": attempt.status, "error": attempt.error, "request_headers": attempt.request_headers,
            "answer": attempt.answer,
        })
    };
    let callback = |callback: &Callback| {
        json!({"at": time(callback.at_ms), "state": callback.state, "description": callback.description,
            "context": callback.context, "target_url": callback.target_url})
    };
    all["attempts"] = attempts.iter().map(attempt).collect();
    all["callbacks"] = callbacks.iter().map(callback).collect();
    all
}

fn told(delivery: &Delivery, attempts: &[Attempt], callbacks: &[Callback]) -> String {
    let mut said = line(delivery);
    for attempt in attempts {
        let came = match (attempt.status, &attempt.error) {
            (Some(status), None) => format!("answered {status}"),
            (Some(status), Some(error)) => format!("answered {status}: {error}"),
            (None, error) => error.clone().unwrap_or_else(|| "no answer".to_owned()),
        };
        let (at, took) = (time(attempt.at_ms), attempt.latency_ms);
        let _ = writeln!(said, "  {at} attempt {}: {came} ({took} ms)", attempt.number);
        for header in attempt.request_headers.lines() {
            let _ = writeln!(said, "    > {header}");
        }
        for answer in attempt.answer.iter().flat_map(|answer| answer.lines()) {
            let _ = writeln!(said, "    < {}", answer.escape_debug());
        }
    }
    for Callback { at_ms, state, description, context, target_url } in callbacks {
        let texts = [description, context, target_url].into_iter().flatten();
        let texts: String = texts.map(|text| format!(" {}", text.escape_debug())).collect();
        let _ = writeln!(said, "  {} the receiver reports {}:{texts}", time(*at_ms), state.escape_debug());
    }
    said
}

async fn redelivered(webhooks: &BesideWebhooks, what: &Redeliver) -> anyhow::Result<String> {
    if let Some(id) = what.message {
        return Ok(match what.is_anew {
            true => format!("sends it anew as {}\n", webhooks.send_anew(&what.name, id).await?),
            false => {
                webhooks.redeliver(&what.name, id).await?;
                format!("sends {id} again\n")
            }
        });
    }
    let since = SystemTime::now() - what.since.unwrap_or_default();
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let since_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let count = webhooks.redeliver_since(&what.name, since_ms, what.is_anew).await?;
    Ok(format!("sends {count} messages again\n"))
}
