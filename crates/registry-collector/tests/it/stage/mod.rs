//! A registry whose clients and collectors do one step at a time, in the order that a test or a seed decides.

mod client;
mod ledger;
mod metadata;
mod store;
mod turns;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use registry_collector::{Collector, CollectorOptions, Sweep, SweepOptions};
use registry_metadata::{Clock, CollectRules, Options, SqliteStore, clock::ManualClock};

pub(crate) use self::{
    client::{Answer, Client, image, index},
    ledger::Ledger,
    store::{OnItsWay, arrive},
    turns::{AT_ONCE, Actor, Fate, Turns},
};
use self::{metadata::SteppedMetadata, store::SteppedStore};
use crate::world::{DAY, World};

pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) options: Options,
    pub(crate) turns: Turns,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) on_their_way: Arc<Mutex<Vec<OnItsWay>>>,
    path: Option<PathBuf>,
    actors: usize,
}

impl Stage {
    pub(crate) fn new(options: Options) -> Stage {
        Stage::of(World::new(options.clone()), options, None)
    }

    /// A registry whose database is in a file.
    pub(crate) fn in_file(options: Options, path: &Path) -> Stage {
        Stage::of(World::in_file(options.clone(), path), options, Some(path.to_owned()))
    }

    fn of(world: World, options: Options, path: Option<PathBuf>) -> Stage {
        let world = Arc::new(world);
        let ledger = Arc::new(Mutex::new(Ledger::new(&world.clock, options.lease)));
        let (turns, on_their_way) = (Turns::default(), Arc::default());
        Stage { world, options, turns, ledger, on_their_way, path, actors: 0 }
    }

    /// A client all of whose requests are answered at once.
    pub(crate) fn client(&self) -> Client {
        self.client_of(AT_ONCE)
    }

    fn client_of(&self, actor: usize) -> Client {
        let metadata = SteppedMetadata {
            inner: self.world.metadata.clone(),
            actor,
            turns: self.turns.clone(),
            ledger: self.ledger.clone(),
        };
        let store = SteppedStore {
            inner: (*self.world.store).clone(),
            actor,
            turns: self.turns.clone(),
            on_their_way: self.on_their_way.clone(),
            ledger: self.ledger.clone(),
        };
        Client { world: self.world.clone(), metadata, store }
    }

    /// Somebody who does what `work` does with a client of its own.
    pub(crate) async fn actor<F: Future<Output = ()> + 'static>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(Client) -> F,
    ) -> Actor {
        self.actors += 1;
        let client = self.client_of(self.actors);
        Actor::new(name, self.actors, &self.turns, work(client)).await
    }

    /// One collection.
    pub(crate) async fn collector(&mut self) -> Actor {
        self.actor("collector", async |client| {
            collector(&client, 1).collect(&()).await;
        })
        .await
    }

    /// Collections, one after another without a step between them, until nothing is left that is due.
    pub(crate) async fn collect(&self) {
        collector(&self.client(), 16).collect(&()).await;
    }

    /// As [`collect`](Stage::collect), in another process, whose clock is ahead.
    pub(crate) async fn collect_ahead(&self, by: Duration) {
        let clock = ManualClock::at_ms(self.world.clock.now_ms());
        clock.advance(by);
        let path = self.path.as_ref().expect("a database in memory is one process's");
        let metadata = SqliteStore::open(path, self.options.clone(), Arc::new(clock)).unwrap();
        let options = CollectorOptions::default().unlimited();
        let report = Collector::new(Arc::new(metadata), self.world.store.clone(), options).collect(&()).await;
        assert!(report.is_complete(), "{report}");
    }

    /// What is on its way to the store arrives.
    pub(crate) async fn arrive(&self) {
        let requests = std::mem::take(&mut *self.on_their_way.lock().unwrap());
        for request in requests {
            arrive(&self.world.store, request).await;
        }
    }

    /// Everything that was promised is there.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let mut ledger = self.take_ledger();
        let checked = ledger.check(&self.world).await;
        *self.ledger.lock().unwrap() = ledger;
        checked
    }

    /// So that it is not locked while somebody waits.
    fn take_ledger(&self) -> Ledger {
        let empty = Ledger::new(&self.world.clock, self.options.lease);
        std::mem::replace(&mut *self.ledger.lock().unwrap(), empty)
    }
}

/// A collector that takes untagged manifests, too, and does a few things at once.
pub(crate) fn collector(client: &Client, batch: usize) -> Collector {
    let rules = CollectRules { untagged: true };
    let options = CollectorOptions { rules, batch, deletes_at_once: 2, ..CollectorOptions::default() };
    Collector::new(Arc::new(client.metadata.clone()), Arc::new(client.store.clone()), options.unlimited())
}

pub(crate) fn sweep(client: &Client) -> Sweep {
    let options = SweepOptions { delete: true, unknown_for: DAY };
    Sweep::new(Arc::new(client.metadata.clone()), Arc::new(client.store.clone()), options)
}
