//! One piece of logic on both engines.

use super::{AnyStep, Session, Step};
use crate::{Fault, FromRow, Row, Statement, Text, params};

/// A thing and its size.
#[derive(Debug, PartialEq, Eq)]
struct Thing {
    name: String,
    size: Option<u64>,
}

impl FromRow for Thing {
    fn from_row(row: &Row<'_>) -> Result<Thing, Fault> {
        Ok(Thing { name: row.get(0)?, size: row.get(1)? })
    }
}

const MAKE: Statement = Statement::same(
    "CREATE TEMPORARY TABLE sizes (name TEXT PRIMARY KEY, size BIGINT, is_large BIGINT, bytes BYTEA)",
);
const INSERT: Statement =
    Statement::same("INSERT INTO sizes (name, size, is_large, bytes) VALUES ($1, $2, $3, $4)");
const ALL: Statement = Statement::same("SELECT name, size FROM sizes ORDER BY name");
const SOME: Statement = Statement::each(
    "SELECT name FROM sizes WHERE name IN (SELECT value FROM json_each($1)) ORDER BY name",
    "SELECT name FROM sizes WHERE name = ANY ($1) ORDER BY name",
);
const SUM: Statement = Statement::each(
    "SELECT SUM(value) FROM json_each($1)",
    "SELECT CAST(SUM(number) AS BIGINT) FROM unnest($1::bigint[]) AS list (number)",
);
const OTHER: Statement = Statement::each("SELECT 'SQLite'", "SELECT 'PostgreSQL'");

/// Everything that a session can do, about the things of these names.
struct Everything;

impl Step for Everything {
    type Of = Vec<String>;
    type Output = String;

    async fn run<S: Session>(&self, session: &S, names: &Vec<String>) -> Result<String, Fault> {
        session.execute(MAKE, params![]).await?;
        let rows: Vec<_> = names
            .iter()
            .map(|name| [name.into(), Some(7).into(), true.into(), b"x".as_slice().into()])
            .collect();
        assert_eq!(session.execute_many(INSERT, &rows).await?, names.len() as u64);
        session.execute(INSERT, params!["~", None::<i64>, false, None::<&[u8]>]).await?;
        session.lock("SELECT 1 FROM sizes FOR UPDATE", params![]).await?;
        let things: Vec<Thing> = session.all(ALL, params![]).await?;
        assert_eq!(things[0], Thing { name: names[0].clone(), size: Some(7) });
        assert_eq!(things[names.len()], Thing { name: "~".to_owned(), size: None });
        let one = Statement::same("SELECT bytes, is_large, name FROM sizes WHERE name = $1");
        let found: Option<(Vec<u8>, bool, String)> = session.one(one, params![&names[0]]).await?;
        assert_eq!(found, Some((b"x".to_vec(), true, names[0].clone())));
        assert!(!session.exists(one, params!["absent"]).await?);
        let some: Vec<String> = session.all(SOME, params![&["~", "\"quoted\"", "name 007"][..]]).await?;
        assert_eq!(some, ["name 007", "~"]);
        assert_eq!(session.one::<i64>(SUM, params![&[1_i64, -3][..]]).await?, Some(-2));
        let number: Result<Option<Text<u64>>, Fault> =
            session.one(Statement::same("SELECT 'no number'"), params![]).await;
        assert!(matches!(number, Err(Fault::Unreadable(_))), "{number:?}");
        let (engine, count) = tokio::join!(
            biased;
            session.one::<String>(OTHER, params![]),
            session.one::<i64>(Statement::same("SELECT COUNT(*) FROM sizes"), params![])
        );
        Ok(format!("{} {}", engine?.unwrap_or_default(), count?.unwrap_or_default()))
    }
}

/// Waits for something that is not the database.
struct Waits;

impl Step for Waits {
    type Of = Vec<String>;
    type Output = String;

    async fn run<S: Session>(&self, session: &S, _: &Vec<String>) -> Result<String, Fault> {
        session.execute(Statement::same("INSERT INTO things (name) VALUES ('half done')"), params![]).await?;
        tokio::task::yield_now().await;
        Ok("done".to_owned())
    }
}

crate::step!(Everything, Waits);

type Steps = Vec<Box<dyn AnyStep<Of = Vec<String>, Output = String>>>;

fn steps() -> Steps {
    vec![Box::new(Everything), Box::new(Waits)]
}

/// So many that a single round trip takes more than one look at them.
fn names() -> Vec<String> {
    (0..600).map(|number| format!("name {number:03}")).collect()
}

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use std::sync::Arc;

    use super::{names, steps};
    use crate::{
        Durability, Error, SystemClock,
        sqlite::{self, Sqlite},
    };

    #[tokio::test]
    async fn steps_of_any_type_are_done_in_the_writers_transaction() {
        let owners = crate::sqlite::tests::OWNERS;
        let database = Sqlite::open_in_memory(&owners, Arc::new(SystemClock)).unwrap();
        let mut answers = Vec::new();
        for step in steps() {
            let work = move |connection: &rusqlite::Connection| {
                step.on_sqlite(&sqlite::Session::new(connection), &names())
            };
            answers.push(database.writer().run("try", Durability::Full, (), work).await);
        }
        assert_eq!(answers[0].as_ref().unwrap(), "SQLite 601");
        assert!(matches!(answers[1], Err(Error::Failed { operation: "try", .. })), "{:?}", answers[1]);
        // What waited left nothing.
        assert_eq!(crate::sqlite::tests::value(&database, "SELECT COUNT(*) FROM things"), "0");
    }
}

#[cfg(feature = "postgres-server")]
mod on_postgres {
    use async_trait::async_trait;

    use super::{AnyStep, names, steps};
    use crate::{
        Fault,
        postgres::{Connection, Work, tests::pool, transact},
    };

    struct Run(Box<dyn AnyStep<Of = Vec<String>, Output = String>>);

    #[async_trait]
    impl Work for Run {
        type Output = String;

        async fn run(&self, connection: &Connection) -> Result<String, Fault> {
            self.0.on_postgres(connection, &names()).await
        }
    }

    #[tokio::test]
    async fn steps_of_any_type_are_done_in_a_transaction() {
        let pool = pool().await;
        let mut answers = Vec::new();
        for step in steps() {
            answers.push(transact(&pool, "try".into(), (), Run(step)).await.unwrap());
        }
        assert_eq!(answers, ["PostgreSQL 601", "done"]);
    }
}
