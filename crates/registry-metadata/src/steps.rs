//! What other owners of the database do in transactions of content.

use std::{fmt, sync::Arc};

use registry_database::AnyStep;
use registry_events::NewEvent;

use crate::logic::events::Told;

/// A step of another owner.
pub type StepOf<Of> = Arc<DynStep<Of>>;

/// A step that answers nothing.
pub(crate) type DynStep<Of> = dyn AnyStep<Of = Of, Output = ()>;

/// What other owners of the [database](crate::Options::owners) do in transactions of content. A step that fails or panics has nothing
/// of its transaction kept, and no other transaction fails with it. On PostgreSQL a step may run several times: nothing of an
/// earlier run is there any more.
///
/// A step of an owner whose tables come [on demand](registry_database::Owners::on_demand) also runs before they are there: it must
/// know whether they are.
///
/// A step is bounded in rows. Whatever it locks, it locks after all that content locks, so it waits for no transaction that waits for
/// this one as long as others lock its rows in the same order.
#[derive(Clone, Default)]
pub struct Steps {
    /// Before the commit of each transaction in which something happened that [events](registry_events) tell of. Whether anything
    /// listens to events does not matter.
    pub before_commit: Vec<StepOf<Changes>>,
    /// Before a repository goes for good, whose row is still there and locked: what other owners have of it goes here. Not when it is
    /// deleted and can be restored.
    pub repository_goes: Vec<StepOf<GoneRepository>>,
    /// Before a namespace goes, in which no repository is any more, and whose row is still there and locked.
    pub namespace_goes: Vec<StepOf<GoneNamespace>>,
}

impl Steps {
    fn all(&self) -> impl Iterator<Item = *const ()> {
        let before_commit = self.before_commit.iter().map(|step| Arc::as_ptr(step).cast());
        let repository_goes = self.repository_goes.iter().map(|step| Arc::as_ptr(step).cast());
        let namespace_goes = self.namespace_goes.iter().map(|step| Arc::as_ptr(step).cast());
        before_commit.chain(repository_goes).chain(namespace_goes)
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps")
            .field("before_commit", &self.before_commit.len())
            .field("repository_goes", &self.repository_goes.len())
            .field("namespace_goes", &self.namespace_goes.len())
            .finish()
    }
}

/// Equal if they are the same steps.
impl PartialEq for Steps {
    fn eq(&self, other: &Steps) -> bool {
        self.before_commit.len() == other.before_commit.len()
            && self.repository_goes.len() == other.repository_goes.len()
            && self.all().eq(other.all())
    }
}

impl Eq for Steps {}

/// What happened in a transaction.
#[derive(Debug, Default)]
pub struct Changes(pub(crate) Told);

impl Changes {
    /// What happened, in order: what events tell.
    pub fn iter(&self) -> impl Iterator<Item = NewEvent<'_>> {
        self.0.iter()
    }
}

/// A repository that goes for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoneRepository {
    /// Its number.
    pub id: i64,
    /// The name that it has, or had before it was deleted. A repository of this name may have been made since.
    pub name: String,
}

/// A namespace that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoneNamespace {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
}
