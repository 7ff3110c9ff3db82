//! What is run on a database.

use registry_database::{Fault, FromRow, Row, Session, Step, params, step};

use crate::sql;

/// A row of `acme_certificates`, without chain and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: i64,
    pub(crate) host: String,
    pub(crate) not_before_ms: i64,
    pub(crate) not_after_ms: i64,
}

impl FromRow for Known {
    fn from_row(row: &Row<'_>) -> Result<Known, Fault> {
        Ok(Known {
            id: row.get(0)?,
            host: row.get(1)?,
            not_before_ms: row.get(2)?,
            not_after_ms: row.get(3)?,
        })
    }
}

/// A row of `acme_challenges`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) token: String,
    pub(crate) host: String,
    pub(crate) answer: String,
}

impl FromRow for Asked {
    fn from_row(row: &Row<'_>) -> Result<Asked, Fault> {
        Ok(Asked { token: row.get(0)?, host: row.get(1)?, answer: row.get(2)? })
    }
}

/// What a look at the database finds.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) certificates: Vec<Known>,
    pub(crate) challenges: Vec<Asked>,
    /// The hosts whose certificate is not to be ordered now.
    pub(crate) taken: Vec<String>,
}

/// Looks at everything that is of an authority.
pub(crate) struct Look;

impl Step for Look {
    type Of = String;
    type Output = Seen;

    async fn run<S: Session>(&self, session: &S, directory: &String) -> Result<Seen, Fault> {
        Ok(Seen {
            certificates: session.all(sql::CERTIFICATES, params![directory]).await?,
            challenges: session.all(sql::CHALLENGES, params![]).await?,
            taken: session.all(sql::TAKEN, params![]).await?,
        })
    }
}

/// Reads the chain of a certificate, and its key as it is sealed.
pub(crate) struct Read;

impl Step for Read {
    type Of = i64;
    type Output = Option<(String, Vec<u8>)>;

    async fn run<S: Session>(&self, session: &S, id: &i64) -> Result<Self::Output, Fault> {
        session.one(sql::CERTIFICATE, params![*id]).await
    }
}

/// Reads the account with an authority, sealed.
pub(crate) struct Account;

impl Step for Account {
    type Of = String;
    type Output = Option<(i64, Vec<u8>)>;

    async fn run<S: Session>(&self, session: &S, directory: &String) -> Result<Self::Output, Fault> {
        session.one(sql::ACCOUNT, params![directory]).await
    }
}

/// Keeps an account.
pub(crate) struct AddAccount;

impl Step for AddAccount {
    type Of = (i64, String, Vec<u8>);
    type Output = ();

    async fn run<S: Session>(
        &self,
        session: &S,
        (id, directory, credentials): &Self::Of,
    ) -> Result<(), Fault> {
        session.execute(sql::ADD_ACCOUNT, params![*id, directory, credentials.as_slice()]).await.map(drop)
    }
}

/// Forgets an account that the authority does not know any more.
pub(crate) struct RemoveAccount;

impl Step for RemoveAccount {
    type Of = String;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, directory: &String) -> Result<(), Fault> {
        session.execute(sql::REMOVE_ACCOUNT, params![directory]).await.map(drop)
    }
}

/// Claims the order of a host's certificate. Says whether this node has it.
pub(crate) struct Claim {
    pub(crate) for_ms: i64,
}

impl Step for Claim {
    type Of = String;
    type Output = bool;

    async fn run<S: Session>(&self, session: &S, host: &String) -> Result<bool, Fault> {
        Ok(session.execute(sql::CLAIM, params![host, self.for_ms]).await? > 0)
    }
}

/// Keeps what the authority wants to see.
pub(crate) struct Ask {
    pub(crate) for_ms: i64,
}

impl Step for Ask {
    type Of = Asked;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, asked: &Asked) -> Result<(), Fault> {
        let values = params![&asked.token, &asked.host, &asked.answer, self.for_ms];
        session.execute(sql::ADD_CHALLENGE, values).await.map(drop)
    }
}

/// A certificate as it is kept.
pub(crate) struct New {
    pub(crate) known: Known,
    pub(crate) directory: String,
    pub(crate) chain: String,
    pub(crate) key: Vec<u8>,
}

/// Keeps a certificate in place of the one before, and ends its order.
pub(crate) struct Keep;

impl Step for Keep {
    type Of = New;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, new: &New) -> Result<(), Fault> {
        let host = &new.known.host;
        session.execute(sql::REMOVE_CERTIFICATE, params![host]).await?;
        let values = params![
            new.known.id,
            host,
            &new.directory,
            &new.chain,
            new.key.as_slice(),
            new.known.not_before_ms,
            new.known.not_after_ms,
        ];
        session.execute(sql::ADD_CERTIFICATE, values).await?;
        session.execute(sql::REMOVE_CHALLENGES, params![host]).await?;
        session.execute(sql::REMOVE_ORDER, params![host]).await.map(drop)
    }
}

/// Ends an order that failed, and says for how many milliseconds there is no other.
pub(crate) struct Fail {
    /// How long the first pause is, and how long one may be, in milliseconds.
    pub(crate) pause_ms: (i64, i64),
}

impl Step for Fail {
    type Of = String;
    type Output = i64;

    async fn run<S: Session>(&self, session: &S, host: &String) -> Result<i64, Fault> {
        let failures: i64 = session.one(sql::FAILURES, params![host]).await?.unwrap_or(0);
        let pause_ms = pause_ms(self.pause_ms, failures);
        session.execute(sql::REMOVE_CHALLENGES, params![host]).await?;
        session.execute(sql::FAILED, params![pause_ms, host]).await?;
        Ok(pause_ms)
    }
}

/// The pause after so many failures before this one.
fn pause_ms((first_ms, longest_ms): (i64, i64), failures: i64) -> i64 {
    let times = 4_i64.saturating_pow(u32::try_from(failures).unwrap_or(u32::MAX));
    first_ms.saturating_mul(times).min(longest_ms)
}

step!(Look, Read, Account, AddAccount, RemoveAccount, Claim, Ask, Keep, Fail);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let minutes = |failures| pause_ms((60_000, 21_600_000), failures) / 60_000;
        assert_eq!([0, 1, 2, 3, 4, 5, 1000].map(minutes), [1, 4, 16, 64, 256, 360, 360]);
    }
}
