//! The PostgreSQL side: one transaction.

use std::{pin::pin, sync::Arc};

use futures_util::StreamExt;
use tokio_postgres::{Client, Row, types::ToSql};

use super::{
    TransferError,
    source::{Batches, Kind, Table, Value},
};
use crate::{
    Owners, Pool, Pooled, PostgresOptions,
    postgres::{connection::BEGIN, migrate},
};

/// The table of one row that is there from the start.
const STORE: &str = "store";

/// The table of owners, which has its rows from the start.
const OWNERS: &str = "owners";

pub(super) struct Target {
    connection: Pooled,
}

/// Opens the target, and brings its schema up to date.
pub(super) async fn open(postgres: &PostgresOptions, owners: &Owners) -> Result<Arc<Pool>, TransferError> {
    let pool = Pool::new(postgres).map_err(TransferError::Target)?;
    migrate(&pool, owners).await.map_err(TransferError::Target)?;
    Ok(pool)
}

impl Target {
    /// A connection for this alone.
    pub(super) async fn connect(pool: &Arc<Pool>) -> Result<Target, TransferError> {
        let connection = pool.connection().await;
        let connection = connection.map_err(|fault| {
            let operation = "connect to the database";
            TransferError::database(operation, fault.explain(operation))
        })?;
        // It is closed afterwards.
        connection.mark_unusable(true);
        Ok(Target { connection })
    }

    fn client(&self) -> &Client {
        self.connection.client()
    }

    /// Begins the transaction, however long it takes. A node that starts on the target meanwhile is refused.
    pub(super) async fn begin(&self) -> Result<(), TransferError> {
        let begin = format!(
            "{BEGIN}; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
             SELECT 1 FROM store FOR UPDATE"
        );
        self.run("begin", &begin).await
    }

    pub(super) async fn must_be_empty(&self, tables: &[Table]) -> Result<(), TransferError> {
        for Table { name, .. } in tables {
            let is_there = self.client().query_one("SELECT to_regclass($1) IS NOT NULL", &[name]).await;
            if !is_there.map_err(failed("look for tables"))?.get::<_, bool>(0) {
                return Err(TransferError::UnknownTable { table: name.clone() });
            }
            let used = match name.as_str() {
                STORE => "SELECT EXISTS (SELECT 1 FROM store WHERE id IS NOT NULL)".to_owned(),
                OWNERS => "SELECT FALSE".to_owned(),
                _ => format!("SELECT EXISTS (SELECT 1 FROM {name})"),
            };
            let used = self.client().query_one(&used, &[]).await.map_err(failed("look for rows"))?;
            if used.get(0) {
                return Err(TransferError::NotEmpty { table: name.clone() });
            }
        }
        // What is there from the start is what is copied.
        self.run("make room", "DELETE FROM store; DELETE FROM owners").await
    }

    /// Copies all rows of a table, and says how many.
    pub(super) async fn copy(&self, table: &Table, mut batches: Batches) -> Result<u64, TransferError> {
        let operation = format!("copy `{}`", table.name);
        let insert = insert(table);
        let statement = self.client().prepare(&insert).await.map_err(failed(&operation))?;
        let mut rows = 0;
        while let Some(batch) = batches.next().await? {
            rows += batch.len() as u64;
            let columns = columns(table, batch, rows)?;
            let columns: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|column| &**column as _).collect();
            self.client().execute(&statement, &columns).await.map_err(failed(&operation))?;
        }
        Ok(rows)
    }

    /// Compares all rows of a table with those of the source, and says how many there are.
    pub(super) async fn compare(&self, table: &Table, mut batches: Batches) -> Result<u64, TransferError> {
        let operation = format!("compare `{}`", table.name);
        let none: [i64; 0] = [];
        let copied = self.client().query_raw(&table.select(), none).await.map_err(failed(&operation))?;
        let mut copied = pin!(copied);
        let mut rows = 0;
        let different = |row| TransferError::Different { table: table.name.clone(), row };
        while let Some(batch) = batches.next().await? {
            for expected in batch {
                rows += 1;
                let row = copied.next().await.ok_or_else(|| different(rows))?.map_err(failed(&operation))?;
                if values(table, &row).map_err(failed(&operation))? != expected {
                    return Err(different(rows));
                }
            }
        }
        match copied.next().await {
            None => Ok(rows),
            Some(_) => Err(different(rows + 1)),
        }
    }

    /// New rows get higher numbers than any that was ever given.
    pub(super) async fn continue_numbers(&self, numbers: &[(String, i64)]) -> Result<(), TransferError> {
        for (table, number) in numbers {
            let sequence = "SELECT setval(pg_get_serial_sequence($1, 'id'), $2)";
            let set = self.client().query_one(sequence, &[table, number]).await;
            set.map_err(failed("set the numbers of new rows"))?;
        }
        Ok(())
    }

    pub(super) async fn commit(&self) -> Result<(), TransferError> {
        self.run("commit", "COMMIT").await?;
        // What the planner knows of empty tables is of no use.
        self.run("look at the tables", "ANALYZE").await
    }

    async fn run(&self, operation: &str, sql: &str) -> Result<(), TransferError> {
        self.client().batch_execute(sql).await.map_err(failed(operation))
    }
}

fn failed(operation: &str) -> impl FnOnce(tokio_postgres::Error) -> TransferError {
    move |error| TransferError::database(operation, error)
}

/// Takes one array for each column.
fn insert(table: &Table) -> String {
    let array = |(number, (_, kind)): (usize, &(String, Kind))| {
        let kind = match kind {
            Kind::Number => "bigint",
            Kind::Text => "text",
            Kind::Bytes => "bytea",
        };
        format!("${}::{kind}[]", number + 1)
    };
    let arrays: Vec<String> = table.columns.iter().enumerate().map(array).collect();
    let columns = table.column_list();
    format!("INSERT INTO {} ({columns}) SELECT * FROM unnest({})", table.name, arrays.join(", "))
}

/// Rows as columns. `last` is the number of the last row, for the message about one that is not what it must be.
fn columns(
    table: &Table,
    rows: Vec<Vec<Value>>,
    last: u64,
) -> Result<Vec<Box<dyn ToSql + Sync + Send>>, TransferError> {
    let first = last + 1 - rows.len() as u64;
    let mut columns: Vec<Column> = table.columns.iter().map(|(_, kind)| Column::of(*kind)).collect();
    for (number, row) in rows.into_iter().enumerate() {
        for (column, value) in columns.iter_mut().zip(row) {
            let row = first + number as u64;
            column.push(value).ok_or_else(|| TransferError::Different { table: table.name.clone(), row })?;
        }
    }
    Ok(columns.into_iter().map(Column::array).collect())
}

enum Column {
    Numbers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Column {
    fn of(kind: Kind) -> Column {
        match kind {
            Kind::Number => Column::Numbers(Vec::new()),
            Kind::Text => Column::Texts(Vec::new()),
            Kind::Bytes => Column::Bytes(Vec::new()),
        }
    }

    /// None if the value is not of the column's kind, which SQLite would have allowed.
    fn push(&mut self, value: Value) -> Option<()> {
        match (self, value) {
            (Column::Numbers(values), Value::Null) => values.push(None),
            (Column::Texts(values), Value::Null) => values.push(None),
            (Column::Bytes(values), Value::Null) => values.push(None),
            (Column::Numbers(values), Value::Number(value)) => values.push(Some(value)),
            (Column::Texts(values), Value::Text(value)) => values.push(Some(value)),
            (Column::Bytes(values), Value::Bytes(value)) => values.push(Some(value)),
            _ => return None,
        }
        Some(())
    }

    fn array(self) -> Box<dyn ToSql + Sync + Send> {
        match self {
            Column::Numbers(values) => Box::new(values),
            Column::Texts(values) => Box::new(values),
            Column::Bytes(values) => Box::new(values),
        }
    }
}

fn values(table: &Table, row: &Row) -> Result<Vec<Value>, tokio_postgres::Error> {
    let value = |(index, (_, kind)): (usize, &(String, Kind))| {
        Ok(match kind {
            Kind::Number => row.try_get::<_, Option<i64>>(index)?.map(Value::Number),
            Kind::Text => row.try_get::<_, Option<String>>(index)?.map(Value::Text),
            Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(index)?.map(Value::Bytes),
        }
        .unwrap_or(Value::Null))
    };
    table.columns.iter().enumerate().map(value).collect()
}
