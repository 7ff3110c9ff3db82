//! A database in which the tables of events are made when they are first used.

use registry_database::{
    Owners,
    contract::{Bench, STORE},
};

use super::{add, moved};
use crate::{Numbers, Recorder, SCHEMA, watch};

const OWNERS: Owners = Owners::new(&[&STORE, &registry_database::SCHEMA]).on_demand(&[&SCHEMA]);

mod cases {
    use super::*;

    pub(super) async fn a_node_waits_for_the_tables(bench: &Bench) {
        let recorder = Recorder::new();
        assert_eq!(Numbers::read(&bench.database, &recorder).await.unwrap(), Numbers::default());
        recorder.refresh(&bench.database).await.unwrap();
        assert!(!recorder.is_wanted());
        let mut positions = recorder.positions();
        let watching = tokio::spawn(watch(bench.database.clone(), recorder.clone()));
        bench.other.use_owners(&[SCHEMA.owner]).await.unwrap();
        add(&bench.other, "a").await;
        moved(&bench.other, &["v1"]).await;
        let first = positions.wait_for(|position| *position == 1);
        tokio::time::timeout(super::super::PATIENCE, first).await.unwrap().unwrap();
        assert!(recorder.is_wanted());
        watching.abort();
    }
}

registry_database::on_both_engines! {
    super::OWNERS, registry_testing_postgres::PostgresServer::shared().database();
    cases: [a_node_waits_for_the_tables],
}
