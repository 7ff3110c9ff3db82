//! No journal: there is one only of a database in SQLite.

use std::sync::Arc;

use registry_api::App;

use crate::ServeError;

/// What there is none of.
#[derive(Clone, Debug)]
pub(crate) enum Journal {}

impl Journal {
    pub(crate) async fn lost(&self) {
        match *self {}
    }

    pub(crate) async fn show(self, _: Arc<App>) {
        match self {}
    }

    pub(crate) async fn settle(&self) {
        match *self {}
    }

    pub(crate) fn outcome(&self) -> Result<(), ServeError> {
        match *self {}
    }
}
