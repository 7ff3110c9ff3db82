//! What is known of a repository beside its content.

use registry_database::{Fault, FromRow, Row, Session, Step, params, step};

use crate::sql::repositories as sql;

/// Finds what is known of the repository of a name, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct FindRepository;

/// What is known of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// When it was made, in milliseconds since 1970 UTC by the database's clock.
    pub created_at_ms: i64,
    /// Whether every client may pull from it, as its row says it.
    pub is_public: bool,
}

impl FromRow for RepositoryFacts {
    fn from_row(row: &Row<'_>) -> Result<RepositoryFacts, Fault> {
        Ok(RepositoryFacts { created_at_ms: row.get(0)?, is_public: row.get(1)? })
    }
}

impl Step for FindRepository {
    type Of = String;
    type Output = Option<RepositoryFacts>;

    async fn run<S: Session>(&self, session: &S, name: &String) -> Result<Self::Output, Fault> {
        session.one(sql::FACTS, params![name]).await
    }
}

step!(FindRepository);
