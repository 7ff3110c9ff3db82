//! Statements by themselves.

use super::{pool, value};

const DURABILITY: &str = "SELECT current_setting('synchronous_commit')";

#[tokio::test]
async fn a_statement_by_itself_is_durable_unless_it_says_otherwise() {
    let pool = pool().await;
    assert_eq!(value(&pool, DURABILITY).await, "on");
    let connection = pool.connection().await.unwrap();
    let row = connection.of_process(connection.one(DURABILITY, &[])).await.unwrap().unwrap();
    assert_eq!(row.get::<_, &str>(0), "off");
    let insert = "INSERT INTO things (name) VALUES ('a')";
    assert_eq!(connection.of_process(connection.execute(insert, &[])).await.unwrap(), 1);
    connection.of_process(connection.execute(insert, &[])).await.unwrap_err();
    drop(connection);
    // The same connection, since there is only one.
    assert_eq!(value(&pool, DURABILITY).await, "on");
    assert_eq!(value(&pool, "SELECT COUNT(*)::text FROM things").await, "1");
}

#[tokio::test]
async fn a_statement_that_has_to_be_prepared_does_not_fall_behind_the_next_one() {
    let pool = pool().await;
    let connection = pool.connection().await.unwrap();
    let count = "SELECT COUNT(*)::text FROM things";
    connection.one(count, &[]).await.unwrap();
    let insert = "INSERT INTO things (name) VALUES ('new')";
    let (inserted, counted) =
        tokio::join!(biased; connection.execute(insert, &[]), connection.one(count, &[]));
    assert_eq!((inserted.unwrap(), counted.unwrap().unwrap().get::<_, &str>(0)), (1, "1"));
}
