use super::*;
use crate::sql;

/// No statement that is run for each message, each second or each page reads a whole table of messages.
pub(super) async fn messages_are_found_by_an_index(bench: &Bench) {
    bench.database.use_owners(&["events", "jobs", "webhooks"]).await.unwrap();
    if !bench.is_sqlite() {
        // A server of PostgreSQL decides by statistics, which an empty database has not.
        return;
    }
    for statement in [
        sql::WAITING,
        sql::SEQUENCES_AFTER,
        sql::FORGET_SEQUENCE,
        sql::ADD_DELIVERY,
        sql::COPY_DELIVERY,
        sql::DELIVERY,
        sql::DELIVERIES,
        sql::DELIVERIES_IN_STATE,
        sql::ENDED_SINCE,
        sql::NEWEST,
        sql::END_DELIVERY,
        sql::REVIVE_DELIVERY,
        sql::ADD_ATTEMPT,
        sql::ATTEMPTS,
        sql::FORGET_ATTEMPTS,
        sql::WAIT_SINCE_BEFORE,
        sql::GIVE_UP,
        sql::PRUNE_OLD,
        sql::PRUNE_MANY,
        sql::PRUNE_DEAD,
        sql::NUMBERS,
    ] {
        let filled = (1..=20)
            .rev()
            .fold(statement.sqlite.to_owned(), |sql, number| sql.replace(&format!("${number}"), "1"));
        let plan = bench.rows(&format!("EXPLAIN QUERY PLAN {filled}")).await;
        let reads_all = |line: &&String| {
            line.contains("SCAN webhook_") && !line.contains("webhook_deliveries_waiting")
                || line.contains("SCAN d ")
        };
        let whole: Vec<_> = plan.iter().filter(reads_all).collect();
        assert!(whole.is_empty(), "{}: {whole:?}", statement.sqlite);
    }
}
