//! What is sealed, and sealing it anew.

use std::collections::BTreeMap;

use registry_database::{Database, Fault, Param, Session, Statement, Step, params, step};

use crate::{CheckError, Place, Secrets, check::ForgetChecks, seal, sealed_under};

/// How many values are looked at, or sealed anew, at a time.
const BATCH: i64 = 100;

/// A column with sealed values. Its table has a column `id`, a number that no other row ever has.
#[derive(Clone, Copy, Debug)]
pub struct Sealable {
    /// Whose table it is: of an owner that the database does not have, nothing is sealed.
    pub owner: &'static str,
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// `id` and value of the rows after `$1`, at most `$2`, in the order of `id`, without those that have none.
    pub page: Statement,
    /// Sets the value of the row `$2` to `$1`, if it is `$3`.
    pub put: Statement,
}

/// A [`Sealable`] of an owner, a table and a column.
#[macro_export]
macro_rules! sealable {
    ($owner:literal, $table:literal, $column:literal) => {
        $crate::Sealable {
            owner: $owner,
            table: $table,
            column: $column,
            page: $crate::Statement::same(concat!(
                "SELECT id, ",
                $column,
                " FROM ",
                $table,
                " WHERE id > $1 AND ",
                $column,
                " IS NOT NULL ORDER BY id LIMIT $2"
            )),
            put: $crate::Statement::same(concat!(
                "UPDATE ",
                $table,
                " SET ",
                $column,
                " = $1 WHERE id = $2 AND ",
                $column,
                " = $3"
            )),
        }
    };
}

/// How many values of a column are sealed under a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sealed {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The key's id; none where a value has none.
    pub key: Option<String>,
    /// Whether this process opens them.
    pub is_open: bool,
    /// How many.
    pub count: u64,
}

impl Secrets {
    /// What is sealed under which key, and whether it opens. Reads and opens every value.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn status(&self, database: &Database, columns: &[Sealable]) -> Result<Vec<Sealed>, CheckError> {
        let mut counts: BTreeMap<_, u64> = BTreeMap::new();
        for column in columns {
            let mut after = i64::MIN;
            loop {
                let page = page(database, column, after).await?;
                for (row, sealed) in &page {
                    let key = sealed_under(sealed).ok().map(|key| key.to_string());
                    let is_open = self.open(&place(column, *row), sealed).is_ok();
                    *counts.entry((column.table, column.column, key, is_open)).or_default() += 1;
                }
                let Some((last, _)) = page.last() else { break };
                after = *last;
            }
        }
        let counted = |((table, column, key, is_open), count)| Sealed { table, column, key, is_open, count };
        Ok(counts.into_iter().map(counted).collect())
    }

    /// Seals under the current key what is sealed under former ones, and says how many values it was. May be stopped and run again
    /// at any time, beside nodes that have the current key. What does not open stays as it is. Then keys under which nothing
    /// is sealed can go.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn rotate(&self, database: &Database, columns: &[Sealable]) -> Result<u64, CheckError> {
        self.prepare(database).await?;
        let mut count = 0;
        for column in columns {
            let mut after = i64::MIN;
            loop {
                let page = page(database, column, after).await?;
                let Some((last, _)) = page.last() else { break };
                after = *last;
                let anew = self.sealed_anew(column, &page)?;
                if !anew.rows.is_empty() {
                    count += database.write("seal secrets anew", PutAnew, anew).await?;
                }
            }
        }
        self.forget_checks(database, columns).await?;
        Ok(count)
    }

    /// Those of the rows that are not sealed under the current key and open.
    fn sealed_anew(&self, column: &Sealable, page: &[(i64, Vec<u8>)]) -> Result<Anew, CheckError> {
        let keys = self.find_or_make()?;
        let current = keys.current();
        let mut rows = Vec::new();
        for (row, sealed) in
            page.iter().filter(|(_, sealed)| sealed_under(sealed).is_ok_and(|key| key != current.id()))
        {
            if let Ok(plain) = seal::open(&keys, &place(column, *row), sealed) {
                rows.push((seal::seal(current, &place(column, *row), &plain)?, *row, sealed.clone()));
            }
        }
        Ok(Anew { put: column.put, rows })
    }

    /// The current key stays, and each that something is sealed under.
    async fn forget_checks(&self, database: &Database, columns: &[Sealable]) -> Result<(), CheckError> {
        let keys = self.find_or_make()?;
        let in_use = self.status(database, columns).await?;
        let unused = keys.all()[1..].iter().map(|key| key.id().to_string());
        let unused: Vec<String> =
            unused.filter(|key| !in_use.iter().any(|sealed| sealed.key.as_ref() == Some(key))).collect();
        Ok(database.write("forget keys for secrets", ForgetChecks, unused).await?)
    }
}

fn place(column: &Sealable, row: i64) -> Place {
    Place { table: column.table, column: column.column, row }
}

async fn page(database: &Database, column: &Sealable, after: i64) -> Result<Vec<(i64, Vec<u8>)>, CheckError> {
    if !database.has_owner(column.owner).await? {
        return Ok(Vec::new());
    }
    Ok(database.read("read what is sealed", Page, (column.page, after)).await?)
}

struct Page;

impl Step for Page {
    type Of = (Statement, i64);
    type Output = Vec<(i64, Vec<u8>)>;

    async fn run<S: Session>(
        &self,
        session: &S,
        (page, after): &(Statement, i64),
    ) -> Result<Self::Output, Fault> {
        session.all(*page, params![*after, BATCH]).await
    }
}

/// New values, rows and old values.
pub(crate) struct Anew {
    put: Statement,
    rows: Vec<(Vec<u8>, i64, Vec<u8>)>,
}

#[cfg(test)]
impl Anew {
    pub(crate) fn of(put: Statement, row: i64, old: Vec<u8>, new: Vec<u8>) -> Anew {
        Anew { put, rows: vec![(new, row, old)] }
    }
}

pub(crate) struct PutAnew;

impl Step for PutAnew {
    type Of = Anew;
    type Output = u64;

    async fn run<S: Session>(&self, session: &S, anew: &Anew) -> Result<u64, Fault> {
        let rows = anew
            .rows
            .iter()
            .map(|(new, row, old)| [Param::Bytes(new), Param::Number(*row), Param::Bytes(old)]);
        session.execute_many(anew.put, &rows.collect::<Vec<_>>()).await
    }
}

step!(Page, PutAnew);
