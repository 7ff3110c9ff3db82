//! A server that is killed and loses its disk, again and again, while clients move tags: its database comes back from the journal in the
//! store, and receivers are told of each move that was acknowledged.

use std::{fs, time::Duration};

use registry_testing::{
    Behaviour, Movers, Random, Receiver, ServerOptions, check_order_of_moves, check_told_moves, free_port,
};

use crate::number;

/// How often the server is killed, unless `REGISTRY_WEBHOOK_KILLS` says otherwise.
const KILLS_DEFAULT: u64 = 3;

/// A receiver that fails until it is told otherwise.
fn failing() -> Behaviour {
    Behaviour::with_header(503, &[("retry-after", "1")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_move_of_a_tag_arrives_after_the_loss_of_the_disk() {
    let kills = number("REGISTRY_WEBHOOK_KILLS").unwrap_or(KILLS_DEFAULT);
    let seed = number("REGISTRY_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("REGISTRY_SOAK_SEED={seed} REGISTRY_WEBHOOK_KILLS={kills}");
    let mut random = Random::seeded(seed);
    let good = Receiver::start(Behaviour::good()).await;
    let slow = Receiver::start(Behaviour::Slow(Duration::from_millis(20))).await;
    let fails = Receiver::start(failing()).await;
    let hook = |name: &str, receiver: &Receiver| {
        format!("{{name: {name}, url: \"{}\", events: [tag.moved], timeout: 2s}}", receiver.url())
    };
    let hooks = [("good", &good), ("slow", &slow), ("fails", &fails)].map(|(name, at)| hook(name, at));
    let options = ServerOptions::new();
    let disk = options.folder().join("disk");
    let options = options
        .variable("REGISTRY_METADATA_SQLITE_PATH", &disk.join("metadata.sqlite").display().to_string())
        .variable("REGISTRY_METADATA_SQLITE_JOURNAL_ENABLED", "true")
        .variable("REGISTRY_METADATA_SQLITE_JOURNAL_SNAPSHOT_ENTRIES", "50")
        .variable("REGISTRY_HTTP_ADDR", &format!("127.0.0.1:{}", free_port()))
        .variable("REGISTRY_WEBHOOKS", &format!("[{}]", hooks.join(", ")));
    let mut server = options.start().await;
    let movers = Movers::start(&[server.client()]);
    movers.go_on(10).await;
    for kill in 0..kills {
        server.kill().await;
        fs::remove_dir_all(&disk).unwrap();
        server = options.start().await;
        server.log().wait_for("made again from the store's journal").await;
        // A receiver that was down comes back, and goes again.
        fails.behave(if kill % 2 == 0 { Behaviour::good() } else { failing() });
        movers.go_on(random.within(1..12) as usize).await;
    }
    let moved = movers.stop().await;
    fails.behave(Behaviour::good());

    let client = server.client();
    check_order_of_moves(&check_told_moves("good", &good, &moved, &client).await);
    for (name, receiver) in [("slow", &slow), ("fails", &fails)] {
        check_told_moves(name, receiver, &moved, &client).await;
    }
    eprintln!("{} moves arrived at each receiver, {kills} disks were lost", moved.len());
}
