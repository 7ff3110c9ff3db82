//! `registry jobs` beside a server whose receiver fails.

use std::{path::Path, sync::Arc};

use registry_core::{
    OWNERS,
    database::{Database, Fault, Session, Sqlite, Statement, Step, SystemClock, params, step},
};
use registry_testing::{Behaviour, Receiver};
use serde_json::Value;

use super::*;

/// Gives up a job that waits, as its handler would after many attempts.
struct GiveUp;

impl Step for GiveUp {
    type Of = i64;
    type Output = u64;

    async fn run<S: Session>(&self, session: &S, id: &i64) -> Result<u64, Fault> {
        const FORGET: Statement = Statement::same("DELETE FROM job_tries WHERE job = $1");
        const DIE: Statement = Statement::same(
            "UPDATE jobs SET state = 1, ended_at_ms = now_ms(), error = 'given up' WHERE id = $1 AND state = 0",
        );
        session.execute(FORGET, params![*id]).await?;
        session.execute(DIE, params![*id]).await
    }
}

step!(GiveUp);

async fn give_up(data: &Path, id: i64) {
    let sqlite = Sqlite::open(data.join("metadata.sqlite"), &OWNERS, Arc::new(SystemClock)).unwrap();
    let database = Database::Sqlite(Arc::new(sqlite));
    assert_eq!(database.write("give up a job", GiveUp, id).await.unwrap(), 1);
}

/// `registry jobs …`: whether it succeeds, and what it says.
async fn jobs(server: &Server, arguments: &[&str]) -> (bool, String) {
    let output = server.options().run(Program::Registry, &[&["jobs"], arguments].concat()).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

async fn report(server: &Server) -> Value {
    let (is_well, text) = jobs(server, &["list", "--report", "json"]).await;
    assert!(is_well, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Waits until the one job stands so.
async fn job_that_is(server: &Server, state: &str) -> Value {
    eventually("the job stands so", async || {
        let report = report(server).await;
        Some(report["jobs"][0].clone()).filter(|job| job["state"] == state)
    })
    .await
}

#[tokio::test]
async fn jobs_are_listed_replayed_and_discarded_beside_a_server() {
    let receiver = Receiver::start(Behaviour::with_header(503, &[("retry-after", "3600")])).await;
    let hook = format!("[{{name: deploy, url: \"{}\", events: [tag.moved]}}]", receiver.url());
    let server = ServerOptions::new().variable("REGISTRY_WEBHOOKS", &hook).start().await;
    let (is_well, text) = jobs(&server, &["list"]).await;
    assert!(is_well && text == "there are no jobs\n", "{text}");

    server.client().push("app", "1.0", &Image::random(1)).await.unwrap();
    let job = job_that_is(&server, "failing").await;
    assert_eq!((&job["kind"], &job["attempts"]), (&"webhook".into(), &1.into()), "{job}");
    assert!(job["due_at"].is_string() && job["error"].as_str().unwrap().contains("503"), "{job}");
    let id = job["id"].as_i64().unwrap();
    let number = id.to_string();
    let (is_well, text) = jobs(&server, &["replay", &number]).await;
    assert!(!is_well && text.contains("that was given up"), "a job that waits is not replayed: {text}");

    give_up(server.data(), id).await;
    let dead = job_that_is(&server, "dead").await;
    assert_eq!((&dead["error"], &dead["attempts"]), (&"given up".into(), &Value::Null));
    let (is_well, text) = jobs(&server, &["list", "--dead"]).await;
    assert!(is_well && text.contains("given up") && text.contains("webhook: 0 wait, 1 are dead"), "{text}");
    receiver.behave(Behaviour::good());
    let (is_well, text) = jobs(&server, &["replay", &number]).await;
    assert!(is_well, "{text}");
    eventually("the receiver has the message", async || {
        receiver.received().iter().any(|call| call.status == Some(204)).then_some(())
    })
    .await;
    eventually("the job is gone", async || {
        report(&server).await["jobs"].as_array().unwrap().is_empty().then_some(())
    })
    .await;

    receiver.behave(Behaviour::with_header(503, &[("retry-after", "3600")]));
    for (seed, discard) in [(2, vec!["discard", "--id"]), (3, vec!["discard", "--kind", "webhook"])] {
        server.client().push("app", "1.0", &Image::random(seed)).await.unwrap();
        let id = job_that_is(&server, "failing").await["id"].as_i64().unwrap();
        give_up(server.data(), id).await;
        let number = id.to_string();
        let by_number = (discard.len() == 2).then_some(number.as_str());
        let arguments: Vec<&str> = discard.iter().copied().chain(by_number).collect();
        let (is_well, text) = jobs(&server, &arguments).await;
        assert!(is_well && text.contains("removed"), "{text}");
        assert_eq!(report(&server).await["jobs"], Value::Array(Vec::new()));
    }
    let (is_well, text) = jobs(&server, &["discard", "--id", &number]).await;
    assert!(!is_well && text.contains("there is no job"), "{text}");
}
