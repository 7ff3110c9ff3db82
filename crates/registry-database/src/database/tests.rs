//! Steps on a handle of each engine.

use crate::{Database, Error, Fault, Session, Statement, Step, params};

const INSERT: Statement = Statement::same("INSERT INTO things (name) VALUES ($1)");
const NAMES: Statement = Statement::same("SELECT name FROM things ORDER BY name");

/// Inserts a thing.
struct Insert;

impl Step for Insert {
    type Of = String;
    type Output = u64;

    async fn run<S: Session>(&self, session: &S, name: &String) -> Result<u64, Fault> {
        session.execute(INSERT, params![name]).await
    }
}

/// Inserts a thing, and then refuses that.
struct Refuse;

impl Step for Refuse {
    type Of = String;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, name: &String) -> Result<(), Fault> {
        session.execute(INSERT, params![name]).await?;
        Err(Fault::refused(format!("no {name}")))
    }
}

/// Inserts a thing, and panics.
struct Panic;

impl Step for Panic {
    type Of = String;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, name: &String) -> Result<(), Fault> {
        session.execute(INSERT, params![name]).await?;
        panic!("a test of work that panics")
    }
}

/// The names of all things.
struct Names;

impl Step for Names {
    type Of = ();
    type Output = Vec<String>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Vec<String>, Fault> {
        session.all(NAMES, params![]).await
    }
}

crate::step!(Insert, Refuse, Panic, Names);

/// What holds on both engines.
async fn check(database: &Database) {
    assert_eq!(database.write("insert a thing", Insert, "one".to_owned()).await.unwrap(), 1);
    let refused = database.write("refuse", Refuse, "two".to_owned()).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(reason) if reason.to_string() == "no two"), "{refused:?}");
    let panicked = database.write("panic", Panic, "three".to_owned()).await.unwrap_err();
    assert!(matches!(panicked, Error::Failed { operation: "panic", .. }), "{panicked:?}");
    let twice = database.write("insert a thing", Insert, "one".to_owned()).await.unwrap_err();
    assert!(!matches!(twice, Error::Refused(_)), "{twice:?}");
    assert_eq!(database.clone().read("list things", Names, ()).await.unwrap(), ["one"]);
}

#[tokio::test]
async fn steps_run_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let owners = crate::sqlite::tests::OWNERS;
    let clock = std::sync::Arc::new(crate::SystemClock);
    let sqlite = crate::Sqlite::open(folder.path().join("things.db"), &owners, clock).unwrap();
    let database = Database::Sqlite(sqlite.into());
    check(&database).await;
    // What reads has a connection that can not write.
    let written = database.read("write", Insert, "four".to_owned()).await;
    assert!(matches!(written, Err(Error::Failed { operation: "write", .. })), "{written:?}");
}

#[cfg(feature = "postgres-server")]
mod on_postgres {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::{Insert, Names, check};
    use crate::{Database, Fault, Session, Statement, Step, params, postgres::tests::pool};

    /// Loses a race the first time.
    struct Again(AtomicU32);

    impl Step for Again {
        type Of = String;
        type Output = u32;

        async fn run<S: Session>(&self, session: &S, name: &String) -> Result<u32, Fault> {
            Insert.run(session, name).await?;
            match self.0.fetch_add(1, Relaxed) {
                0 => Err(Fault::Again),
                runs => Ok(runs + 1),
            }
        }
    }

    /// Ends the connection that it runs on, the first time.
    struct Cut(AtomicU32);

    impl Step for Cut {
        type Of = ();
        type Output = Vec<String>;

        async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Vec<String>, Fault> {
            if self.0.fetch_add(1, Relaxed) == 0 {
                session
                    .exists(Statement::same("SELECT pg_terminate_backend(pg_backend_pid())"), params![])
                    .await?;
            }
            Names.run(session, &()).await
        }
    }

    crate::step!(Again, Cut);

    #[tokio::test]
    async fn steps_run_on_postgres() {
        let database = Database::Postgres(pool().await);
        check(&database).await;
        let runs = database.write("insert a thing", Again(AtomicU32::new(0)), "two".to_owned()).await;
        assert_eq!(runs.unwrap(), 2);
        let read = database.read("list things", Cut(AtomicU32::new(0)), ()).await;
        assert_eq!(read.unwrap(), ["one", "two"]);
    }
}
