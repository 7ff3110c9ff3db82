//! Receivers of every temper while clients move tags and nodes are killed: each move that was acknowledged arrives at each receiver, in
//! the order of the moves where a receiver is well, and with numbers that have no gap.

use std::{collections::BTreeSet, time::Duration};

use registry_testing::{
    Behaviour, Movers, Random, Receiver, ServerOptions, TagMoved, check_order_of_moves, check_told_moves,
    eventually_within,
};

use super::cluster::Cluster;
use crate::number;

/// How many nodes are killed, unless `REGISTRY_WEBHOOK_KILLS` says otherwise.
const KILLS_DEFAULT: u64 = 10;

/// All pushes arrive within this, once the receiver is well.
const ARRIVES_WITHIN: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_move_of_a_tag_arrives_whatever_is_killed() {
    let kills = number("REGISTRY_WEBHOOK_KILLS").unwrap_or(KILLS_DEFAULT);
    let seed = number("REGISTRY_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("REGISTRY_SOAK_SEED={seed} REGISTRY_WEBHOOK_KILLS={kills}");
    let mut random = Random::seeded(seed);
    let (good, slow) = (Receiver::start(Behaviour::good()).await, Receiver::start(Behaviour::good()).await);
    let (failing, hanging) =
        (Receiver::start(Behaviour::good()).await, Receiver::start(Behaviour::good()).await);
    slow.behave(Behaviour::Slow(Duration::from_millis(20)));
    failing.behave(Behaviour::with_header(503, &[("retry-after", "1")]));
    hanging.behave(Behaviour::Hang);
    let hook = |name: &str, receiver: &Receiver| {
        format!("{{name: {name}, url: \"{}\", events: [tag.moved], timeout: 2s}}", receiver.url())
    };
    let webhooks =
        format!("[{}, {}, {}]", hook("good", &good), hook("slow", &slow), hook("failing", &failing));
    let endpoint = format!(
        "{{endpoints: [{{name: hanging, url: \"{}\", timeout: 500ms, threshold: 3, backoff: 1s, ignore: {{actions: [pull]}}}}]}}",
        hanging.url()
    );
    let telling = |options: ServerOptions| {
        options.variable("REGISTRY_WEBHOOKS", &webhooks).variable("REGISTRY_NOTIFICATIONS", &endpoint)
    };
    let mut cluster = Cluster::start(telling).await;
    let movers = Movers::start(&cluster.clients);
    movers.go_on(20).await;
    for kill in 0..kills {
        cluster.kill_and_restart(random.within(0..3) as usize).await;
        // A receiver that was down comes back, and goes again.
        failing.behave(match kill % 2 {
            0 => Behaviour::good(),
            _ => Behaviour::with_header(503, &[("retry-after", "1")]),
        });
        movers.go_on(random.within(1..12) as usize).await;
    }
    let moved = movers.stop().await;
    for receiver in [&failing, &slow, &hanging] {
        receiver.behave(Behaviour::good());
    }

    let client = &cluster.clients[0];
    let told = check_told_moves("good", &good, &moved, client).await;
    check_order_of_moves(&told);
    for (name, receiver) in [("slow", &slow), ("failing", &failing)] {
        check_told_moves(name, receiver, &moved, client).await;
    }
    all_pushes_arrive(&hanging, &moved).await;
    eprintln!("{} moves arrived at each receiver, {kills} nodes were killed", moved.len());
}

async fn all_pushes_arrive(receiver: &Receiver, moved: &[TagMoved]) {
    let wanted: BTreeSet<TagMoved> = moved.iter().cloned().collect();
    eventually_within("every push arrives in the envelope of the Go registry", ARRIVES_WITHIN, async || {
        let received = receiver.received();
        let taken = received.iter().filter(|call| call.status.is_some());
        let here: BTreeSet<TagMoved> = taken.filter_map(|call| pushed(&call.json())).collect();
        wanted.is_subset(&here).then_some(())
    })
    .await;
}

fn pushed(envelope: &serde_json::Value) -> Option<TagMoved> {
    let event = &envelope["events"][0];
    let target = &event["target"];
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    (event["action"] == "push").then_some(())?;
    Some(TagMoved {
        repository: text(&target["repository"])?,
        tag: text(&target["tag"])?,
        digest: text(&target["digest"])?,
    })
}
