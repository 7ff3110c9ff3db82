//! What the tables promise, over a database of each engine. `tests/servers/acme.rs` orders from a real authority.

use std::collections::BTreeMap;

use rcgen::{CertificateParams, KeyPair};
use registry_database::{
    Owners,
    contract::{Bench, STORE},
};
use registry_outbound::{Outbound, OutboundOptions};
use registry_secrets::{Key, Place, Secrets};

use crate::{
    Acme, AcmeError, Certificates, Options, SCHEMA, kept, remove,
    steps::{self, Asked, Known, New},
};

const OWNERS: Owners =
    Owners::new(&[&STORE, &registry_database::SCHEMA]).on_demand(&[&registry_secrets::SCHEMA, &SCHEMA]);

const DIRECTORY: &str = "https://authority.example/dir";

fn secrets(byte: u8) -> Secrets {
    Secrets::given(registry_secrets::Keys::new(Key::from([byte; 32])))
}

async fn load(bench: &Bench, key: u8, hosts: &[&str]) -> Result<(Acme, Certificates), AcmeError> {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let outbound = Outbound::new(OutboundOptions::default()).unwrap();
    let options = Options::new(bench.database.clone(), secrets(key), outbound, DIRECTORY.to_owned(), hosts);
    let certificates = Certificates::default();
    Ok((Acme::load(options, certificates.clone()).await?, certificates))
}

/// Keeps a certificate for a host, sealed under a key.
async fn keep(bench: &Bench, key: u8, id: i64, host: &str) {
    let pair = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&pair).unwrap();
    let place = Place { table: "acme_certificates", column: "key", row: id };
    let new = New {
        known: Known { id, host: host.to_owned(), not_before_ms: 0, not_after_ms: i64::MAX },
        directory: DIRECTORY.to_owned(),
        chain: certificate.pem(),
        key: secrets(key).seal(&place, pair.serialize_pem().as_bytes()).unwrap(),
    };
    bench.database.write("keep a certificate", steps::Keep, new).await.unwrap();
}

mod orders {
    use super::*;

    async fn claim(bench: &Bench) -> bool {
        let step = steps::Claim { for_ms: 60_000 };
        bench.database.write("claim", step, "a.example".to_owned()).await.unwrap()
    }

    async fn look(bench: &Bench) -> steps::Seen {
        bench.database.read("look", steps::Look, DIRECTORY.to_owned()).await.unwrap()
    }

    pub(super) async fn one_node_orders_and_after_a_failure_none_for_a_while(bench: &Bench) {
        bench.database.use_owners(&["acme"]).await.unwrap();
        assert!(claim(bench).await);
        assert!(!claim(bench).await);
        assert_eq!(look(bench).await.taken, ["a.example"]);
        let fail = || steps::Fail { pause_ms: (60_000, 300_000) };
        for expected_ms in [60_000, 240_000, 300_000] {
            let paused = bench.database.write("fail", fail(), "a.example".to_owned()).await.unwrap();
            assert_eq!(paused, expected_ms);
            assert!(!claim(bench).await);
            assert_eq!(look(bench).await.taken, ["a.example"]);
        }
        // The pause is over, and the claim of a node that died.
        bench.run("UPDATE acme_orders SET not_before_ms = 0, claimed_until_ms = 1").await;
        assert_eq!(look(bench).await.taken, [""; 0]);
        assert!(claim(bench).await);
        keep(bench, 1, 7, "a.example").await;
        assert_eq!(look(bench).await.taken, [""; 0]);
        assert!(claim(bench).await, "what was had may be ordered anew at once");
    }

    pub(super) async fn what_the_authority_asks_is_shown_by_every_node_until_the_order_ends(bench: &Bench) {
        let (acme, _) = load(bench, 1, &["a.example"]).await.unwrap();
        let (other, shown) = load(bench, 1, &["b.example"]).await.unwrap();
        let asked = |token: &str, host: &str| Asked {
            token: token.to_owned(),
            host: host.to_owned(),
            answer: format!("{token}.thumbprint"),
        };
        acme.ask(asked("one", "a.example")).await.unwrap();
        acme.ask(asked("two", "c.example")).await.unwrap();
        other.see().await.unwrap();
        assert_eq!(shown.challenge("one").as_deref(), Some("one.thumbprint"));
        assert_eq!(shown.challenge("none"), None);
        keep(bench, 1, 7, "a.example").await;
        other.see().await.unwrap();
        assert_eq!((shown.challenge("one"), shown.challenge("two").is_some()), (None, true));
        bench.run("UPDATE acme_challenges SET until_ms = 1").await;
        other.see().await.unwrap();
        assert_eq!(shown.challenge("two"), None);
    }
}

mod certificates {
    use super::*;

    pub(super) async fn every_node_shows_those_of_its_hosts(bench: &Bench) {
        let (acme, shown) = load(bench, 1, &["A.example", "b.example"]).await.unwrap();
        assert_eq!(shown.hosts(), [""; 0]);
        keep(bench, 1, 7, "a.example").await;
        keep(bench, 1, 8, "z.example").await;
        acme.see().await.unwrap();
        assert_eq!(shown.hosts(), ["a.example"]);
        keep(bench, 1, 9, "b.example").await;
        let (_, of_next_start) = load(bench, 1, &["a.example", "b.example"]).await.unwrap();
        assert_eq!(of_next_start.hosts(), ["a.example", "b.example"]);
    }

    pub(super) async fn those_that_do_not_open_keep_no_other_away(bench: &Bench) {
        let (acme, shown) = load(bench, 1, &["a.example", "b.example"]).await.unwrap();
        keep(bench, 2, 7, "a.example").await;
        keep(bench, 1, 8, "b.example").await;
        acme.see().await.unwrap();
        assert_eq!(shown.hosts(), ["b.example"]);
        keep(bench, 1, 9, "a.example").await;
        acme.see().await.unwrap();
        assert_eq!(shown.hosts(), ["a.example", "b.example"]);
    }

    pub(super) async fn are_listed_and_removed(bench: &Bench) {
        assert_eq!(kept(&bench.database).await.unwrap(), []);
        load(bench, 1, &["a.example"]).await.unwrap();
        keep(bench, 1, 7, "b.example").await;
        keep(bench, 1, 8, "a.example").await;
        let listed = kept(&bench.database).await.unwrap();
        let until: BTreeMap<_, _> =
            listed.iter().map(|kept| (kept.host.as_str(), kept.not_after_ms)).collect();
        assert_eq!(until, BTreeMap::from([("a.example", i64::MAX), ("b.example", i64::MAX)]));
        assert!(remove(&bench.database, "A.example").await.unwrap());
        assert!(!remove(&bench.database, "a.example").await.unwrap());
        assert_eq!(kept(&bench.database).await.unwrap().len(), 1);
    }

    pub(super) async fn hosts_that_no_authority_knows_are_refused(bench: &Bench) {
        for hosts in [&["localhost"][..], &["a.example", "*.b.example"], &[], &["a.example"; 101]] {
            let refused = load(bench, 1, hosts).await.unwrap_err();
            assert!(matches!(refused, AcmeError::Host(_) | AcmeError::Hosts(_)), "{refused}");
        }
        assert!(!bench.database.has_owner("acme").await.unwrap(), "nothing is made for what is refused");
    }
}

registry_database::on_both_engines! {
    super::OWNERS, registry_testing_postgres::PostgresServer::shared().database();
    orders: [
        one_node_orders_and_after_a_failure_none_for_a_while,
        what_the_authority_asks_is_shown_by_every_node_until_the_order_ends,
    ],
    certificates: [
        every_node_shows_those_of_its_hosts,
        those_that_do_not_open_keep_no_other_away,
        are_listed_and_removed,
        hosts_that_no_authority_knows_are_refused,
    ],
}
