use super::*;
use crate::{Definition, Endpoint, State, WEBHOOKS_MAX, WebhookError, WebhookSecret};

pub(super) async fn nothing_is_there_before_the_first_webhook(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    assert_eq!(node.list().await.unwrap(), []);
    assert!(matches!(node.webhook(&name("a")).await, Err(WebhookError::Unknown(_))));
    node.feed_once().await.unwrap();
    node.prune_once().await.unwrap();
    node.configure(Vec::new()).await.unwrap();
    assert_eq!(node.numbers().await.unwrap(), crate::Numbers::default());
    for owner in ["events", "jobs", "secrets", "webhooks"] {
        assert!(!bench.database.has_owner(owner).await.unwrap(), "{owner}");
    }
}

pub(super) async fn a_webhook_is_added_changed_and_removed(bench: &Bench) {
    let recorder = Recorder::new();
    let node = node(&bench.database, &recorder);
    let (webhook, _) = node.add(&Draft { events: texts(&["tag.*"]), ..draft("deploy") }).await.unwrap();
    assert_eq!((webhook.name.as_str(), &webhook.state), ("deploy", &State::Active));
    assert_eq!(webhook.url.as_deref(), Some("https://ci.example.com/hook"));
    assert_eq!((webhook.events.clone(), webhook.is_signed), (texts(&["tag.*"]), true));
    assert!(matches!(node.add(&draft("deploy")).await, Err(WebhookError::Exists(_))));

    for (url, reason) in [
        ("http://ci.example.com/", "does not begin with https://"),
        ("https://169.254.169.254/", "not one of the public internet"),
        ("https://ci.example.com:22/", "port 22 is none for HTTP"),
    ] {
        for done in [
            node.add(&Draft { url: url.into(), ..draft("other") }).await.map(drop),
            node.change(&Draft { url: url.into(), ..draft("deploy") }).await.map(drop),
        ] {
            let error = done.unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("outbound.allow"), "{error}");
        }
    }

    let changed = Draft {
        url: "https://other.example.com/".into(),
        format: Some("dockerhub".into()),
        tags: texts(&["v*"]),
        timeout: Some(Duration::from_secs(3)),
        ..draft("deploy")
    };
    let changed = node.change(&changed).await.unwrap();
    assert_eq!((changed.id, changed.created_at_ms), (webhook.id, webhook.created_at_ms));
    assert_eq!((changed.url.as_deref(), changed.events.len()), (Some("https://other.example.com/"), 0));
    assert_eq!((changed.tags.clone(), changed.timeout), (texts(&["v*"]), Duration::from_secs(3)));
    assert!(changed.is_signed, "the secret stays");

    node.pause(&name("deploy")).await.unwrap();
    assert_eq!(node.webhook(&name("deploy")).await.unwrap().state, State::Paused);
    node.resume(&name("deploy")).await.unwrap();
    assert_eq!(node.list().await.unwrap(), [changed]);

    moved_many(&bench.database, 1, 3).await;
    node.feed_once().await.unwrap();
    node.remove(&name("deploy")).await.unwrap();
    assert!(matches!(node.remove(&name("deploy")).await, Err(WebhookError::Unknown(_))));
    for table in ["webhooks", "webhook_sequences", "webhook_deliveries", "event_consumers", "jobs"] {
        assert_eq!(bench.value(&format!("SELECT COUNT(*) FROM {table}")).await, "0", "{table}");
    }
}

pub(super) async fn a_secret_is_shown_once_and_sealed(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    let given = WebhookSecret::generate().unwrap();
    let headers = [("Authorization".to_owned(), vec!["Bearer hidden".to_owned()])].into();
    let secured = Draft { secret: Some(given.clone()), headers, ..draft("a") };
    let (webhook, shown) = node.add(&secured).await.unwrap();
    assert_eq!(shown, given);
    assert!(!format!("{webhook:?}").contains(given.expose()));
    let (_, made) = node.add(&draft("b")).await.unwrap();
    assert_ne!(made, given);

    let row = bench.value("SELECT secret, headers FROM webhooks WHERE name = 'a'").await;
    assert!(!row.contains("whsec_") && !row.contains("hidden"), "{row}");
    let stored = node.stored(&name("a")).await.unwrap();
    let ready = stored.ready(&node.0.options.secrets, 0).unwrap();
    assert_eq!(ready.definition.secret, Some(given));
    assert_eq!(ready.definition.headers.as_map()["authorization"], "Bearer hidden");

    // With another key nothing opens, and nothing is sent without a signature instead.
    let other = Secrets::given(Keys::new(Key::from([8; 32])));
    assert!(matches!(stored.ready(&other, 0), Err(WebhookError::Open(_))));
    // Another webhook's secret does not open in this row.
    bench
        .run("UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE name = 'b') WHERE name = 'a'")
        .await;
    let swapped = node.stored(&name("a")).await.unwrap();
    assert!(matches!(swapped.ready(&node.0.options.secrets, 0), Err(WebhookError::Open(_))));
}

pub(super) async fn a_rotated_secret_leaves_the_former_for_a_time(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    let (webhook, first) = node.add(&draft("a")).await.unwrap();
    let second = node.rotate(&name("a"), Duration::from_secs(3600)).await.unwrap();
    assert_ne!(first, second);
    let secrets = node.0.options.secrets.clone();
    let now_ms = webhook.created_at_ms;
    let stored = node.stored(&name("a")).await.unwrap();
    let ready = stored.ready(&secrets, now_ms + 3_599_999).unwrap();
    assert_eq!((ready.definition.secret.clone(), ready.former), (Some(second.clone()), Some(first)));
    assert_eq!(stored.ready(&secrets, now_ms + 3_600_000).unwrap().former, None);
    let shown = node.webhook(&name("a")).await.unwrap();
    assert_eq!(shown.former_secret_until_ms, Some(now_ms + 3_600_000));

    let third = node.rotate(&name("a"), Duration::ZERO).await.unwrap();
    let ready = node.stored(&name("a")).await.unwrap().ready(&secrets, now_ms).unwrap();
    assert_eq!((ready.definition.secret.clone(), ready.former), (Some(third), None));
    // All that is sealed goes over to a new key.
    let newer = Secrets::given(Keys::new(Key::from([7; 32])).with_current(Key::from([9; 32])).unwrap());
    assert_eq!(newer.rotate(&bench.database, crate::SEALED).await.unwrap(), 2);
    let alone = Secrets::given(Keys::new(Key::from([9; 32])));
    assert!(node.stored(&name("a")).await.unwrap().ready(&alone, now_ms).is_ok());
}

fn configured(text: &str, url: &str) -> Definition {
    Endpoint { name: text.into(), url: url.into(), ..Endpoint::default() }.check().unwrap()
}

fn pulled() -> crate::Notice {
    crate::Notice {
        action: "pull",
        at_ms: 0,
        repository: "acme/app".into(),
        from_repository: None,
        tag: None,
        digest: "sha256:a3aa9a6043e00956389f9e9ac582e89b5acda67f142cb2b9f4ca1ab146b651d7".into(),
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        size_bytes: 392,
        is_manifest: true,
        actor: None,
        request: registry_types::RequestSource::new("1", None, None, "GET", None),
    }
}

pub(super) async fn configured_webhooks_have_names_alone(bench: &Bench) {
    let recorder = Recorder::new();
    let node = node(&bench.database, &recorder);
    let two = || vec![configured("a", "http://ann:secret@10.0.0.5/a"), configured("b", "http://10.0.0.5/b")];
    node.configure(two()).await.unwrap();
    node.configure(two()).await.unwrap();
    assert!(!bench.rows("SELECT * FROM webhooks").await.join("\n").contains("10.0.0.5"));
    let a = node.webhook(&name("a")).await.unwrap();
    assert_eq!((a.is_configured, a.url.as_deref()), (true, Some("http://10.0.0.5/a")));
    assert!(node.wants_notices());
    // Pulls are for endpoints alone.
    let webhook = Draft { format: Some("distribution".into()), ..draft("a") };
    node.configure(vec![webhook.check(crate::Audience::Operators).unwrap(), two().remove(1)]).await.unwrap();
    assert_eq!(node.0.notices.load().names(), ["b"]);
    node.configure(two()).await.unwrap();
    // A paused one is sent none, and told later of none.
    for (pauses, dropped) in [(true, 1), (false, 1)] {
        match pauses {
            true => node.pause(&name("a")).await.unwrap(),
            false => node.resume(&name("a")).await.unwrap(),
        }
        node.note(&pulled());
        let waits = if pauses { 1 } else { 3 };
        assert_eq!(node.0.notices.load().numbers(), (waits, dropped));
    }
    for done in [
        node.change(&draft("a")).await.map(drop),
        node.rotate(&name("a"), Duration::ZERO).await.map(drop),
        node.add(&draft("a")).await.map(drop),
        node.remove(&name("a")).await,
    ] {
        let error = done.unwrap_err();
        assert!(matches!(error, WebhookError::Configured(_) | WebhookError::Exists(_)), "{error}");
    }

    // A node that has no such definition shows the name, and makes no messages of events.
    let other = super::node(&bench.other, &recorder);
    let seen = other.webhook(&name("a")).await.unwrap();
    assert_eq!((seen.id, seen.url), (a.id, None));
    // A command knows the definitions of its configuration without taking them over.
    let beside = super::node(&bench.other, &recorder);
    beside.know(two().into_iter().map(|two| Definition { is_disabled: true, ..two }).collect());
    let seen = beside.webhook(&name("a")).await.unwrap();
    assert_eq!((seen.format, seen.url), (a.format, a.url));
    assert!(matches!(seen.state, State::Disabled(_)));
    assert!(matches!(beside.remove(&name("a")).await, Err(WebhookError::Configured(_))));
    moved_many(&bench.database, 1, 1).await;
    other.feed_once().await.unwrap();
    assert_eq!(bench.value("SELECT COUNT(*) FROM webhook_deliveries").await, "0");

    // What is gone from the configuration keeps what waits for it, and is removed by hand.
    let told = Definition { format: registry_types::WebhookFormat::CloudEvents, ..two().remove(0) };
    node.configure(vec![told, two().remove(1)]).await.unwrap();
    node.feed_once().await.unwrap();
    node.configure(vec![configured("b", "http://10.0.0.5/b")]).await.unwrap();
    assert_eq!(node.history(&name("a"), None, 10).await.unwrap().len(), 1);
    node.remove(&name("a")).await.unwrap();
    assert_eq!(node.list().await.unwrap().len(), 1);
    // A name that was added by hand stays what it is.
    node.add(&draft("c")).await.unwrap();
    node.configure(vec![configured("b", "http://10.0.0.5/b"), configured("c", "http://10.0.0.5/c")])
        .await
        .unwrap();
    assert_eq!(node.webhook(&name("c")).await.unwrap().url.as_deref(), Some("https://ci.example.com/hook"));
}

pub(super) async fn a_configured_webhook_that_was_removed_elsewhere_is_added_again(bench: &Bench) {
    let [node, other] = [node(&bench.database, &Recorder::new()), node(&bench.database, &Recorder::new())];
    node.configure(vec![configured("a", "http://10.0.0.5/a")]).await.unwrap();
    let first = node.all().await.unwrap();
    other.remove(&name("a")).await.unwrap();
    assert_eq!(node.list().await.unwrap(), []);
    node.keep_configured().await.unwrap();
    let again = node.all().await.unwrap();
    assert_eq!((again.len(), again[0].name.as_str(), again[0].is_configured), (1, "a", true));
    assert_ne!(again[0].id, first[0].id, "it is told of what happens from now on");
    node.keep_configured().await.unwrap();
    assert_eq!(node.all().await.unwrap().len(), 1);
}

pub(super) async fn a_disabled_webhook_of_the_configuration_keeps_its_events(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    let enabled = configured("a", "http://10.0.0.5/a");
    let enabled = Definition { format: registry_types::WebhookFormat::CloudEvents, ..enabled };
    let disabled = |definition: &Definition| Definition { is_disabled: true, ..definition.clone() };
    let other = configured("b", "http://10.0.0.5/b");
    node.configure(vec![disabled(&enabled), disabled(&other)]).await.unwrap();
    assert!(matches!(node.webhook(&name("a")).await.unwrap().state, State::Disabled(_)));
    assert!(!node.wants_notices());
    moved_many(&bench.database, 1, 3).await;
    node.feed_once().await.unwrap();
    assert_eq!(bench.value("SELECT COUNT(*) FROM webhook_deliveries").await, "0");
    node.configure(vec![enabled, disabled(&other)]).await.unwrap();
    node.feed_once().await.unwrap();
    assert_eq!(bench.value("SELECT COUNT(*) FROM webhook_deliveries").await, "3");
}

pub(super) async fn webhooks_have_a_limit(bench: &Bench) {
    let node = node(&bench.database, &Recorder::new());
    node.add(&draft("first")).await.unwrap();
    let fill = format!(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {WEBHOOKS_MAX})
        INSERT INTO webhooks (id, name, origin, state, created_at_ms) SELECT i, 'w' || i, 0, 0, 0 FROM n"
    );
    bench.run(&fill).await;
    assert!(matches!(node.add(&draft("last")).await, Err(WebhookError::Many)));
    bench.run("DELETE FROM webhooks WHERE id = 2").await;
    node.add(&draft("last")).await.unwrap();
}
