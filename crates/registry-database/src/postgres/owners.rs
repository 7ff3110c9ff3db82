//! Owners that come while nodes serve.

use std::sync::Arc;

use super::{
    migrate::{failed_to, found, make},
    pool::{Pool, Pooled},
};
use crate::{Limits, OpenError, Owners};

impl Pool {
    /// As [`Database::use_owners`](crate::Database::use_owners).
    ///
    /// # Errors
    /// See there.
    pub async fn use_owners(self: &Arc<Pool>, wanted: &[&'static str]) -> Result<(), OpenError> {
        let connection = self.for_owners().await?;
        make(&connection, &self.owners()?, wanted).await
    }

    /// As [`Database::has_owner`](crate::Database::has_owner).
    ///
    /// # Errors
    /// See there.
    pub async fn has_owner(self: &Arc<Pool>, owner: &str) -> Result<bool, OpenError> {
        let connection = self.for_owners().await?;
        Ok(found(&connection).await?.owners.contains_key(owner))
    }

    /// The owners that the database was [migrated](super::migrate) with.
    ///
    /// # Errors
    /// [`OpenError::Database`], if it was not.
    pub fn owners(&self) -> Result<Owners, OpenError> {
        let source = || "it was not opened with a list of owners".into();
        self.owners
            .get()
            .copied()
            .ok_or_else(|| OpenError::Database { operation: "look whose tables there are", source: source() })
    }

    /// Those of its owners that are there.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn present_owners(self: &Arc<Pool>) -> Result<Vec<&'static str>, OpenError> {
        Ok(found(&*self.for_owners().await?).await?.present(&self.owners()?))
    }

    async fn for_owners(self: &Arc<Pool>) -> Result<Pooled, OpenError> {
        let connection = self.connection().await;
        let connection = connection.map_err(|fault| failed_to("connect to the database", fault))?;
        // Not those of the operation that had the connection before.
        connection.limit(Limits::REQUEST);
        Ok(connection)
    }
}
