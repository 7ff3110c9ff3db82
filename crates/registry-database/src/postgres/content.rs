//! Whether a database is worth keeping.

use super::Connection;
use crate::{Fault, Owners};

/// Whether any table of [content](crate::Schema::content) has a row, in a database whose schema is up to date. An owner may not
/// be there.
///
/// # Errors
/// See [`Fault`].
pub async fn has_content(connection: &Connection, owners: &Owners) -> Result<bool, Fault> {
    let tables: Vec<&str> = owners.content().collect();
    let there = "SELECT name FROM UNNEST($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL";
    connection
        .answer(async {
            let client = connection.client();
            let rows = client.query(there, &[&tables]).await?;
            let there: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
            let sql = owners.has_content(|table| there.contains(&table));
            Ok(client.query_one(&sql, &[]).await?.try_get(0)?)
        })
        .await
}
