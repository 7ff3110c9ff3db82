//! Jobs as a person looks after them.

use registry_database::contract::Bench;

use super::{KIND, ask_many, wait_for};
use crate::{DISCARDED_MAX, Inspector, KindNumbers, LISTED_MAX, ListedJob, Listing};

/// Two jobs of a kind wait, of which one has failed twice; one of another kind is dead.
const JOBS: &str = "
INSERT INTO jobs (kind, lane, subject, created_at_ms) VALUES ('mail', 'b', 'second', 2), ('mail', 'a', 'first', 1);
INSERT INTO job_tries (job, kind, lane, attempts, due_at_ms, error)
    SELECT id, kind, lane, 2, 90, 'refused' FROM jobs WHERE subject = 'second';
INSERT INTO jobs (kind, lane, subject, created_at_ms, state, ended_at_ms, error)
    VALUES ('print', 'c', 'third', 3, 1, 30, 'no paper'), ('print', 'c', 'fourth', 4, 1, 40, 'no ink');
";

async fn filled(bench: &Bench) -> Inspector {
    ask_many(&bench.database, "x", 0).await;
    bench.run(JOBS).await;
    Inspector::of(bench.database.clone())
}

fn all(limit: usize) -> Listing {
    Listing { limit, ..Listing::default() }
}

fn subjects(jobs: &[ListedJob]) -> Vec<&str> {
    jobs.iter().map(|job| job.subject.as_str()).collect()
}

pub(super) async fn jobs_of_every_kind_are_listed(bench: &Bench) {
    let inspector = filled(bench).await;
    let listed = inspector.list(all(100)).await.unwrap();
    assert_eq!(subjects(&listed), ["fourth", "third", "first", "second"]);
    let second = &listed[3];
    let expected = ListedJob {
        id: second.id,
        kind: "mail".to_owned(),
        lane: "b".to_owned(),
        subject: "second".to_owned(),
        created_at_ms: 2,
        attempts: Some(2),
        due_at_ms: Some(90),
        ended_at_ms: None,
        error: Some("refused".to_owned()),
    };
    assert_eq!(*second, expected);
    assert_eq!((listed[2].attempts, listed[2].due_at_ms, listed[2].is_dead()), (Some(0), None, false));
    let dead = &listed[0];
    assert_eq!((dead.attempts, dead.ended_at_ms, dead.error.as_deref()), (None, Some(40), Some("no ink")));
    assert!(dead.is_dead());

    let only =
        |kind: Option<&str>, only_dead| Listing { kind: kind.map(str::to_owned), only_dead, limit: 100 };
    assert_eq!(subjects(&inspector.list(only(None, true)).await.unwrap()), ["fourth", "third"]);
    assert_eq!(subjects(&inspector.list(only(Some("mail"), false)).await.unwrap()), ["first", "second"]);
    assert_eq!(subjects(&inspector.list(only(Some("mail"), true)).await.unwrap()), [""; 0]);
    assert_eq!(subjects(&inspector.list(all(3)).await.unwrap()), ["fourth", "third", "first"]);
    assert_eq!(inspector.list(all(LISTED_MAX + 1)).await.unwrap().len(), 4);
    let numbers = |kind: &str, waiting, dead| KindNumbers { kind: kind.to_owned(), waiting, dead };
    assert_eq!(inspector.numbers().await.unwrap(), [numbers("mail", 2, 0), numbers("print", 0, 2)]);
}

pub(super) async fn dead_jobs_are_discarded_by_kind(bench: &Bench) {
    let inspector = filled(bench).await;
    let many = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
        INSERT INTO jobs (kind, lane, subject, created_at_ms, state, ended_at_ms) SELECT '{KIND}', 'x', 'y', i, 1, i FROM n",
        DISCARDED_MAX + 1
    );
    bench.run(&many).await;
    assert_eq!(inspector.discard_all(KIND).await.unwrap(), DISCARDED_MAX as u64 + 1);
    assert_eq!(inspector.discard_all("mail").await.unwrap(), 0, "what waits is not discarded");
    wait_for(bench, "SELECT COUNT(*) FROM jobs", "4").await;

    let dead = inspector.list(Listing { only_dead: true, limit: 2, kind: None }).await.unwrap();
    assert!(inspector.discard(dead[0].id).await.unwrap());
    assert!(!inspector.discard(dead[0].id).await.unwrap());
    assert!(inspector.replay(dead[1].id).await.unwrap());
    assert!(!inspector.replay(dead[1].id).await.unwrap(), "it waits");
    wait_for(bench, "SELECT COUNT(*) FROM jobs WHERE kind = 'print' AND state = 0", "1").await;
}

pub(super) async fn a_database_without_jobs_lists_none(bench: &Bench) {
    let inspector = Inspector::of(bench.database.clone());
    assert_eq!(inspector.list(all(10)).await.unwrap(), []);
    assert_eq!(inspector.numbers().await.unwrap(), []);
    assert!(!inspector.replay(1).await.unwrap());
    assert_eq!(inspector.discard_all(KIND).await.unwrap(), 0);
}
