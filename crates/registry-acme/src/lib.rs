#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod acme;
mod certificate;
mod certificates;
mod client;
mod error;
mod kept;
mod order;
mod schema;
mod sql;
mod steps;

pub use acme::{Acme, HOSTS_MAX, LOOK_EVERY, Options, RENEW_AT};
pub use certificates::{ACME_TLS_ALPN, Certificates};
pub use error::AcmeError;
pub use kept::{Kept, kept, remove};
pub use order::Challenge;
pub use schema::SCHEMA;

/// The columns that are sealed, for [`Secrets::rotate`](registry_secrets::Secrets::rotate).
pub const SEALED: &[registry_secrets::Sealable] = &[
    registry_secrets::sealable!("acme", "acme_accounts", "credentials"),
    registry_secrets::sealable!("acme", "acme_certificates", "key"),
];

#[cfg(test)]
mod tests;
