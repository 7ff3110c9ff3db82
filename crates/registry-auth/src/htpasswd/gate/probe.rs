//! What tests look at, and hold.

use super::*;

impl Gate {
    /// How many logins wait for a check.
    pub(in crate::htpasswd) fn waiting(&self) -> usize {
        self.turns.waiting()
    }

    /// How many logins wait to be looked at beside the order.
    pub(in crate::htpasswd) fn waiting_to_overtake(&self) -> usize {
        self.overtaking.waiting()
    }

    /// Waits for the turn of those that overtake, before all of them.
    pub(in crate::htpasswd) async fn next_overtaking_turn(&self) -> Turn<Group> {
        let turn = self.overtaking.turn(Rank::PROVEN, (Source::of(None), None)).await;
        turn.unwrap_or_else(|_| panic!("there is a place"))
    }

    /// How many failures count for a name at an address.
    pub(in crate::htpasswd) fn failures(&self, attempt: &Attempt) -> u32 {
        self.guesses.lock().failures(attempt, &Cost::default(), Instant::now())
    }

    /// Takes the turn of those that overtake, which must be free.
    pub(in crate::htpasswd) fn take_overtaking_turn(&self) -> Turn<Group> {
        self.overtaking.try_turn().unwrap_or_else(|| panic!("the turn is not free"))
    }

    /// Takes a turn, which must be free.
    pub(in crate::htpasswd) async fn take_turn(&self) -> Turn<Group> {
        self.turns
            .turn(Rank::PROVEN, (Source::of(None), None))
            .await
            .unwrap_or_else(|_| panic!("no turn is free"))
    }
}
