//! How long right passwords wait while a thousand wrong ones do: `cargo run --release --example logins`.
//!
//! The wrong ones never stop: each is followed by the next. The right ones are of users who never logged in before; a user
//! that is refused tries the same password once more after the second that the refusal names.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use http::HeaderValue;
use registry_auth::{
    AuthenticationError, Authenticator, Htpasswd, HtpasswdOptions, Presented, make_htpasswd_line,
};

/// Clients that guess, each with one request at a time.
const GUESSERS: u32 = 1000;

/// Users that log in.
const USERS: usize = 20;

/// Checks whose time is taken.
const CHECKS: u32 = 10;

/// How long the guessers are alone.
const ALONE: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error>;

/// Who guesses what, and where the users are.
struct Situation {
    name: &'static str,
    guessers: u32,
    /// A guesser's address and the name that it guesses for.
    guesser: fn(u32) -> (IpAddr, String),
    /// The address of a user.
    user_at: fn(u8) -> IpAddr,
    /// Whether all users log in at one moment, and not one after the other.
    is_at_once: bool,
}

const SITUATIONS: [Situation; 8] = [
    Situation {
        name: "none; 20 users at one moment from one public address",
        guessers: 0,
        guesser: |_| (OFFICE, String::new()),
        user_at: |_| OFFICE,
        is_at_once: true,
    },
    Situation {
        name: "elsewhere, from one address, one user's name",
        guessers: GUESSERS,
        guesser: |_| (STRANGER, "user0".into()),
        user_at: own_address,
        is_at_once: false,
    },
    Situation {
        name: "at the users' public address, a made-up name each",
        guessers: GUESSERS,
        guesser: |number| (OFFICE, format!("nobody{number}")),
        user_at: |_| OFFICE,
        is_at_once: false,
    },
    Situation {
        name: "at the users' public address, one user's name",
        guessers: GUESSERS,
        guesser: |_| (OFFICE, "user0".into()),
        user_at: |_| OFFICE,
        is_at_once: false,
    },
    Situation {
        name: "at a proxy with the users, a made-up name each",
        guessers: GUESSERS,
        guesser: |number| (PROXY, format!("nobody{number}")),
        user_at: |_| PROXY,
        is_at_once: false,
    },
    Situation {
        name: "an address each, one made-up name",
        guessers: GUESSERS,
        guesser: |number| (stranger(number), "nobody".into()),
        user_at: own_address,
        is_at_once: false,
    },
    Situation {
        name: "an address each, the users' names",
        guessers: GUESSERS,
        guesser: |number| (stranger(number), format!("user{}", number as usize % USERS)),
        user_at: own_address,
        is_at_once: false,
    },
    Situation {
        name: "an address each, the users' names; users at one moment",
        guessers: GUESSERS,
        guesser: |number| (stranger(number), format!("user{}", number as usize % USERS)),
        user_at: own_address,
        is_at_once: true,
    },
];

const OFFICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 200));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));
const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn own_address(number: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, number])
}

fn stranger(number: u32) -> IpAddr {
    let [_, _, a, b] = number.to_be_bytes();
    IpAddr::from([203, 0, a, b])
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example says what it found")]
async fn main() -> Result<(), Failure> {
    let lines: Result<Vec<String>, _> =
        (0..USERS).map(|number| make_htpasswd_line(&format!("user{number}"), "pw", 10)).collect();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, lines?.join("\n"))?;
    println!(
        "| {GUESSERS} guessers | a check | wrong, a second | right: median | longest | refused once | twice |"
    );
    println!("|---|---|---|---|---|---|---|");
    for situation in SITUATIONS {
        let users = Arc::new(Htpasswd::open(HtpasswdOptions::new("r", &path)).await?);
        let check = time_of_a_check(&users).await;
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        for number in 0..situation.guessers {
            let (address, user) = (situation.guesser)(number);
            let guesser = guess(users.clone(), address, user, number, stop.clone(), answered.clone());
            tokio::spawn(guesser);
        }
        tokio::time::sleep(ALONE).await;
        let (started, before) = (Instant::now(), answered.load(Ordering::Relaxed));
        let waits = log_in_all(&users, &situation).await;
        let rate = (answered.load(Ordering::Relaxed) - before) as f64 / started.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        println!("| {} | {} ms | {rate:.0} | {} |", situation.name, check.as_millis(), shown(waits));
    }
    Ok(())
}

/// What a check takes on this machine now, without others.
async fn time_of_a_check(users: &Htpasswd) -> Duration {
    let began = Instant::now();
    for number in 0..CHECKS {
        let _ = log_in(users, STRANGER, &format!("check{number}"), "x").await;
    }
    began.elapsed() / CHECKS
}

async fn guess(
    users: Arc<Htpasswd>,
    address: IpAddr,
    user: String,
    number: u32,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) {
    let mut guess = 0;
    while !stop.load(Ordering::Relaxed) {
        guess += 1;
        let result = log_in(&users, address, &user, &format!("guess{number}-{guess}")).await;
        answered.fetch_add(1, Ordering::Relaxed);
        if matches!(result, Err(AuthenticationError::Slowed { .. })) {
            // A client that is not told to wait by its server still waits for the network.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Each user's wait, at the first attempt and at the second; nothing where it was refused.
type Waits = [Option<Duration>; 2];

async fn log_in_all(users: &Htpasswd, situation: &Situation) -> Vec<Waits> {
    let logins = (0..USERS as u8).map(|number| log_in_twice(users, (situation.user_at)(number), number));
    if situation.is_at_once {
        return join_all(logins).await;
    }
    let mut waits = Vec::new();
    for login in logins {
        waits.push(login.await);
    }
    waits
}

async fn log_in_twice(users: &Htpasswd, from: IpAddr, number: u8) -> Waits {
    let mut waits = [None; 2];
    for wait in &mut waits {
        let began = Instant::now();
        if log_in(users, from, &format!("user{number}"), "pw").await.is_ok() {
            *wait = Some(began.elapsed());
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    waits
}

/// The median wait, the longest, and how many were refused at the first attempt and at both.
fn shown(waits: Vec<Waits>) -> String {
    let mut got: Vec<Duration> = waits.iter().filter_map(|[first, second]| first.or(*second)).collect();
    got.sort_unstable();
    let milliseconds =
        |wait: Option<&Duration>| wait.map_or("-".into(), |wait| format!("{} ms", wait.as_millis()));
    let refused_once = waits.iter().filter(|[first, _]| first.is_none()).count();
    format!(
        "{} | {} | {refused_once} of {USERS} | {}",
        milliseconds(got.get(got.len() / 2)),
        milliseconds(got.last()),
        USERS - got.len()
    )
}

async fn log_in(
    users: &Htpasswd,
    from: IpAddr,
    user: &str,
    password: &str,
) -> Result<(), AuthenticationError> {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    let header = HeaderValue::from_str(&format!("Basic {encoded}")).expect("base64 is a header's value");
    users.authenticate(Presented::new(Some(&header)).from_address(Some(from))).await.map(drop)
}
