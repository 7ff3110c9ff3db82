//! What keys promise over a database of each engine.

use registry_database::{
    Migration, Owners, Schema,
    contract::{Bench, STORE},
};

use crate::{CheckError, Key, Keys, Place, SCHEMA, Sealable, Sealed, Secrets, sealable};

/// Another owner's table, with sealed values.
const THINGS: Schema = Schema {
    owner: "things",
    migrations: &[Migration {
        number: 12,
        oldest_binary: 1,
        sql: "CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY, secret {bytes})",
    }],
    volatile: &[],
    content: &[],
};

const OWNERS: Owners = Owners::new(&[&STORE, &SCHEMA, &THINGS, &registry_database::SCHEMA]);

const COLUMNS: &[Sealable] = &[sealable!("things", "things", "secret")];

fn key(byte: u8) -> Key {
    Key::from([byte; 32])
}

fn with(bytes: &[u8]) -> Secrets {
    let keys: Vec<String> = bytes.iter().map(|byte| key(*byte).to_text().to_string()).collect();
    Secrets::given(keys.join("\n").parse::<Keys>().unwrap())
}

fn place(row: i64) -> Place {
    Place { table: "things", column: "secret", row }
}

async fn keep(bench: &Bench, secrets: &Secrets, rows: std::ops::RangeInclusive<i64>) {
    for row in rows {
        let sealed = hex::encode(secrets.seal(&place(row), format!("secret {row}").as_bytes()).unwrap());
        let bytes = if bench.is_sqlite() { format!("x'{sealed}'") } else { format!("'\\x{sealed}'") };
        bench.run(&format!("INSERT INTO things (id, secret) VALUES ({row}, {bytes})")).await;
    }
}

fn of(id: &str, is_open: bool, count: u64) -> Sealed {
    Sealed { table: "things", column: "secret", key: Some(id.to_owned()), is_open, count }
}

mod keys {
    use super::*;

    pub(super) async fn a_node_with_other_keys_does_not_start(bench: &Bench) {
        let (one, other) = (with(&[1]), with(&[2]));
        // Nothing was sealed yet: any key will do, and none.
        for secrets in [&one, &other, &Secrets::absent()] {
            secrets.check(&bench.database).await.unwrap();
        }
        one.prepare(&bench.database).await.unwrap();
        one.prepare(&bench.database).await.unwrap();
        one.check(&bench.other).await.unwrap();
        with(&[2, 1]).check(&bench.other).await.unwrap();
        for (secrets, here) in [(&other, key(2).id().to_string()), (&Secrets::absent(), "none".to_owned())] {
            let error = secrets.check(&bench.other).await.unwrap_err().to_string();
            let parts =
                [key(1).id().to_string(), here, "REGISTRY_SECRETS_KEY".into(), "secrets.keyfile".into()];
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
        assert!(matches!(other.prepare(&bench.other).await, Err(CheckError::OtherKeys { .. })));
        assert_eq!(bench.value("SELECT COUNT(*) FROM secret_checks").await, "1");
    }

    pub(super) async fn a_lost_key_stops_only_what_it_sealed(bench: &Bench) {
        let (lost, other) = (with(&[1]), with(&[2]));
        lost.prepare(&bench.database).await.unwrap();
        keep(bench, &lost, 1..=1).await;
        for secrets in [&other, &Secrets::absent()] {
            let error = secrets.check_sealed(&bench.other, COLUMNS).await.unwrap_err();
            assert!(matches!(error, CheckError::OtherKeys { .. }), "{error}");
        }
        lost.check_sealed(&bench.other, COLUMNS).await.unwrap();
        bench.run("DELETE FROM things").await;
        // A node that can open nothing starts where nothing is sealed, and another key seals from now on.
        assert!(other.prepare(&bench.other).await.is_err());
        Secrets::absent().check_sealed(&bench.other, COLUMNS).await.unwrap();
        other.prepare(&bench.other).await.unwrap();
        other.check(&bench.database).await.unwrap();
    }

    pub(super) async fn of_two_nodes_with_other_keys_one_seals(bench: &Bench) {
        for _ in 0..30 {
            let prepare = |byte, database: &registry_database::Database| {
                let database = database.clone();
                tokio::spawn(async move { with(&[byte]).prepare(&database).await })
            };
            let nodes = (prepare(1, &bench.database), prepare(2, &bench.other));
            let (first, second) = (nodes.0.await.unwrap(), nodes.1.await.unwrap());
            assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
            let refused = first.and(second).unwrap_err();
            assert!(matches!(refused, CheckError::OtherKeys { .. }), "{refused:?}");
            assert_eq!(bench.value("SELECT COUNT(*) FROM secret_checks").await, "1");
            bench.run("DELETE FROM secret_checks").await;
        }
    }

    pub(super) async fn a_new_key_takes_over_what_former_ones_sealed(bench: &Bench) {
        let (one, both) = (with(&[1]), with(&[2, 1]));
        one.prepare(&bench.database).await.unwrap();
        keep(bench, &one, 1..=250).await;
        bench.run("INSERT INTO things (id, secret) VALUES (1000, NULL)").await;
        let (old, new) = (key(1).id().to_string(), key(2).id().to_string());
        assert_eq!(both.status(&bench.database, COLUMNS).await.unwrap(), [of(&old, true, 250)]);
        both.prepare(&bench.other).await.unwrap();
        keep(bench, &both, 251..=260).await;

        assert_eq!(both.rotate(&bench.database, COLUMNS).await.unwrap(), 250);
        assert_eq!(both.rotate(&bench.database, COLUMNS).await.unwrap(), 0);
        assert_eq!(both.status(&bench.database, COLUMNS).await.unwrap(), [of(&new, true, 260)]);
        let alone = with(&[2]);
        assert_eq!(alone.status(&bench.other, COLUMNS).await.unwrap(), [of(&new, true, 260)]);
        alone.check(&bench.other).await.unwrap();
        // The former key opens nothing any more, and says so at the start.
        assert!(matches!(one.check(&bench.other).await, Err(CheckError::OtherKeys { .. })));
    }

    pub(super) async fn what_does_not_open_is_told_and_stays(bench: &Bench) {
        let (one, other) = (with(&[1]), with(&[2]));
        one.prepare(&bench.database).await.unwrap();
        keep(bench, &one, 1..=2).await;
        keep(bench, &other, 3..=3).await;
        bench.run("UPDATE things SET id = 4 WHERE id = 2").await;
        let newer = with(&[5, 1]);
        let expected = |current: &str| {
            let mut all = vec![
                of(&key(1).id().to_string(), false, 1),
                of(&key(2).id().to_string(), false, 1),
                of(current, true, 1),
            ];
            all.sort();
            all
        };
        assert_eq!(one.status(&bench.database, COLUMNS).await.unwrap(), expected(&key(1).id().to_string()));
        assert_eq!(newer.rotate(&bench.database, COLUMNS).await.unwrap(), 1);
        assert_eq!(newer.status(&bench.database, COLUMNS).await.unwrap(), expected(&key(5).id().to_string()));
        // Something is sealed under the former key still, so that it must not be forgotten.
        one.check(&bench.database).await.unwrap();
    }

    pub(super) async fn a_value_that_changes_meanwhile_is_not_overwritten(bench: &Bench) {
        let (one, both) = (with(&[1]), with(&[2, 1]));
        one.prepare(&bench.database).await.unwrap();
        keep(bench, &one, 1..=1).await;
        let stale: (Vec<u8>, Vec<u8>) =
            (one.seal(&place(1), b"other").unwrap(), both.seal(&place(1), b"anew").unwrap());
        let anew = crate::rotate::Anew::of(COLUMNS[0].put, 1, stale.0, stale.1);
        assert_eq!(bench.database.write("seal anew", crate::rotate::PutAnew, anew).await.unwrap(), 0);
        assert_eq!(
            both.status(&bench.database, COLUMNS).await.unwrap()[0].key,
            Some(key(1).id().to_string())
        );
    }
}

registry_database::on_both_engines! {
    super::OWNERS, registry_testing_postgres::PostgresServer::shared().database();
    keys: [
        a_node_with_other_keys_does_not_start,
        a_lost_key_stops_only_what_it_sealed,
        of_two_nodes_with_other_keys_one_seals,
        a_new_key_takes_over_what_former_ones_sealed,
        what_does_not_open_is_told_and_stays,
        a_value_that_changes_meanwhile_is_not_overwritten,
    ],
}
