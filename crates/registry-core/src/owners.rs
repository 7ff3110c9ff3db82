use registry_database::{Owners, SCHEMA, Schema};

/// Whose tables a registry's database has. Every program of ours opens a database with this list. The tables of features are made
/// when a feature is first used, so that a program without it opens a database in which it never was.
pub const OWNERS: Owners = Owners::new(&[&registry_metadata::SCHEMA, &SCHEMA]).on_demand(ON_DEMAND);

const ON_DEMAND: &[&Schema] = &[
    &registry_events::SCHEMA,
    #[cfg(feature = "webhooks")]
    &registry_jobs::SCHEMA,
    #[cfg(feature = "sealed")]
    &registry_secrets::SCHEMA,
    #[cfg(feature = "webhooks")]
    &registry_webhooks::SCHEMA,
    #[cfg(feature = "acme")]
    &registry_acme::SCHEMA,
];

/// The columns of all owners that are sealed.
#[cfg(feature = "sealed")]
pub fn sealed() -> Vec<registry_secrets::Sealable> {
    let columns: &[&[registry_secrets::Sealable]] = &[
        #[cfg(feature = "webhooks")]
        registry_webhooks::SEALED,
        #[cfg(feature = "acme")]
        registry_acme::SEALED,
    ];
    columns.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_no_gap_and_never_asks_for_the_future() {
        assert_eq!(OWNERS.problems(), Vec::<String>::new());
        assert_eq!(OWNERS.gaps(), Vec::<i64>::new());
    }

    /// No table refers to what a journal leaves out, changes at work, or is none that a journal can follow.
    #[test]
    fn a_journal_can_carry_every_owner() {
        assert_eq!(registry_journal::problems(&OWNERS), Vec::<String>::new());
    }
}
