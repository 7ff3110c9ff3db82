//! How long a right password waits while a thousand wrong ones do: `cargo run --release --example logins`.
//!
//! The wrong ones never stop: each is followed by the next. The right one is of a user who never logged in before.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use registry_auth::{
    AuthenticationError, Authenticator, Htpasswd, HtpasswdOptions, Presented, make_htpasswd_line,
};

/// Clients that guess, each with one request at a time.
const GUESSERS: u32 = 1000;

/// Users that log in, one after the other.
const USERS: usize = 20;

type Failure = Box<dyn std::error::Error>;

/// What guessers are like: their address and the name that they guess for.
type Guesser = fn(u32) -> (IpAddr, String);

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example says what it found")]
async fn main() -> Result<(), Failure> {
    let lines: Result<Vec<String>, _> =
        (0..USERS).map(|number| make_htpasswd_line(&format!("user{number}"), "pw", 10)).collect();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, lines?.join("\n"))?;
    let scenarios: [(&str, Guesser); 4] = [
        ("one proxy, a name each", |number| (IpAddr::from([127, 0, 0, 1]), format!("nobody{number}"))),
        ("one public address, a name each", |number| {
            (IpAddr::from([203, 0, 113, 9]), format!("nobody{number}"))
        }),
        ("a public address each, one name", |number| (address(number), "nobody".into())),
        ("a public address each, the users' names", |number| {
            (address(number), format!("user{}", number as usize % USERS))
        }),
    ];
    println!("| {GUESSERS} guessers | refused a second | median wait of a right login | longest | refused |");
    println!("|---|---|---|---|---|");
    for (name, guesser) in scenarios {
        let users = Arc::new(Htpasswd::open(HtpasswdOptions::new("r", &path)).await?);
        let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        for number in 0..GUESSERS {
            let (users, stop, refused) = (users.clone(), stop.clone(), refused.clone());
            let (address, user) = guesser(number);
            tokio::spawn(async move {
                let mut guess = 0;
                while !stop.load(Ordering::Relaxed) {
                    guess += 1;
                    let result = login(&users, address, &user, &format!("guess{number}-{guess}")).await;
                    refused.fetch_add(1, Ordering::Relaxed);
                    if matches!(result, Err(AuthenticationError::Slowed { .. })) {
                        // A client that is not told to wait by its server still waits for the network.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (mut waits, mut failed, started) = (Vec::new(), 0, Instant::now());
        let before = refused.load(Ordering::Relaxed);
        for number in 0..USERS {
            let from =
                if name.starts_with("one proxy") { [127, 0, 0, 1] } else { [198, 51, 100, number as u8] };
            let began = Instant::now();
            match login(&users, from.into(), &format!("user{number}"), "pw").await {
                Ok(()) => waits.push(began.elapsed()),
                Err(_) => failed += 1,
            }
        }
        let rate = (refused.load(Ordering::Relaxed) - before) as f64 / started.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        waits.sort_unstable();
        let (median, longest) = (waits.get(waits.len() / 2), waits.last());
        let shown =
            |wait: Option<&Duration>| wait.map_or("-".into(), |wait| format!("{} ms", wait.as_millis()));
        println!("| {name} | {rate:.0} | {} | {} | {failed} of {USERS} |", shown(median), shown(longest));
    }
    Ok(())
}

fn address(number: u32) -> IpAddr {
    let [_, _, a, b] = number.to_be_bytes();
    IpAddr::from([203, 0, a, b])
}

async fn login(
    users: &Htpasswd,
    from: IpAddr,
    user: &str,
    password: &str,
) -> Result<(), AuthenticationError> {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    let header = HeaderValue::from_str(&format!("Basic {encoded}")).expect("base64 is a header's value");
    users.authenticate(Presented::new(Some(&header)).from_address(Some(from))).await.map(drop)
}
