//! Clients of every kind at once, while collectors run as fast as they can and leases last seconds: no image breaks, and
//! nobody is told that something is gone which was promised to be there. And the same while everything is killed now and
//! then: in the end the bytes on disk are the bytes that can be reached.

use std::{
    fs,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use registry_testing::{
    Program, Random, Server, ServerOptions, SoakWorker, Soaked, nothing_but_what_is_reachable_is_left,
};

use crate::number;

/// How long the soak runs, unless `REGISTRY_SOAK_SECONDS` says otherwise.
const SECONDS_DEFAULT: u64 = 15;

/// How often everything is killed, unless `REGISTRY_SOAK_KILLS` says otherwise.
const KILLS_DEFAULT: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_image_breaks_while_collectors_run() {
    let seconds = number("REGISTRY_SOAK_SECONDS").unwrap_or(SECONDS_DEFAULT);
    let seed = number("REGISTRY_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("REGISTRY_SOAK_SEED={seed} REGISTRY_SOAK_SECONDS={seconds}");
    let server = ServerOptions::new().collecting_all_the_time().start().await;
    let clients = [server.client()];
    let soaked = Soaked::run(seed, Duration::from_secs(seconds), &clients, server.options()).await;
    let Soaked { workers, operations, collections } = soaked;
    eprintln!(
        "{operations} operations and {collections} collections, no image broken, nothing promised was gone"
    );
    assert!(operations > 0 && collections > 0);
    nothing_but_what_is_reachable_is_left(&workers, &clients, server.options(), || on_disk(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_servers_and_collectors_leave_no_garbage_and_no_holes() {
    let kills = number("REGISTRY_SOAK_KILLS").unwrap_or(KILLS_DEFAULT);
    let seed = number("REGISTRY_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("REGISTRY_SOAK_SEED={seed} REGISTRY_SOAK_KILLS={kills}");
    let mut random = Random::seeded(seed);
    let mut workers = SoakWorker::several(seed);
    let options = ServerOptions::new().collecting_all_the_time();
    let mut server = options.start().await;
    for _ in 0..kills {
        let stop = Arc::new(AtomicBool::new(false));
        let at_work: Vec<_> = workers
            .into_iter()
            .map(|worker| tokio::spawn(worker.work(vec![server.client()], stop.clone())))
            .collect();
        // Collectors that are killed in the middle.
        for _ in 0..random.within(3..8) {
            let mut collector = options.spawn_command(Program::Gc, &[]);
            tokio::time::sleep(Duration::from_millis(random.within(1..150))).await;
            let _ = collector.kill();
            let _ = collector.wait();
        }
        server.kill().await;
        workers = Vec::new();
        for worker in at_work {
            workers.push(worker.await.unwrap());
        }
        server = options.start().await;
        for worker in &mut workers {
            worker.settle(&server.client()).await;
        }
    }
    let clients = [server.client()];
    nothing_but_what_is_reachable_is_left(&workers, &clients, &options, || on_disk(&server)).await;
}

fn on_disk(server: &Server) -> (usize, u64) {
    let shards = fs::read_dir(server.data().join("store/blobs")).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    // One may go while it is looked at.
    let sizes = files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len());
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
}
