//! What PostgreSQL says of the database.

use registry_database::{Fault, Limits, postgres::Connection};

use super::row::column;

/// Every foreign key, as a statement that counts what it should not let be.
const FOREIGN_KEYS: &str = "SELECT c.conrelid::regclass::text, c.confrelid::regclass::text,
        format('SELECT COUNT(*) FROM %s child LEFT JOIN %s parent ON %s WHERE %s AND parent.%I IS NULL',
            c.conrelid::regclass, c.confrelid::regclass,
            string_agg(format('parent.%I = child.%I', f.attname, a.attname), ' AND ' ORDER BY k.place),
            string_agg(format('child.%I IS NOT NULL', a.attname), ' AND ' ORDER BY k.place),
            min(f.attname))
    FROM pg_constraint c
    CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY AS k (own, foreign_key, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.own
    JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = k.foreign_key
    WHERE c.contype = 'f' AND c.connamespace = to_regnamespace(current_schema())
    GROUP BY c.oid, c.conrelid, c.confrelid ORDER BY 1, 2";

/// Looks at every foreign key; pages and indexes are the server's (`pg_amcheck`). The connection takes however long anything
/// takes from then on, and is not used again.
pub(super) async fn check(connection: &Connection) -> Result<Vec<String>, Fault> {
    connection.mark_unusable(true);
    connection.limit(Limits::LONG);
    let client = connection.client();
    client.batch_execute("SET statement_timeout = 0").await?;
    let mut said = Vec::new();
    for key in client.query(FOREIGN_KEYS, &[]).await? {
        let (child, parent, count): (String, String, String) =
            (column(&key, 0)?, column(&key, 1)?, column(&key, 2)?);
        let dangling: i64 = column(&client.query_one(&count, &[]).await?, 0)?;
        if dangling > 0 {
            said.push(format!("{dangling} rows of {child} refer to rows of {parent} that are not there"));
        }
    }
    Ok(said)
}
