//! Whether a database is worth keeping.

use super::Connection;
use crate::{Fault, Owners};

/// Whether any table of [content](crate::Schema::content) has a row, in a database whose schema is up to date.
///
/// # Errors
/// See [`Fault`].
pub async fn has_content(connection: &Connection, owners: &Owners) -> Result<bool, Fault> {
    let sql = owners.has_content(|_| true);
    connection.answer(async { Ok(connection.client().query_one(&sql, &[]).await?.try_get(0)?) }).await
}
