//! Whether a process has the keys that a database is sealed under.

use registry_database::{Database, Error, Fault, OpenError, Session, Statement, Step, params, step};
use thiserror::Error as ThisError;

use crate::{Key, KeyFileError, KeyId, Keys, Place, SCHEMA, SealError, Sealable, Secrets, seal};

/// What is sealed to be opened again at each start.
const KNOWN: &[u8] = b"registry";

const CHECKS: Statement =
    Statement::same("SELECT key_id, sealed FROM secret_checks ORDER BY created_at_ms, key_id");
const ADD_CHECK: Statement = Statement::same(
    "INSERT INTO secret_checks (key_id, sealed, created_at_ms) VALUES ($1, $2, now_ms()) ON CONFLICT (key_id) DO NOTHING",
);
const REMOVE_CHECK: Statement = Statement::same("DELETE FROM secret_checks WHERE key_id = $1");
const LOCK_CHECKS: &str = "LOCK TABLE secret_checks IN SHARE ROW EXCLUSIVE MODE";

/// Why a process must not work with a database.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum CheckError {
    /// Its keys are others.
    #[error(
        "the database has secrets that are sealed under the key {}, and this process has {}: give it that key by \
         REGISTRY_SECRETS_KEY or secrets.keyfile; each node needs the same. Where the key is lost, `registry secrets status` counts \
         what does not open, and `registry webhook remove` removes a webhook whose secret is among it",
        names(.sealed_under), .here.as_slice().first().map_or("none".to_owned(), |_| names(.here))
    )]
    OtherKeys {
        /// Under which keys the database's values are.
        sealed_under: Vec<String>,
        /// Which keys the process has.
        here: Vec<String>,
    },
    /// There is no key, or it can not be made.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The key file can not be read.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The tables can not be made or looked for.
    #[error(transparent)]
    Tables(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
}

fn names(ids: &[String]) -> String {
    ids.join(", ")
}

impl Secrets {
    /// Whether the keys open what the database is sealed under; to be asked at each start. A database in which nothing was ever sealed
    /// opens with any keys, and without.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn check(&self, database: &Database) -> Result<(), CheckError> {
        let keys = self.find()?;
        if !database.has_owner(SCHEMA.owner).await? {
            return Ok(());
        }
        let checks = database.read("look which keys secrets are sealed under", Checks, ()).await?;
        opened(keys.as_deref(), &checks).map(drop)
    }

    /// The same, where keys that are lost are no reason to refuse as long as nothing is sealed under them in these columns: the start of a
    /// node asks this. Where nothing is sealed at all, the database forgets the lost keys, so that another can seal in it.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn check_sealed(&self, database: &Database, columns: &[Sealable]) -> Result<(), CheckError> {
        let (sealed_under, here) = match self.check(database).await {
            Err(CheckError::OtherKeys { sealed_under, here }) => (sealed_under, here),
            checked => return checked,
        };
        let sealed = self.status(database, columns).await?;
        if sealed.iter().any(|sealed| !sealed.is_open) {
            return Err(CheckError::OtherKeys { sealed_under, here });
        }
        if sealed.is_empty() {
            database.write("forget keys for secrets", ForgetChecks, sealed_under).await?;
        }
        Ok(())
    }

    /// Notes the key that seals in the database: before the first value is sealed for it. Makes a key that makes itself, and the table.
    ///
    /// # Errors
    /// [`CheckError`]; [`CheckError::OtherKeys`] also where another node with other keys was faster.
    pub async fn prepare(&self, database: &Database) -> Result<(), CheckError> {
        let keys = self.find_or_make()?;
        database.use_owners(&[SCHEMA.owner]).await?;
        let checks = database.read("look which keys secrets are sealed under", Checks, ()).await?;
        let known = opened(Some(&keys), &checks)?;
        let current = keys.current();
        if known.contains(&current.id().to_string()) {
            return Ok(());
        }
        let here = keys.all().iter().map(|key| key.id().to_string()).collect();
        let check = Check { key: current.id().to_string(), sealed: sealed(current)?, known, here };
        match database.write("note a key for secrets", AddCheck, check).await {
            Err(Error::Refused(cause)) => match cause.downcast::<CheckError>() {
                Ok(error) => Err(*error),
                Err(cause) => Err(Error::Refused(cause).into()),
            },
            done => Ok(done?),
        }
    }
}

/// The keys whose check values these keys open.
fn opened(keys: Option<&Keys>, checks: &[(String, Vec<u8>)]) -> Result<Vec<String>, CheckError> {
    let opens = |(id, sealed): &&(String, Vec<u8>)| {
        let id: Option<KeyId> = id.parse().ok();
        keys.zip(id).is_some_and(|(keys, id)| seal::open(keys, &place(id), sealed).is_ok())
    };
    let known: Vec<String> = checks.iter().filter(opens).map(|(id, _)| id.clone()).collect();
    if known.is_empty() && !checks.is_empty() {
        let all = keys.map_or(&[][..], Keys::all);
        return Err(CheckError::OtherKeys {
            sealed_under: checks.iter().map(|(id, _)| id.clone()).collect(),
            here: all.iter().map(|key| key.id().to_string()).collect(),
        });
    }
    Ok(known)
}

fn sealed(key: &Key) -> Result<Vec<u8>, SealError> {
    seal::seal(key, &place(key.id()), KNOWN)
}

fn place(key: KeyId) -> Place {
    Place { table: "secret_checks", column: "sealed", row: i64::from(u32::from_be_bytes(key.0)) }
}

struct Checks;

impl Step for Checks {
    type Of = ();
    type Output = Vec<(String, Vec<u8>)>;

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<Self::Output, Fault> {
        session.all(CHECKS, params![]).await
    }
}

struct AddCheck;

struct Check {
    key: String,
    sealed: Vec<u8>,
    /// Keys of which this process has opened the value.
    known: Vec<String>,
    here: Vec<String>,
}

impl Step for AddCheck {
    type Of = Check;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, check: &Check) -> Result<(), Fault> {
        session.lock(LOCK_CHECKS, params![]).await?;
        let there: Vec<(String, Vec<u8>)> = session.all(CHECKS, params![]).await?;
        let is_known = |id: &String| check.known.contains(id) || *id == check.key;
        if !there.is_empty() && !there.iter().any(|(id, _)| is_known(id)) {
            let sealed_under = there.into_iter().map(|(id, _)| id).collect();
            return Err(Fault::refused(CheckError::OtherKeys { sealed_under, here: check.here.clone() }));
        }
        session.execute(ADD_CHECK, params![&check.key, check.sealed.as_slice()]).await.map(drop)
    }
}

/// Forgets the check values of keys under which nothing is sealed any more.
pub(crate) struct ForgetChecks;

impl Step for ForgetChecks {
    type Of = Vec<String>;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, keys: &Vec<String>) -> Result<(), Fault> {
        let rows: Vec<_> = keys.iter().map(|key| [key.into()]).collect();
        session.execute_many(REMOVE_CHECK, &rows).await.map(drop)
    }
}

step!(Checks, AddCheck, ForgetChecks);
