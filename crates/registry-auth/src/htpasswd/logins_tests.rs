//! Strangers do not keep users out, and learn nothing.

use std::collections::BTreeMap;
use std::pin::pin;

use futures_util::future::{JoinAll, join_all};
use parking_lot::Mutex;
use tokio::task::coop::{Unconstrained, unconstrained};

use super::gate::Group;
use super::tests::{Fixture, is_let_in, line, login_from};
use super::*;
use crate::logins::Turn;

type Login = Result<String, AuthenticationError>;

/// A public address.
const STRANGER: &str = "203.0.113.9";

/// Users, with one checker that is busy.
struct Busy {
    users: Htpasswd,
    check: Mutex<Option<Turn<Group>>>,
}

impl Busy {
    async fn new(content: &str) -> Busy {
        let fixture = Fixture::new(content);
        let options = HtpasswdOptions {
            checks_max: 1,
            reload_interval: Duration::from_secs(3600),
            ..fixture.options()
        };
        let users = Htpasswd::open(options).await.unwrap();
        let check = Mutex::new(Some(users.shared.gate.take_turn().await));
        Busy { users, check }
    }

    fn release(&self) {
        *self.check.lock() = None;
    }

    async fn login(&self, address: &str, user: &str, password: &str) -> Login {
        login_from(&self.users, address, user, password).await
    }
}

/// All at once, however many there are.
fn all<F: Future>(logins: impl IntoIterator<Item = F>) -> Unconstrained<JoinAll<F>> {
    unconstrained(join_all(logins))
}

fn is_wrong(login: &Login) -> bool {
    matches!(login, Err(AuthenticationError::Invalid))
}

fn is_slowed(login: &Login) -> bool {
    matches!(login, Err(AuthenticationError::Slowed { .. }))
}

/// 1,000 wrong ones wait: from one address for a name each, from one address for few names, from an address each.
fn crowds() -> BTreeMap<&'static str, Vec<(String, String)>> {
    let crowd = |who: fn(u16) -> (String, String)| (0..1000).map(who).collect::<Vec<_>>();
    BTreeMap::from([
        ("a proxy, a name each", crowd(|number| ("127.0.0.1".into(), format!("nobody{number}")))),
        ("a proxy, few names", crowd(|number| ("127.0.0.1".into(), format!("nobody{}", number % 3)))),
        ("one public address", crowd(|number| (STRANGER.into(), format!("nobody{number}")))),
        (
            "an address each",
            crowd(|number| {
                let [a, b] = number.to_be_bytes();
                (format!("203.0.{a}.{b}"), "nobody".into())
            }),
        ),
        ("a network each", crowd(|number| (format!("2001:db8:0:{number:x}::1"), "nobody".into()))),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_right_password_does_not_wait_for_a_thousand_wrong_ones() {
    for (name, crowd) in crowds() {
        let busy = Busy::new(&line("ada", "pw")).await;
        let strangers = crowd.iter().enumerate().map(|(number, (address, user))| {
            let password = format!("guess{number}");
            let busy = &busy;
            async move { busy.login(address, user, &password).await }
        });
        {
            let mut strangers = pin!(all(strangers));
            // All of them are waiting or refused.
            assert!(futures_util::poll!(&mut strangers).is_pending(), "{name}");

            // The only checker stays busy, and this user never logged in.
            for address in ["198.51.100.1", "127.0.0.1"] {
                let started = tokio::time::Instant::now();
                let login = tokio::select! {
                    _ = &mut strangers => panic!("{name}: none is answered before"),
                    login = busy.login(address, "ada", "pw") => login,
                };
                assert_eq!(login.unwrap(), "ada", "{name}, from {address}");
                assert!(started.elapsed() < Duration::from_secs(1), "{name}, from {address}");
            }
            assert!(futures_util::poll!(&mut strangers).is_pending(), "{name}: none was let by");
        }
        busy.release();
        assert_eq!(busy.users.shared.gate.waiting(), 0, "{name}: all have left");
    }
}

#[tokio::test(start_paused = true)]
async fn proven_credentials_wait_for_none_and_are_never_slowed() {
    let fixture = Fixture::new(&line("ada", "pw"));
    // Nothing is remembered as right, so that each is checked.
    let options = HtpasswdOptions { remember: Duration::ZERO, checks_max: 1, ..fixture.options() };
    let users = Htpasswd::open(options).await.unwrap();
    assert!(is_let_in(&users, "ada", "pw").await);
    // Somebody guesses ada's password at her own address until no guess is left.
    let mut guess = 0;
    loop {
        guess += 1;
        let login = login_from(&users, "127.0.0.1", "ada", &format!("guess{guess}")).await;
        if is_slowed(&login) {
            break;
        }
    }
    assert_eq!(guess, 11);
    let busy = users.shared.gate.take_turn().await;
    let waiting = (0..20).map(|number| {
        let users = &users;
        async move { login_from(users, STRANGER, &format!("nobody{number}"), "x").await }
    });
    let mut waiting = pin!(all(waiting));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let ada = login_from(&users, "127.0.0.1", "ada", "pw");
    let mut ada = pin!(ada);
    assert!(futures_util::poll!(&mut ada).is_pending(), "the checker is busy");
    drop(busy);
    assert_eq!(ada.await.unwrap(), "ada");
}

#[tokio::test(start_paused = true)]
async fn refusals_tell_nothing_about_names() {
    // Both checkers stay busy: known and unknown names get the same answer after the same time, again and again; also when
    // no guess is left to them.
    let busy = Busy::new(&line("ada", "pw")).await;
    let _overtaking = busy.users.shared.gate.take_overtaking_turn();
    for number in 0..12 {
        for user in ["ada", "eve"] {
            let started = tokio::time::Instant::now();
            let login = busy.login("127.0.0.1", user, &format!("guess{number}")).await;
            assert!(is_slowed(&login), "{user}: {login:?}");
            let expected = if number < 10 { 15_000 } else { 900 };
            assert_eq!(started.elapsed().as_millis(), expected, "{user} {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn users_at_one_address_log_in_at_one_moment() {
    // More than an address has guesses.
    let lines: Vec<String> = (0..100).map(|number| line(&format!("user{number}"), "pw")).collect();
    let busy = Busy::new(&lines.concat()).await;
    let logins = (0..100).map(|number| {
        let busy = &busy;
        async move { busy.login(STRANGER, &format!("user{number}"), "pw").await.is_ok() }
    });
    let mut logins = pin!(all(logins));
    assert!(futures_util::poll!(&mut logins).is_pending());
    busy.release();
    assert_eq!(logins.await, [true; 100]);
}

#[tokio::test(start_paused = true)]
async fn what_failed_least_is_checked_first() {
    let busy = Busy::new(&(line("ada", "pw") + &line("bob", "pw"))).await;
    busy.release();
    // Each guesses for each of the users, from an address of its own.
    let guessers = || (0..250).flat_map(|n| ["ada", "bob"].map(|user| (format!("203.0.113.{n}"), user)));
    for (address, user) in guessers() {
        assert!(is_wrong(&busy.login(&address, user, &format!("{address}-1")).await));
    }
    let check = busy.users.shared.gate.take_turn().await;
    let overtaking = busy.users.shared.gate.take_overtaking_turn();
    let guesses = guessers().map(|(address, user)| {
        let busy = &busy;
        async move { busy.login(&address, user, &format!("{address}-2")).await }
    });
    let mut guesses = pin!(all(guesses));
    assert!(futures_util::poll!(&mut guesses).is_pending());
    let mut ada = pin!(busy.login("198.51.100.1", "ada", "pw"));
    assert!(futures_util::poll!(&mut ada).is_pending(), "both checkers are busy");
    drop(overtaking);
    assert_eq!(ada.await.unwrap(), "ada");
    assert!(futures_util::poll!(&mut guesses).is_pending(), "none of them was answered before");
    drop(check);
}

#[tokio::test(start_paused = true)]
async fn guesses_are_slowed_for_a_name_at_an_address_and_never_for_the_name_alone() {
    let fixture = Fixture::new(&(line("ada", "pw") + &line("bob", "pw")));
    let users = fixture.open().await;
    for user in ["ada", "eve"] {
        for guess in 0..10 {
            let login = login_from(&users, STRANGER, user, &format!("guess{guess}")).await;
            assert!(is_wrong(&login), "{user} {guess}: {login:?}");
        }
        let login = login_from(&users, STRANGER, user, "guess10").await;
        let Err(AuthenticationError::Slowed { retry_after }) = login else { panic!("{user}: {login:?}") };
        assert!(
            retry_after <= Duration::from_secs(10) && retry_after > Duration::from_secs(5),
            "{retry_after:?}"
        );
    }
    assert_eq!(login_from(&users, "203.0.113.10", "ada", "pw").await.unwrap(), "ada");
    assert_eq!(login_from(&users, STRANGER, "bob", "pw").await.unwrap(), "bob");
    // Once it was right, it is so everywhere.
    assert_eq!(login_from(&users, STRANGER, "ada", "pw").await.unwrap(), "ada");
}

#[tokio::test(start_paused = true)]
async fn where_no_guess_is_left_a_right_password_is_let_in_and_others_learn_nothing() {
    let users = Fixture::new(&line("ada", "pw")).open().await;
    for guess in 0..10 {
        assert!(is_wrong(&login_from(&users, STRANGER, "ada", &format!("guess{guess}")).await));
    }
    // A thousand guesses wait for the same name at the same address, of which one is looked at in 600 milliseconds.
    let guesses = (0..1000).map(|number| {
        let users = &users;
        async move { login_from(users, STRANGER, "ada", &format!("waiting{number}")).await }
    });
    let mut guesses = pin!(all(guesses));
    assert!(futures_util::poll!(&mut guesses).is_pending());
    assert!(is_slowed(&login_from(&users, STRANGER, "ada", "pw").await), "the first attempt is one of many");
    assert!(guesses.await.iter().all(is_slowed));
    // They go on, with others.
    let guesses = (0..1000).map(|number| {
        let users = &users;
        async move { login_from(users, STRANGER, "ada", &format!("later{number}")).await }
    });
    let mut guesses = pin!(all(guesses));
    assert!(futures_util::poll!(&mut guesses).is_pending());
    assert_eq!(login_from(&users, STRANGER, "ada", "pw").await.unwrap(), "ada", "its place was kept");
}

#[tokio::test(start_paused = true)]
async fn guesses_are_slowed_for_a_public_address_and_not_where_all_clients_may_be() {
    let fixture = Fixture::new(&line("ada", "pw"));
    let users = fixture.open().await;
    for (address, expected) in [(STRANGER, 50), ("2001:db8::1", 50), ("10.0.0.1", 60), ("127.0.0.1", 60)] {
        let mut checked = 0;
        for number in 0..60 {
            let address = match address.strip_suffix("::1") {
                // What follows the first 64 bits is the client's to choose.
                Some(network) => format!("{network}::{:x}", number + 1),
                None => address.to_owned(),
            };
            // What was found wrong elsewhere is no guess here.
            let login = login_from(&users, &address, &format!("nobody{number}"), &address).await;
            checked += u32::from(is_wrong(&login));
        }
        // A few come back while they are made.
        assert!((expected..expected + 10).contains(&checked), "{address}: {checked}");
    }
    assert_eq!(login_from(&users, STRANGER, "ada", "pw").await.unwrap(), "ada", "what is right is let in");
}

#[tokio::test]
async fn right_passwords_are_no_guesses() {
    let lines: Vec<String> = (0..60).map(|number| line(&format!("user{number}"), "pw")).collect();
    let users = Fixture::new(&lines.concat()).open().await;
    for number in 0..60 {
        let user = format!("user{number}");
        assert_eq!(login_from(&users, STRANGER, &user, "pw").await.unwrap(), user);
    }
}

#[tokio::test]
async fn the_same_wrong_credentials_cost_one_check_and_are_one_guess() {
    let busy = Busy::new(&line("ada", "pw")).await;
    {
        let same = (0..100).map(|_| busy.login(STRANGER, "ada", "old"));
        let mut same = pin!(all(same));
        assert!(futures_util::poll!(&mut same).is_pending());
        assert_eq!(busy.users.shared.gate.waiting(), 1, "all wait for one check");
        // Its leader goes, and another leads.
        busy.release();
        assert!(same.await.iter().all(is_wrong));
    }
    let check = busy.users.shared.gate.take_turn().await;
    for _ in 0..100 {
        assert!(is_wrong(&busy.login(STRANGER, "ada", "old").await), "it is known without a check");
    }
    drop(check);
    assert_eq!(busy.login(STRANGER, "ada", "pw").await.unwrap(), "ada");
}

#[tokio::test]
async fn giving_up_a_request_leaves_the_queue() {
    let busy = Busy::new("").await;
    let first = busy.login(STRANGER, "eve", "pw");
    let second = busy.login(STRANGER, "eve", "pw");
    {
        let (mut first, mut second) = (Box::pin(first), Box::pin(second));
        assert!(
            futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending()
        );
        assert_eq!(busy.users.shared.gate.waiting(), 1);
        drop(first);
        assert_eq!(busy.users.shared.gate.waiting(), 0);
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(busy.users.shared.gate.waiting(), 1, "the one that followed leads");
    }
    assert_eq!(busy.users.shared.gate.waiting(), 0);
    busy.release();
    assert!(is_wrong(&busy.login(STRANGER, "eve", "pw").await));
}

/// What counts against a name at an address.
async fn failures(users: &Htpasswd, address: &str, user: &str) -> u32 {
    let source = Source::of(Some(address.parse().unwrap()));
    let gate = &users.shared.gate;
    gate.failures(&gate.attempt(users.users().await, user.parse().unwrap(), Vec::new(), source))
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_elsewhere_is_new_here_and_counts() {
    let busy = Busy::new(&line("ada", "pw")).await;
    let _overtaking = busy.users.shared.gate.take_overtaking_turn();
    let elsewhere = "203.0.113.77";
    for address in [elsewhere, STRANGER] {
        assert!(is_slowed(&busy.login(address, "ada", "guess").await));
        assert_eq!(failures(&busy.users, address, "ada").await, 1, "{address}");
    }
    assert!(is_slowed(&busy.login(STRANGER, "ada", "guess").await));
    assert_eq!(failures(&busy.users, STRANGER, "ada").await, 1, "the same is one failure");
}

#[tokio::test]
async fn hanging_up_during_a_check_costs_what_a_wrong_password_costs() {
    for (password, expected) in [("guess", 1), ("pw", 0)] {
        // A check that takes a while.
        let busy = Busy::new(&make_htpasswd_line("ada", "pw", 10).unwrap()).await;
        busy.release();
        {
            let mut login = Box::pin(busy.login(STRANGER, "ada", password));
            assert!(futures_util::poll!(&mut login).is_pending(), "it is checked");
        }
        // The check has ended when its turn is free.
        drop(busy.users.shared.gate.take_turn().await);
        eventually(async || failures(&busy.users, STRANGER, "ada").await == expected).await;
        // A guess that was not given back would be missing here.
        for guess in 0..10 - expected {
            assert!(is_wrong(&busy.login(STRANGER, "ada", &format!("guess{guess}")).await), "{password}");
        }
        assert!(is_slowed(&busy.login(STRANGER, "ada", "last").await), "{password}");
    }
}

async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000_000 {
        if holds().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never holds");
}

#[tokio::test]
async fn logins_keep_the_overtaking_checker_busy_whatever_their_names() {
    for user in ["ada", "eve"] {
        let busy = Busy::new(&line("ada", "pw")).await;
        let gate = &busy.users.shared.gate;
        let mut turn = gate.take_overtaking_turn();
        let mut login = pin!(busy.login(STRANGER, user, "guess"));
        for look in 0..3 {
            eventually(async || {
                assert!(futures_util::poll!(&mut login).is_pending(), "{user}");
                gate.waiting_to_overtake() == 1
            })
            .await;
            drop(turn);
            assert!(futures_util::poll!(&mut login).is_pending(), "{user} {look}: it is looked at");
            turn = gate.next_overtaking_turn().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_address_without_guesses_leaves_others_a_look() {
    let users = Fixture::new(&line("ada", "pw")).open().await;
    let home = "198.51.100.1";
    for guess in 0..50 {
        assert!(is_wrong(&login_from(&users, STRANGER, &format!("nobody{guess}"), "x").await));
    }
    for guess in 0..10 {
        assert!(is_wrong(&login_from(&users, home, "ada", &format!("guess{guess}")).await));
    }
    let strangers = (0..9000).map(|number| {
        let users = &users;
        async move { login_from(users, STRANGER, &format!("other{number}"), "x").await }
    });
    let mut strangers = pin!(all(strangers));
    assert!(futures_util::poll!(&mut strangers).is_pending());
    assert_eq!(login_from(&users, home, "ada", "pw").await.unwrap(), "ada");
}
