//! One run: who is next, how it goes, and what is checked.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use registry_metadata::{Options, traits::*};
use registry_storage::BlobStore;
use registry_types::Cause;

use super::{
    acts::{Act, Sessions, choose},
    random::Random,
};
use crate::stage::{Actor, Fate, Stage, arrive, sweep};

const STEPS: usize = 800;
const ACTORS_MAX: usize = 6;

/// How often in a hundred times somebody may do more than one step, and how many.
const FAR_PERCENT: usize = 15;
const FAR_STEPS_MAX: usize = 40;

/// How often in a hundred times a request does not go as it should.
const TROUBLE_PERCENT: usize = 4;

/// How often everything that rests is collected, with time in between: until nothing more goes, and at least so often that
/// what waits for its time has had it.
const ROUNDS_MIN: usize = 8;
const ROUNDS_MAX: usize = 64;

/// How many steps were done, and what happened, in words.
pub(super) fn run(seed: u64) -> (u64, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.next().await;
        }
        run.come_to_rest().await;
        run.delete_everything().await;
        (run.told.len() as u64, run.told)
    })
}

struct Run {
    seed: u64,
    random: Random,
    stage: Stage,
    sessions: Sessions,
    /// With how often each comes on, of a hundred times that it could.
    actors: Vec<(Actor, usize)>,
    told: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let undelete_window = if seed.is_multiple_of(2) { Duration::ZERO } else { Options::default().lease };
        let stage = Stage::new(Options { undelete_window, ..Options::default() });
        let random = Random::seeded(seed);
        Run { seed, random, stage, sessions: Sessions::default(), actors: Vec::new(), told: Vec::new() }
    }

    async fn next(&mut self) {
        match self.random.below(100) {
            0..=3 => self.time_passes(),
            4..=7 => self.something_arrives().await,
            8 if !self.actors.is_empty() => self.somebody_dies(),
            _ if self.actors.is_empty() => self.somebody_comes().await,
            9..=25 if self.actors.len() < ACTORS_MAX => self.somebody_comes().await,
            _ => self.somebody_goes_on().await,
        }
    }

    fn tell(&mut self, what: String) {
        self.told.push(what);
    }

    fn fail(&self, wrong: &str) -> ! {
        let last = self.told.iter().rev().take(60).rev().cloned().collect::<Vec<_>>().join("\n");
        panic!("{last}\n{wrong}\nREGISTRY_SIMULATION_SEED={}", self.seed);
    }

    async fn check(&self) {
        if let Err(wrong) = self.stage.check().await {
            self.fail(&wrong);
        }
    }

    fn time_passes(&mut self) {
        let leases = *self.random.pick(&[0.01, 0.1, 0.4, 1.1]);
        self.stage.world.clock.advance(self.stage.options.lease.mul_f64(leases));
        self.tell(format!("{leases} leases pass"));
    }

    async fn something_arrives(&mut self) {
        let next = {
            let mut requests = self.stage.on_their_way.lock().unwrap();
            if requests.is_empty() {
                return;
            }
            let which = self.random.below(requests.len());
            requests.remove(which)
        };
        self.tell(format!("{next:?} arrives"));
        arrive(&self.stage.world.store, next).await;
        self.check().await;
    }

    fn somebody_dies(&mut self) {
        let which = self.random.below(self.actors.len());
        let (actor, _) = self.actors.remove(which);
        self.tell(format!("{} dies before {:?}", actor.name, actor.waits_for()));
    }

    async fn somebody_comes(&mut self) {
        let act = choose(&mut self.random);
        let (random, sessions) = (self.random.fork(), Arc::clone(&self.sessions));
        let actor = self.stage.actor(act, |client| Act { client, random, sessions }.run(act)).await;
        // Some take very long between two steps.
        let pace = *self.random.pick(&[100, 100, 30, 3]);
        self.tell(format!("{act} begins"));
        if !actor.is_over() {
            self.actors.push((actor, pace));
        }
    }

    async fn somebody_goes_on(&mut self) {
        let which = self.random.below(self.actors.len());
        let pace = self.actors[which].1;
        if !self.random.percent(pace) {
            return;
        }
        // Now and then somebody gets far while all others stand still.
        let steps = if self.random.percent(FAR_PERCENT) { self.random.below(FAR_STEPS_MAX) } else { 1 };
        for _ in 0..steps {
            self.step(which).await;
            if self.actors[which].0.is_over() {
                self.actors.remove(which);
                return;
            }
        }
    }

    async fn step(&mut self, which: usize) {
        let waits_for = self.actors[which].0.waits_for();
        let request = self.random.below(waits_for.len());
        let fate = self.fate(waits_for[request]);
        let (actor, _) = &mut self.actors[which];
        actor.step(request, fate).await;
        let name = actor.name;
        self.tell(format!("{name}: {} {fate:?}", waits_for[request]));
        if self.stage.ledger.lock().unwrap().is_suspicious {
            self.check().await;
        }
    }

    fn fate(&mut self, what: &str) -> Fate {
        if !self.random.percent(TROUBLE_PERCENT) {
            return Fate::Done;
        }
        match what {
            "delete" | "abandon" => {
                *self.random.pick(&[Fate::Fails, Fate::AnswerLost, Fate::Late, Fate::Again, Fate::Again])
            }
            "finish" => *self.random.pick(&[Fate::Fails, Fate::AnswerLost, Fate::Again, Fate::Again]),
            // Within the process that keeps the claims no answer is lost.
            "claim_upload" => Fate::Fails,
            _ => *self.random.pick(&[Fate::Fails, Fate::AnswerLost]),
        }
    }

    /// Everybody ends or dies, and what can be collected is.
    async fn come_to_rest(&mut self) {
        for (actor, _) in std::mem::take(&mut self.actors) {
            if self.random.percent(70) {
                actor.rest().await;
            }
        }
        self.stage.arrive().await;
        self.check().await;
        let stage = &self.stage;
        let mut before = None;
        for round in 1..=ROUNDS_MAX {
            stage.world.clock.advance(stage.options.lease * 2);
            stage.world.metadata.expire_uploads(stage.options.lease, 1000).await.unwrap();
            sweep(&stage.client()).run().await.unwrap();
            stage.collect().await;
            // Of a chain of referrers one link goes in each round.
            let manifests = stage.world.metadata.all_manifests(None, 1000).await.unwrap().len();
            let now = (manifests, stage.world.store.list(None, 1000).await.unwrap().len());
            if round >= ROUNDS_MIN && before.replace(now) == Some(now) {
                break;
            }
        }
        self.check().await;
        let objects = stage.world.metadata.objects(None, 1000).await.unwrap();
        let stored = stage.world.store.list(None, 1000).await.unwrap();
        let stored: BTreeSet<_> = stored.into_iter().map(|object| object.location).collect();
        let known: BTreeSet<_> = objects.iter().map(|object| object.location.clone()).collect();
        if stored != known {
            self.fail(&format!("stored are {stored:?}, in use are {known:?}"));
        }
        let kept: BTreeSet<_> = objects.into_iter().flat_map(|object| object.digests).collect();
        let used = stage.ledger.lock().unwrap().used_blobs();
        if kept != used {
            self.fail(&format!("kept are {kept:?}, in use are {used:?}"));
        }
        let wrong = stage.world.metadata.verify().await.unwrap();
        if !wrong.is_empty() {
            self.fail(&format!("{wrong:?}"));
        }
    }

    async fn delete_everything(&mut self) {
        let tags: Vec<_> = self.stage.ledger.lock().unwrap().tags.keys().cloned().collect();
        for (repository, tag) in tags {
            self.stage.client().metadata.delete_tag(&repository, &tag, &Cause::UNKNOWN).await.unwrap();
        }
        self.come_to_rest().await;
        let left = self.stage.world.store.list(None, 1000).await.unwrap();
        if !left.is_empty() {
            self.fail(&format!("left are {left:?}"));
        }
    }
}
