//! A database that goes away, hangs, or whose answers are lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use registry_types::Reference;

use registry_testing_postgres::{Break, PostgresServer, Proxy};

use super::{
    super::PostgresStore,
    backend::{PostgresProbe, at, open},
    images::{image, new_upload, push_blob, put, repo, tag},
};
use crate::{MetadataError, Options, PoolOptions, PostgresOptions, Purpose, contract::Probe, traits::*};

/// By when a request has been told that the database is gone.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// The command as it is sent, which is not the end of `READ COMMITTED`.
const COMMIT: &str = "COMMIT\0";

/// How many requests come at once: more than there are connections.
const REQUESTS: usize = 300;

async fn through(proxy: &Proxy, url: &str) -> Arc<PostgresStore> {
    let database = url.rsplit_once('/').unwrap().1;
    let url = format!("postgres://registry@127.0.0.1:{}/{database}", proxy.port());
    Arc::new(open(&url, &Options::default()).await)
}

async fn many_fail_at_once(store: &Arc<PostgresStore>) {
    let started = Instant::now();
    let mut running = Vec::new();
    for number in 0..REQUESTS {
        let store = store.clone();
        running.push(tokio::spawn(async move {
            match number % 3 {
                0 => store.blob(&repo("a"), &super::images::digest("x"), Purpose::Read).await.map(drop),
                1 => store.start_upload(&new_upload("a")).await,
                _ => {
                    put(&*store, "a", &image(&super::images::digest("x"), &[]), &["v1"], true).await.map(drop)
                }
            }
        }));
    }
    for answer in running {
        let answer = answer.await.unwrap();
        assert!(matches!(answer, Err(MetadataError::Unavailable { .. })), "{answer:?}");
    }
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_fails_requests_at_once_and_is_found_again() {
    let server = PostgresServer::start();
    let url = server.database();
    let store = Arc::new(open(&url, &Options::default()).await);
    push_blob(&*store, "a", "content").await;
    for end in [PostgresServer::stop, PostgresServer::kill] {
        end(&server);
        many_fail_at_once(&store).await;
        many_fail_at_once(&store).await;
        assert!(store.check().await.is_err());
        server.resume();
        let until = Instant::now() + Duration::from_secs(2);
        while let Err(error) = store.check().await {
            assert!(Instant::now() < until, "it is found again: {error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let found = store.blob(&repo("a"), &super::images::digest("content"), Purpose::Read).await.unwrap();
        assert!(found.is_some(), "what was acknowledged is there");
    }
}

/// All connections of the pool are dead, and nobody has noticed: reads and transactions are done on a new one.
#[tokio::test]
async fn a_restart_between_two_requests_is_not_noticed() {
    let server = PostgresServer::start();
    // How long a new connection takes on a machine that has much to do is not what is asked here.
    let pool = PoolOptions { size: 4, wait: Duration::from_secs(60), ..PoolOptions::default() };
    let at_leisure = server.database().parse::<PostgresOptions>().unwrap().with_pool(pool);
    let store = PostgresStore::open(&at_leisure, Options::default()).await.unwrap();
    let config = push_blob(&store, "a", "config").await;
    for number in 0..3 {
        server.stop();
        server.resume();
        store.blob(&repo("a"), &config, Purpose::Read).await.unwrap().unwrap();
        server.stop();
        server.resume();
        put(&store, "a", &image(&config, &[]), &[&format!("v{number}")], false).await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_commit_is_unavailable_and_the_same_again_is_right() {
    let server = PostgresServer::shared();
    let url = server.database();
    let proxy = Proxy::to(server.port()).await;
    let store = through(&proxy, &url).await;
    let probe = PostgresProbe::connect(&url).await;
    let config = push_blob(&*store, "a", "config").await;
    let manifest = image(&config, &[]);
    proxy.break_once(Break::AfterSending(COMMIT));
    let unknown = put(&*store, "a", &manifest, &["v1"], false).await.unwrap_err();
    assert!(matches!(unknown, MetadataError::Unavailable { .. }), "{unknown:?}");
    assert!(proxy.has_broken());
    let tags = "SELECT COUNT(*) FROM tag_history";
    let until = Instant::now() + Duration::from_secs(5);
    while probe.rows(tags).await != ["1"] {
        assert!(Instant::now() < until, "it was committed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    put(&*store, "a", &manifest, &["v1"], false).await.unwrap();
    assert_eq!(probe.rows(tags).await, ["1"], "and changed nothing the second time");
    let pulled =
        store.manifest(&repo("a"), &Reference::Tag(tag("v1")), Purpose::Read).await.unwrap().unwrap();
    assert_eq!(pulled.bytes, manifest.bytes());
}

#[tokio::test]
async fn a_commit_that_did_not_arrive_is_unavailable_and_left_nothing() {
    let server = PostgresServer::shared();
    let url = server.database();
    let proxy = Proxy::to(server.port()).await;
    let store = through(&proxy, &url).await;
    let config = push_blob(&*store, "a", "config").await;
    proxy.break_once(Break::BeforeSending(COMMIT));
    let unknown = put(&*store, "a", &image(&config, &[]), &["v1"], false).await.unwrap_err();
    assert!(matches!(unknown, MetadataError::Unavailable { .. }), "{unknown:?}");
    let found = store.manifest(&repo("a"), &Reference::Tag(tag("v1")), Purpose::Read).await.unwrap();
    assert_eq!(found, None);
    put(&*store, "a", &image(&config, &[]), &["v1"], false).await.unwrap();
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_of_a_transaction_is_replaced() {
    let server = PostgresServer::shared();
    let url = server.database();
    let proxy = Proxy::to(server.port()).await;
    let store = through(&proxy, &url).await;
    let config = push_blob(&*store, "a", "config").await;
    for at in [Break::BeforeSending("BEGIN"), Break::AfterSending("BEGIN"), Break::AfterSending("v1")] {
        proxy.break_once(at);
        put(&*store, "a", &image(&config, &[]), &["v1"], false).await.unwrap();
        assert!(proxy.has_broken(), "{at:?}");
    }
}

/// The way is there, and nothing comes through: the first ones wait as long as an answer may take, the next ones are told
/// at once; and the server gives up what a node that is cut off had locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_is_given_up_and_gives_up_locks() {
    let server = PostgresServer::shared();
    let url = server.database();
    let proxy = Proxy::to(server.port()).await;
    let store = through(&proxy, &url).await;
    let healthy = open(&url, &Options::default()).await;
    let config = push_blob(&*store, "a", "config").await;
    put(&*store, "a", &image(&config, &[]), &["v1"], false).await.unwrap();

    // A node that is cut off in the middle: its locks are held by a transaction from which nothing comes.
    let cut_off = store.pool.connection().await.unwrap();
    cut_off.batch("BEGIN; SELECT 1 FROM tags WHERE name = 'v1' FOR UPDATE").await.unwrap();
    proxy.silence(true);
    let started = Instant::now();
    let silent = store.blob(&repo("a"), &config, Purpose::Read).await.unwrap_err();
    assert!(matches!(silent, MetadataError::Unavailable { .. }), "{silent:?}");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    many_fail_at_once(&store).await;

    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = put(&healthy, "a", &image(&config, &[config]), &["v1"], false).await {
        assert!(matches!(error, MetadataError::Unavailable { .. }), "{error:?}");
        assert!(Instant::now() < deadline, "the lock is given up");
    }

    proxy.silence(false);
    drop(cut_off);
    let until = Instant::now() + Duration::from_secs(5);
    while let Err(error) = store.check().await {
        assert!(Instant::now() < until, "it is found again: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn requests_beyond_the_pool_are_refused_after_a_second() {
    let store = open(&PostgresServer::shared().database(), &Options::default()).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(store.pool.connection().await.unwrap());
    }
    let started = Instant::now();
    let refused = store.check().await.unwrap_err();
    assert!(matches!(refused, MetadataError::Unavailable { .. }));
    assert!((Duration::from_millis(900)..AT_ONCE).contains(&started.elapsed()));
    held.pop();
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_wrong_database_is_told_at_the_start() {
    let url = PostgresServer::shared().url("nowhere");
    let started = Instant::now();
    let error = PostgresStore::open(&at(&url), Options::default()).await.unwrap_err();
    assert!(format!("{error:?}").contains("nowhere"), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "waiting does not help");
}
