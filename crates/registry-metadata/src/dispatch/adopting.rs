//! The same for what takes over the content of another registry.

/// Implements [`Adopting`](crate::Adopting).
macro_rules! dispatch_adopting {
    ($store:ident) => {
        const _: () = {
            use async_trait::async_trait;
            use registry_digest::Digest;
            use registry_types::RepositoryName;

            use crate::{
                AdoptedTag, Adopting, Adoption, AdoptionState, Result, adoption::ToAdopt, logic::adoption,
            };

            #[async_trait]
            impl Adopting for $store {
                async fn adoption(&self) -> Result<Option<AdoptionState>> {
                    read!(self, "look for an import", |session| adoption::state(session))
                }

                async fn begin_adoption(&self) -> Result<AdoptionState> {
                    transact!(self, "begin an import", Full, [], |tx| adoption::begin(tx))
                }

                async fn adopt(&self, what: &Adoption) -> Result<Vec<Digest>> {
                    transact!(self, "take over content", Full, [what = ToAdopt::new(what)], |tx| {
                        adoption::adopt(tx, what)
                    })
                }

                async fn adopted_repositories(
                    &self,
                    after: Option<&str>,
                    limit: usize,
                ) -> Result<Vec<RepositoryName>> {
                    let after = after.unwrap_or_default();
                    read!(self, "list imported repositories", |session| adoption::page(session, after, limit))
                }

                async fn stored_tags(
                    &self,
                    repository: &RepositoryName,
                    after: Option<&str>,
                    limit: usize,
                ) -> Result<Vec<AdoptedTag>> {
                    let after = after.unwrap_or_default();
                    read!(self, "list tags with their times", |session| adoption::tags_of(
                        session, repository, after, limit
                    ))
                }

                async fn stored_manifests(
                    &self,
                    repository: &RepositoryName,
                    after: Option<&Digest>,
                    limit: usize,
                ) -> Result<Vec<Digest>> {
                    let after = after.map(Digest::to_string).unwrap_or_default();
                    read!(self, "list digests of manifests", |session| adoption::manifests_of(
                        session, repository, &after, limit
                    ))
                }

                async fn stored_blobs(
                    &self,
                    repository: &RepositoryName,
                    after: Option<&Digest>,
                    limit: usize,
                ) -> Result<Vec<Digest>> {
                    let after = after.map(Digest::to_string).unwrap_or_default();
                    read!(self, "list digests of blobs", |session| adoption::blobs_of(
                        session, repository, &after, limit
                    ))
                }

                async fn end_adoption_run(&self, began_at_ms: i64) -> Result<()> {
                    transact!(self, "end a run of an import", Full, [began_at_ms = began_at_ms], |tx| {
                        adoption::ran(tx, *began_at_ms)
                    })
                }

                async fn finish_adoption(&self) -> Result<()> {
                    transact!(self, "finish an import", Full, [], |tx| adoption::finish(tx))
                }

                async fn keep_adopted_bytes(&self, folder: &str) -> Result<()> {
                    transact!(
                        self,
                        "keep another registry's bytes",
                        Full,
                        [folder = folder.to_owned()],
                        |tx| { adoption::keep_bytes(tx, folder) }
                    )
                }

                async fn release_adopted(&self, limit: usize) -> Result<bool> {
                    transact!(self, "open imported repositories", Full, [limit = limit], |tx| {
                        adoption::release(tx, *limit)
                    })
                }
            }
        };
    };
}
pub(crate) use dispatch_adopting;
