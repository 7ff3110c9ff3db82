//! Lists of texts, a page at a time.

use std::{error::Error as StdError, str::FromStr};

use registry_database::{Fault, Param, Session, Statement, Text, signed};

use super::Keyed;

/// A list of texts, by statements whose parameters are some, a text to begin after, some, and a limit.
pub(crate) struct Page<'a> {
    /// For the first page.
    pub(crate) first: Statement,
    /// For those after it.
    pub(crate) next: Statement,
    pub(crate) before: &'a [Param<'a>],
    pub(crate) between: &'a [Param<'a>],
}

impl Page<'_> {
    pub(crate) fn of(statement: Statement) -> Page<'static> {
        Page { first: statement, next: statement, before: &[], between: &[] }
    }

    /// The first `limit` texts that can be read; the others are passed over.
    pub(crate) async fn first_readable<T>(
        &self,
        session: &impl Session,
        after: &str,
        limit: usize,
    ) -> Result<Vec<T>, Fault>
    where
        T: FromStr<Err: StdError + Send + Sync + 'static>,
    {
        let (mut found, mut after, mut statement) = (Vec::new(), after.to_owned(), self.first);
        loop {
            let rest = limit - found.len();
            let middle = [Param::Text(&after)];
            let params = [self.before, &middle, self.between, &[Param::Number(signed(rest))]].concat();
            let rows: Vec<Keyed<String, Text<T>>> = session.all(statement, &params).await?;
            let is_full = rows.len() == rest;
            let last = rows.last().map(|row| row.key.clone());
            found.extend(rows.into_iter().filter_map(|row| Some(row.value?.0)));
            match last {
                Some(last) if is_full && found.len() < limit => after = last,
                _ => return Ok(found),
            }
            statement = self.next;
        }
    }
}
