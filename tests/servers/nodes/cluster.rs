//! Three nodes, their database, their bucket, and the ways between them.

use registry_testing::{Client, FaultProxy, ObjectServer, Server, ServerOptions, free_port};
use registry_testing_postgres::{PostgresServer, Proxy};

pub(crate) const NODES: usize = 3;

/// Which of them reaches the database by a way that can be cut.
pub(crate) const CUT_OFF: usize = 2;

pub(crate) struct Cluster {
    /// In the order in which they go: first the nodes.
    pub(crate) nodes: Vec<Server>,
    pub(crate) clients: Vec<Client>,
    pub(crate) to_database: Proxy,
    pub(crate) to_store: FaultProxy,
    pub(crate) database: PostgresServer,
    pub(crate) store: ObjectServer,
}

impl Cluster {
    /// Starts all of it; `choose` adds what the nodes have in common.
    pub(crate) async fn start(choose: impl Fn(ServerOptions) -> ServerOptions) -> Cluster {
        let (database, store) = (PostgresServer::start(), ObjectServer::versitygw());
        let to_store = FaultProxy::to(store.port(), 7).await;
        let to_database = Proxy::to(database.port()).await;
        let direct = database.database();
        let name = direct.rsplit_once('/').unwrap().1;
        let cuttable = format!("postgres://registry@127.0.0.1:{}/{name}", to_database.port());
        let mut nodes = Vec::new();
        for number in 0..NODES {
            let url = if number == CUT_OFF { &cuttable } else { &direct };
            let options = choose(ServerOptions::new().in_bucket(to_store.port()))
                .without("REGISTRY_METADATA_SQLITE_PATH")
                .variable("REGISTRY_METADATA_POSTGRESQL_URL", url)
                .variable("REGISTRY_STORAGE_REDIRECT_DISABLE", "true")
                // Each keeps its port when it is started again, and what it says of itself is right at the others.
                .variable("REGISTRY_HTTP_ADDR", &format!("127.0.0.1:{}", free_port()))
                .variable("REGISTRY_HTTP_RELATIVEURLS", "true");
            nodes.push(options.start().await);
        }
        let clients = nodes.iter().map(Server::client).collect();
        Cluster { nodes, clients, to_database, to_store, database, store }
    }

    /// Kills a node, and starts it again where it was.
    pub(crate) async fn kill_and_restart(&mut self, number: usize) {
        self.nodes[number].kill().await;
        self.nodes[number] = self.nodes[number].options().clone().start().await;
    }
}
