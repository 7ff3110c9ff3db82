//! What is kept, for commands beside the nodes.

use registry_database::{Database, Fault, Session, Step, params, step};

use crate::{AcmeError, SCHEMA, sql, steps::Known};

/// A certificate that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The host that it is for.
    pub host: String,
    /// The URL of the directory of the authority that gave it.
    pub directory: String,
    /// From when on it is good, in milliseconds since 1970.
    pub not_before_ms: i64,
    /// Until when.
    pub not_after_ms: i64,
}

/// The certificates of all authorities, by host: at most as many as hosts were ever wanted.
///
/// # Errors
/// [`AcmeError`].
pub async fn kept(database: &Database) -> Result<Vec<Kept>, AcmeError> {
    if !database.has_owner(SCHEMA.owner).await? {
        return Ok(Vec::new());
    }
    let rows = database.read("list certificates", List, ()).await?;
    let kept = |(directory, known): (String, Known)| Kept {
        host: known.host,
        directory,
        not_before_ms: known.not_before_ms,
        not_after_ms: known.not_after_ms,
    };
    Ok(rows.into_iter().map(kept).collect())
}

/// Removes the certificate of a host, its order, and the account that ordered it, which is made anew. A node that wants one orders
/// another. Says whether there was one.
///
/// # Errors
/// [`AcmeError`].
pub async fn remove(database: &Database, host: &str) -> Result<bool, AcmeError> {
    if !database.has_owner(SCHEMA.owner).await? {
        return Ok(false);
    }
    Ok(database.write("remove a certificate", Remove, host.to_ascii_lowercase()).await?)
}

struct List;

impl Step for List {
    type Of = ();
    type Output = Vec<(String, Known)>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Self::Output, Fault> {
        let mut all = Vec::new();
        for directory in session.all::<String>(sql::DIRECTORIES, params![]).await? {
            let known: Vec<Known> = session.all(sql::CERTIFICATES, params![&directory]).await?;
            all.extend(known.into_iter().map(|known| (directory.clone(), known)));
        }
        all.sort_by(|one, other| one.1.host.cmp(&other.1.host));
        Ok(all)
    }
}

struct Remove;

impl Step for Remove {
    type Of = String;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, host: &String) -> Result<bool, Fault> {
        session.execute(sql::REMOVE_ACCOUNT_OF, params![host]).await?;
        session.execute(sql::REMOVE_ORDER, params![host]).await?;
        Ok(session.execute(sql::REMOVE_CERTIFICATE, params![host]).await? > 0)
    }
}

step!(List, Remove);
