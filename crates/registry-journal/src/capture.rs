//! Notes every change that the writer makes to a journalled table, in the transaction that makes it.
//!
//! By triggers that belong to the writer's connection alone and write to a table in its memory. So what is rolled back is
//! forgotten with it, whatever the writer rolls back; a database without a journal has no trace of any of this; and SQLite
//! is built as it is for everybody. (Its session extension does the same, but the bindings for that are made when our
//! crates are built, which needs libclang there.)

use registry_database::Owners;
use rusqlite::{Connection, ffi, types::ValueRef};

use super::{
    change::{Change, Operation},
    ledger::{self, Kept},
    table::{self, COLUMNS_MAX, Table},
};

/// The most that one commit may change, in bytes: what is stored with room to spare. No piece of work comes near it.
const CHANGES_BYTES_MAX: usize = 48 * 1024 * 1024;

/// The changes of the writer's connection.
#[derive(Debug)]
pub(crate) struct Capture {
    tables: Vec<Table>,
}

impl Capture {
    /// Begins to note what `writer` changes. The schema must not change after this.
    pub(crate) fn install(writer: &Connection, owners: &Owners) -> rusqlite::Result<Capture> {
        let tables = table::journalled(writer, owners)?;
        let width = tables.iter().map(|table| table.columns.len()).max().unwrap_or(0);
        assert!(width <= COLUMNS_MAX, "a table has more columns than a change has bits");
        // Without this a row that another one replaces goes unnoticed (`INSERT OR REPLACE`).
        writer.pragma_update(None, "recursive_triggers", true)?;
        let values: String = (0..width).map(|column| format!(", v{column}")).collect();
        writer.execute_batch(&format!(
            "CREATE TEMP TABLE journal_changes (
                number INTEGER PRIMARY KEY, operation INTEGER, place INTEGER, given INTEGER{values}
            )"
        ))?;
        for (place, table) in tables.iter().enumerate() {
            assert!(table.keys() != 0, "the table {} has no primary key", table.name);
            writer.execute_batch(&triggers(place, table))?;
        }
        Ok(Capture { tables })
    }

    /// How much memory the noted changes take, about, in bytes.
    pub(crate) fn size_bytes(&self, writer: &Connection) -> rusqlite::Result<i64> {
        let pragma = |sql| writer.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
        Ok((pragma("PRAGMA temp.page_count")? - pragma("PRAGMA temp.freelist_count")?) * 4096)
    }

    /// Keeps what was noted as the next commit, in the same transaction, and forgets the commits up to `stored`. None
    /// if nothing was noted.
    pub(crate) fn seal(&self, writer: &Connection, stored: i64) -> rusqlite::Result<Option<Kept>> {
        let changes = self.take(writer)?;
        if changes.is_empty() {
            return Ok(None);
        }
        if changes.len() > CHANGES_BYTES_MAX {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_TOOBIG), None));
        }
        ledger::forget(writer, stored)?;
        ledger::append(writer, &changes).map(Some)
    }

    fn take(&self, writer: &Connection) -> rusqlite::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut statement = writer.prepare_cached("SELECT * FROM temp.journal_changes ORDER BY number")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place: u32 = row.get(2)?;
            let table = &self.tables[place as usize];
            let operation = Operation::from_number(row.get(1)?).expect("the triggers write these numbers");
            let columns = row.get::<_, i64>(3)? as u64;
            let given = (0..table.columns.len()).filter(|column| columns >> column & 1 == 1);
            let values: Vec<ValueRef<'_>> =
                given.map(|column| row.get_ref(4 + column)).collect::<rusqlite::Result<_>>()?;
            Change { operation, table: &table.name, columns, values }.encode(&mut bytes);
        }
        drop(rows);
        if !bytes.is_empty() {
            writer.prepare_cached("DELETE FROM temp.journal_changes")?.raw_execute()?;
        }
        Ok(bytes)
    }
}

/// A new row is noted whole, of a row that goes its key, of a changed row its key and what is new: a lease that is
/// renewed does not carry its manifest along.
fn triggers(place: usize, table: &Table) -> String {
    let name = &table.name;
    let (all, keys) = (table.all(), table.keys());
    let note = |operation: Operation, given: String, values: Vec<String>| {
        let names: String = (0..table.columns.len()).map(|column| format!(", v{column}")).collect();
        let values: String = values.iter().map(|value| format!(", {value}")).collect();
        let operation = operation as u8;
        format!(
            "INSERT INTO journal_changes (operation, place, given{names})
                VALUES ({operation}, {place}, {given}{values});"
        )
    };
    let columns = || table.columns.iter().map(|column| (format!("\"{}\"", column.name), column.is_key));
    let of_new = columns().map(|(column, _)| format!("NEW.{column}")).collect();
    let of_old = columns()
        .map(|(column, is_key)| if is_key { format!("OLD.{column}") } else { "NULL".to_owned() })
        .collect();
    let of_changed = columns()
        .map(|(column, is_key)| match is_key {
            true => format!("OLD.{column}"),
            false => format!("CASE WHEN OLD.{column} IS NEW.{column} THEN NULL ELSE NEW.{column} END"),
        })
        .collect();
    let bits: Vec<String> = columns()
        .enumerate()
        .filter(|(_, (_, is_key))| !is_key)
        .map(|(index, (column, _))| format!("((OLD.{column} IS NOT NEW.{column}) << {index})"))
        .collect();
    let changed = if bits.is_empty() { "0".to_owned() } else { bits.join(" | ") };
    let moved: Vec<String> = columns()
        .filter(|(_, is_key)| *is_key)
        .map(|(column, _)| format!("OLD.{column} IS NOT NEW.{column}"))
        .collect();
    let moved = moved.join(" OR ");
    let insert = note(Operation::Insert, all.to_string(), of_new);
    let update = note(Operation::Update, format!("{keys} | {changed}"), of_changed);
    let delete = note(Operation::Delete, keys.to_string(), of_old);
    format!(
        "CREATE TEMP TRIGGER journal_insert_{place} AFTER INSERT ON main.\"{name}\" BEGIN {insert} END;
        CREATE TEMP TRIGGER journal_delete_{place} AFTER DELETE ON main.\"{name}\" BEGIN {delete} END;
        CREATE TEMP TRIGGER journal_update_{place} AFTER UPDATE ON main.\"{name}\"
            WHEN ({changed}) <> 0 OR {moved} BEGIN
            SELECT RAISE(ABORT, 'the journal can not follow a key that changes') WHERE {moved};
            {update}
        END;"
    )
}
