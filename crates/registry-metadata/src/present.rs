use registry_database::{Fault, Session, Step, params, step};

use crate::sql::audit::NAMES_OF;

/// Says which of the repositories of these numbers there are, those with them that are deleted and can be restored. A number that is not
/// among them never comes again. It only reads, and is for owners that keep something of repositories without referring to them.
#[derive(Clone, Copy, Debug)]
pub struct PresentRepositories;

impl Step for PresentRepositories {
    type Of = Vec<i64>;
    type Output = Vec<i64>;

    async fn run<S: Session>(&self, session: &S, repositories: &Vec<i64>) -> Result<Vec<i64>, Fault> {
        let found: Vec<(i64, String)> = session.all(NAMES_OF, params![&repositories[..]]).await?;
        Ok(found.into_iter().map(|(id, _)| id).collect())
    }
}

step!(PresentRepositories);
