//! Registries over PostgreSQL: several nodes, a database that is lost under load, TLS, and moving in from SQLite.

mod collecting;
mod earlier;
mod loss;
mod migrate;
mod nodes;
mod tls;
