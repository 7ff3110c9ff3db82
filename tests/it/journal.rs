//! A server whose database is lost, old, or cut off in the middle of a push goes on with everything that it acknowledged,
//! if its database is journalled into the store.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use registry_testing::{Image, Pushed, ServerOptions, eventually, lists, run_binary};

use crate::number;

/// How many images are pushed, unless `REGISTRY_JOURNAL_IMAGES` says otherwise.
const IMAGES_DEFAULT: u64 = 25;

/// A server whose database is in a folder that can be lost, and all else in the store.
fn journalled() -> (ServerOptions, PathBuf) {
    let options = ServerOptions::new();
    let database = options.folder().join("disk");
    let path = database.join("metadata.sqlite").display().to_string();
    let options = options
        .variable("REGISTRY_METADATA_SQLITE_PATH", &path)
        .variable("REGISTRY_METADATA_SQLITE_JOURNAL_ENABLED", "true")
        .variable("REGISTRY_METADATA_SQLITE_JOURNAL_SNAPSHOT_ENTRIES", "20");
    (options, database)
}

fn images() -> u64 {
    number("REGISTRY_JOURNAL_IMAGES").unwrap_or(IMAGES_DEFAULT)
}

/// `registry journal …` with the server's variables.
fn journal(options: &ServerOptions, action: &str) -> (bool, String) {
    let data = options.data().display().to_string();
    let path = options.folder().join("disk/metadata.sqlite").display().to_string();
    let variables = [
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", data.as_str()),
        ("REGISTRY_METADATA_SQLITE_PATH", path.as_str()),
        ("REGISTRY_METADATA_SQLITE_JOURNAL_ENABLED", "true"),
    ];
    let output = run_binary(&["journal", action], &variables);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loses_its_disk_serves_what_it_acknowledged() {
    let (options, database) = journalled();
    let mut server = options.start().await;
    server.log().wait_for("no journal of the database yet").await;
    let pushed = Pushed::push(&server.client(), 0, images()).await;
    let expected = lists(&server.client()).await;
    let (is_well, text) = journal(&options, "verify");
    assert!(is_well, "{text}");
    server.kill().await;
    fs::remove_dir_all(&database).unwrap();

    let mut server = options.start().await;
    server.log().wait_for("made again from the store's journal").await;
    assert_eq!(lists(&server.client()).await, expected);
    pushed.check(&server.client()).await;
    server.client().push("team/app0", "later", &Image::random(99)).await.unwrap();
    let (is_well, text) = journal(&options, "verify");
    assert!(is_well && text.contains("the journal is intact"), "{text}");
    server.terminate();
    assert!(server.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_from_earlier_catches_up() {
    let (options, database) = journalled();
    let mut server = options.start().await;
    Pushed::push(&server.client(), 0, 3).await;
    server.terminate();
    server.ended().await;
    let earlier = database.with_extension("earlier");
    fs::create_dir(&earlier).unwrap();
    fs::copy(database.join("metadata.sqlite"), earlier.join("metadata.sqlite")).unwrap();
    let mut server = options.start().await;
    let pushed = Pushed::push(&server.client(), 0, 10).await;
    let expected = lists(&server.client()).await;
    server.kill().await;
    fs::remove_dir_all(&database).unwrap();
    fs::rename(&earlier, &database).unwrap();

    let (_, text) = journal(&options, "status");
    assert!(text.contains("snapshots as of commit"), "{text}");
    let server = options.start().await;
    assert_eq!(lists(&server.client()).await, expected);
    pushed.check(&server.client()).await;
    assert!(journal(&options, "verify").0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_push_and_the_loss_of_the_disk_lose_nothing_acknowledged() {
    let (options, database) = journalled();
    let mut acknowledged: Vec<Image> = Vec::new();
    let mut server = options.start().await;
    for round in 0..4 {
        let (client, count) = (server.client(), Arc::new(AtomicU64::new(0)));
        let pushing = tokio::spawn({
            let count = count.clone();
            async move {
                let mut done = Vec::new();
                for number in 0.. {
                    let image = Image::random(round * 1000 + number);
                    let tag = format!("r{round}n{number}");
                    match client.push("killed", &tag, &image).await {
                        Ok(()) => done.push(image),
                        Err(error) if error.is_disconnect() => return done,
                        Err(error) => panic!("{error}"),
                    }
                    count.fetch_add(1, Relaxed);
                }
                done
            }
        });
        eventually("some are pushed", async || (count.load(Relaxed) >= 3 + round).then_some(())).await;
        server.kill().await;
        acknowledged.extend(pushing.await.unwrap());
        // Every other time the disk is gone, too.
        if round % 2 == 0 {
            fs::remove_dir_all(&database).unwrap();
        }
        server = options.start().await;
        for image in &acknowledged {
            let digest = image.manifest.digest.to_string();
            server.client().pull("killed", &digest, image).await.unwrap();
        }
    }
    assert!(acknowledged.len() > 12);
    assert!(journal(&options, "verify").0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journalled_database_is_not_served_without_its_journal_until_that_is_dropped() {
    let (options, _) = journalled();
    let mut server = options.start().await;
    let pushed = Pushed::push(&server.client(), 0, 2).await;
    let (is_done, text) = journal(&options, "drop");
    assert!(!is_done && text.contains("in use"), "{text}");
    server.terminate();
    server.ended().await;
    let without = options.clone().variable("REGISTRY_METADATA_SQLITE_JOURNAL_ENABLED", "false");
    let (_, log) = without.try_start().await.unwrap_err();
    assert!(log.contains("registry journal drop"), "{log}");
    let (is_done, text) = journal(&options, "drop");
    assert!(is_done, "{text}");
    let mut server = without.start().await;
    pushed.check(&server.client()).await;
    server.terminate();
    server.ended().await;
    // It may begin again.
    let server = options.start().await;
    pushed.check(&server.client()).await;
    assert!(journal(&options, "verify").0);
}

/// Two databases, one journal: the server that finds itself behind refuses to go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_journal_went_on_without_it_stops() {
    let (options, _) = journalled();
    let mut server = options.start().await;
    server.client().push("app", "one", &Image::random(1)).await.unwrap();
    // The next entry, as another process would have written it.
    let small = options.data().join("store/small");
    let names = fs::read_dir(&small).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let last = names.filter(|name| name.starts_with("journal%2F")).max().unwrap();
    let entry = fs::read(small.join(&last)).unwrap();
    let commits = last["journal%2F".len()..].parse::<u64>().unwrap();
    for next in commits + 1..commits + 20 {
        let name = format!("journal%2F{next:020}");
        fs::write(small.join(name), &entry).unwrap();
    }
    let refused = server.client().push("app", "two", &Image::random(2)).await;
    assert!(refused.is_err(), "it acknowledged what it could not store");
    assert!(!server.ended().await.success());
    let log = server.log().to_the_end().await;
    assert!(log.contains("another process has stored commit"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_say_how_the_journal_is_doing() {
    let (options, _) = journalled();
    let options = options
        .variable("REGISTRY_HTTP_DEBUG_ADDR", "127.0.0.1:0")
        .variable("REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED", "true");
    let server = options.start().await;
    server.client().push("app", "one", &Image::random(1)).await.unwrap();
    let address = |log: &str| Some(log.split_once("metrics at ")?.1.split_once('"')?.0.to_owned());
    let url = server.log().wait_for_value("metrics at", address).await;
    let client = registry_testing::Client::new(&url);
    eventually("the metrics show it", async || {
        let text = client.get("/metrics").send().await.ok()?.text();
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
            line.split(' ').nth(1)?.parse::<f64>().ok()
        };
        let is_shown = value("registry_journal_stored_commit")? > 3.0
            && value("registry_journal_behind_commits")? == 0.0
            && value("registry_journal_entries_bytes")? > 0.0
            && value("registry_journal_snapshot_seconds")? > 0.0;
        is_shown.then_some(())
    })
    .await;
}
