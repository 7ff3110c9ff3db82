//! Where other owners do something.

use registry_database::Fault;

use super::{Tx, tuned::Tuned};
use crate::{
    GoneNamespace, GoneRepository,
    steps::{Changes, StepOf},
};

async fn run<S: Tuned, Of: Sync + 'static>(
    tx: &Tx<'_, S>,
    steps: &[StepOf<Of>],
    of: &Of,
) -> Result<(), Fault> {
    for step in steps {
        S::step(tx.session, &**step, of).await?;
    }
    Ok(())
}

/// So much has happened, and the transaction ends.
pub(super) async fn before_commit(tx: &Tx<'_, impl Tuned>, changes: &Changes) -> Result<(), Fault> {
    if changes.0.is_empty() {
        return Ok(());
    }
    run(tx, &tx.options.steps.before_commit, changes).await
}

/// This repository goes for good; its row is locked.
pub(super) async fn repository_goes(tx: &Tx<'_, impl Tuned>, id: i64, name: &str) -> Result<(), Fault> {
    let gone = GoneRepository { id, name: name.to_owned() };
    run(tx, &tx.options.steps.repository_goes, &gone).await
}

/// This namespace goes; its row is locked.
pub(super) async fn namespace_goes(tx: &Tx<'_, impl Tuned>, gone: &GoneNamespace) -> Result<(), Fault> {
    run(tx, &tx.options.steps.namespace_goes, gone).await
}
