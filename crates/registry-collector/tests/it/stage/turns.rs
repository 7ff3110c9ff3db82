//! Who is next. Everything that an actor asks of database or store waits for its turn, so that whoever hands out the turns
//! decides about every order.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Poll, Waker},
};

/// The number of an actor that waits for nobody.
pub(crate) const AT_ONCE: usize = usize::MAX;

/// How a request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Done,
    /// Nothing of it was done.
    Fails,
    /// It was done, but the answer is lost.
    AnswerLost,
    /// It fails, and is done later all the same. Only for deletions.
    Late,
    /// It is done, and once more later. Only for deletions and for the end of an upload.
    Again,
}

/// A request that waits for its turn, or has it.
#[derive(Debug)]
struct Ticket {
    number: u64,
    actor: usize,
    what: &'static str,
    fate: Option<Fate>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Table {
    tickets: Vec<Ticket>,
    next: u64,
}

/// All requests that wait. Clones are one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<Table>>);

/// The turn of a request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    number: u64,
    pub(crate) fate: Fate,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.table().tickets.retain(|ticket| ticket.number != self.number);
    }
}

impl Turns {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap()
    }

    /// Waits until it is this request's turn.
    pub(crate) async fn turn(&self, actor: usize, what: &'static str) -> Turn {
        if actor == AT_ONCE {
            return Turn { turns: self.clone(), number: 0, fate: Fate::Done };
        }
        let number = {
            let mut table = self.table();
            table.next += 1;
            let number = table.next;
            table.tickets.push(Ticket { number, actor, what, fate: None, waker: None });
            number
        };
        // Removes the ticket also if its actor dies while it waits.
        let mut turn = Turn { turns: self.clone(), number, fate: Fate::Done };
        turn.fate = poll_fn(|context| {
            let mut table = self.table();
            let ticket = table.tickets.iter_mut().find(|ticket| ticket.number == number);
            let ticket = ticket.expect("a ticket lasts as long as its turn");
            ticket.waker = Some(context.waker().clone());
            ticket.fate.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        turn
    }

    /// The requests of an actor that wait, the first one first.
    fn waiting(&self, actor: usize) -> Vec<(u64, &'static str)> {
        let table = self.table();
        let waiting = table.tickets.iter().filter(|ticket| ticket.actor == actor && ticket.fate.is_none());
        waiting.map(|ticket| (ticket.number, ticket.what)).collect()
    }

    fn open(&self, number: u64, fate: Fate) {
        let mut table = self.table();
        let ticket = table.tickets.iter_mut().find(|ticket| ticket.number == number);
        let ticket = ticket.expect("only what waits is opened");
        ticket.fate = Some(fate);
        ticket.waker.take().expect("what waits was polled").wake();
    }

    fn is_going_on(&self, number: u64) -> bool {
        self.table().tickets.iter().any(|ticket| ticket.number == number)
    }
}

/// Somebody who does one thing after another, a step at a time. Dropping it is a death: what it had begun stays as it is.
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    number: usize,
    turns: Turns,
    future: Pin<Box<dyn Future<Output = ()>>>,
    is_over: bool,
}

impl Actor {
    /// Begins, up to the first request.
    pub(crate) async fn new(
        name: &'static str,
        number: usize,
        turns: &Turns,
        work: impl Future<Output = ()> + 'static,
    ) -> Actor {
        let (turns, future) = (turns.clone(), Box::pin(work));
        let mut actor = Actor { name, number, turns, future, is_over: false };
        actor.poll_until(|_| true).await;
        actor
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// What it asks for next; more than one thing if it does several at once.
    pub(crate) fn waits_for(&self) -> Vec<&'static str> {
        self.turns.waiting(self.number).into_iter().map(|(_, what)| what).collect()
    }

    /// Has one of its requests done, and lets it go on to the next.
    pub(crate) async fn step(&mut self, which: usize, fate: Fate) {
        let (number, _) = self.turns.waiting(self.number)[which];
        self.turns.open(number, fate);
        self.poll_until(|turns| !turns.is_going_on(number)).await;
    }

    /// Lets it work until it asks for that.
    pub(crate) async fn until(&mut self, what: &str) {
        while !self.waits_for().contains(&what) {
            assert!(!self.is_over, "{} ended without {what}", self.name);
            self.step(0, Fate::Done).await;
        }
    }

    /// Lets it work until it asks for that, and that go as it may.
    pub(crate) async fn past(&mut self, what: &str, fate: Fate) {
        self.until(what).await;
        let which = self.waits_for().iter().position(|asked| *asked == what);
        self.step(which.expect("it was seen to wait for it"), fate).await;
    }

    /// Lets it work to its end.
    pub(crate) async fn rest(mut self) {
        while !self.is_over {
            self.step(0, Fate::Done).await;
        }
    }

    /// Nobody else does anything meanwhile, so whatever it waits for comes.
    async fn poll_until(&mut self, is_done: impl Fn(&Turns) -> bool) {
        poll_fn(|context| match self.future.as_mut().poll(context) {
            Poll::Ready(()) => {
                self.is_over = true;
                Poll::Ready(())
            }
            Poll::Pending if is_done(&self.turns) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        })
        .await;
    }
}
