use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Work that is done once for all requests for the same while it runs. Clients send several requests at once, and those who
/// try passwords may send one a thousand times.
pub(crate) struct Flights<K: Eq + Hash, O>(Mutex<HashMap<K, watch::Receiver<Option<O>>>>);

/// What asking comes to.
pub(crate) enum Joined<'a, K: Copy + Eq + Hash, O> {
    /// The caller is to do the work.
    Leads(Leader<'a, K, O>),
    /// Another does it.
    Follows(Follower<O>),
}

pub(crate) struct Leader<'a, K: Copy + Eq + Hash, O> {
    flights: &'a Flights<K, O>,
    key: K,
    outcome: watch::Sender<Option<O>>,
}

pub(crate) struct Follower<O>(watch::Receiver<Option<O>>);

impl<K: Copy + Eq + Hash, O: Clone> Flights<K, O> {
    pub(crate) fn new() -> Flights<K, O> {
        Flights(Mutex::default())
    }

    pub(crate) fn join(&self, key: K) -> Joined<'_, K, O> {
        let mut running = self.0.lock();
        if let Some(outcome) = running.get(&key) {
            return Joined::Follows(Follower(outcome.clone()));
        }
        let (outcome, receiver) = watch::channel(None);
        running.insert(key, receiver);
        Joined::Leads(Leader { flights: self, key, outcome })
    }
}

impl<K: Copy + Eq + Hash, O> Leader<'_, K, O> {
    /// Tells all followers.
    pub(crate) fn finish(self, outcome: O) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl<K: Copy + Eq + Hash, O> Drop for Leader<'_, K, O> {
    fn drop(&mut self) {
        self.flights.0.lock().remove(&self.key);
    }
}

impl<O: Clone> Follower<O> {
    /// What came of the work; nothing if the leader gave up.
    pub(crate) async fn outcome(mut self) -> Option<O> {
        // Fails if the leader is gone; it may have finished before.
        let _ = self.0.wait_for(Option::is_some).await;
        self.0.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_works_and_all_get_what_comes_of_it() {
        let flights: Flights<u8, &str> = Flights::new();
        let Joined::Leads(leader) = flights.join(1) else { panic!("the first leads") };
        let Joined::Follows(one) = flights.join(1) else { panic!("the second follows") };
        let Joined::Follows(two) = flights.join(1) else { panic!("so does the third") };
        assert!(matches!(flights.join(2), Joined::Leads(_)));
        leader.finish("done");
        assert_eq!((one.outcome().await, two.outcome().await), (Some("done"), Some("done")));
        let Joined::Leads(leader) = flights.join(1) else { panic!("it is over") };
        let Joined::Follows(one) = flights.join(1) else { panic!("it runs") };
        drop(leader);
        assert_eq!(one.outcome().await, None, "given up: the next may lead");
        assert!(flights.0.lock().is_empty());
    }
}
