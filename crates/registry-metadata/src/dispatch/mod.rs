//! Which logic answers which method of a store, where it is the same for both databases. What is not is a method of the store
//! itself, in its folder.
//!
//! A macro, since only code that names the database can say that what it does may move between threads. It uses `read!`,
//! `transact!` and `write_alone!` of the folder where it is expanded, and what is tuned there by hand: the pushing
//! of manifests.

mod adopting;
mod background;

pub(crate) use self::{adopting::dispatch_adopting, background::dispatch_background};

/// Implements what requests ask of a [`MetadataStore`](crate::MetadataStore) but [`Uploads`](crate::Uploads).
macro_rules! dispatch {
    ($store:ident) => {
        const _: () = {
            use async_trait::async_trait;
            use registry_digest::Digest;
            use registry_types::{Cause, Descriptor, Location, Reference, RepositoryName, Tag, Viewer};

            use super::{manifests, put};
            use crate::{
                Blob, Content, DeletedRepository, EndedWindows, FoundManifest, Identity, MetadataError, Pull,
                Purpose, PutManifest, Restored, Result, StoredManifest, TagChange, Trash, Trashed,
                logic::{self, audit, deleted, manifests::Referring, repositories, retention, undelete},
                push::Put,
            };

            #[async_trait]
            impl Identity for $store {
                async fn store_id(&self) -> Result<Option<String>> {
                    read!(self, "read the store's identity", |session| repositories::store_id(session))
                }

                async fn bind_store(&self, id: &str) -> Result<()> {
                    transact!(self, "bind the database to a store", Full, [id = id.to_owned()], |tx| {
                        repositories::bind_store(tx, id)
                    })
                }

                async fn is_empty(&self) -> Result<bool> {
                    Ok(!self.has_content().await?)
                }

                async fn check(&self) -> Result<()> {
                    self.check_database().await
                }

                async fn mark(&self) -> Result<i64> {
                    read!(self, "read the mark", |session| audit::mark(session))
                }

                async fn raise_mark(&self, above: i64) -> Result<i64> {
                    transact!(self, "raise the mark", Full, [above = above], |tx| audit::raise_mark(
                        tx, *above
                    ))
                }
            }

            #[async_trait]
            impl Content for $store {
                async fn blob(
                    &self,
                    repository: &RepositoryName,
                    digest: &Digest,
                    purpose: Purpose,
                ) -> Result<Option<Blob>> {
                    self.read_blob(repository, digest, purpose).await
                }

                async fn manifest(
                    &self,
                    repository: &RepositoryName,
                    reference: &Reference,
                    purpose: Purpose,
                ) -> Result<Option<StoredManifest>> {
                    self.read_manifest(repository, reference, purpose).await
                }

                async fn manifest_within(
                    &self,
                    repository: &RepositoryName,
                    reference: &Reference,
                    purpose: Purpose,
                    bytes_max: usize,
                ) -> Result<Option<FoundManifest>> {
                    if purpose == Purpose::Promise {
                        let found = self.read_manifest(repository, reference, purpose).await?;
                        return Ok(found.map(|stored| FoundManifest::within(stored, bytes_max)));
                    }
                    read!(self, "read a manifest", |session| manifests::read_within(
                        session, repository, reference, bytes_max
                    ))
                }

                async fn tags(
                    &self,
                    repository: &RepositoryName,
                    after: Option<&str>,
                    limit: usize,
                ) -> Result<Vec<Tag>> {
                    let page = read!(self, "list tags", |session| logic::tags::page(
                        session, repository, after, limit
                    ))?;
                    page.ok_or_else(|| MetadataError::RepositoryUnknown { name: repository.clone() })
                }

                async fn repositories(
                    &self,
                    viewer: &Viewer,
                    after: Option<&str>,
                    limit: usize,
                ) -> Result<Vec<RepositoryName>> {
                    read!(self, "list repositories", |session| repositories::page(
                        session, viewer, after, limit
                    ))
                }

                async fn has_namespace_of(&self, repository: &RepositoryName) -> Result<bool> {
                    read!(self, "look for a namespace", |session| logic::namespaces::is_there(
                        session, repository
                    ))
                }

                async fn referrers(
                    &self,
                    repository: &RepositoryName,
                    subject: &Digest,
                    artifact_type: Option<&str>,
                    after: Option<&Digest>,
                    limit: usize,
                ) -> Result<Vec<Descriptor>> {
                    let page = Referring { subject, artifact_type, after, limit };
                    read!(self, "list referrers", |session| {
                        manifests::referrers(session, repository, &page)
                    })
                }

                async fn object(&self, digest: &Digest) -> Result<Option<Blob>> {
                    read!(self, "look for an object", |session| logic::blobs::object(session, digest))
                }

                async fn mark_bad(&self, location: &Location) -> Result<()> {
                    transact!(self, "hide an object", Full, [location = location.clone()], |tx| {
                        logic::blobs::mark_bad(tx.session, location)
                    })
                }

                async fn repositories_with_blob(
                    &self,
                    viewer: &Viewer,
                    digest: &Digest,
                    limit: usize,
                ) -> Result<Vec<RepositoryName>> {
                    read!(self, "look for a blob", |session| logic::repositories::with_blob(
                        session, viewer, digest, limit
                    ))
                }

                async fn mount_blob(
                    &self,
                    from: &RepositoryName,
                    to: &RepositoryName,
                    digest: &Digest,
                ) -> Result<bool> {
                    // If it is there and safe already, a mount is a promise and writes nothing.
                    if self.read_blob(to, digest, Purpose::Promise).await?.is_some() {
                        return Ok(true);
                    }
                    transact!(
                        self,
                        "mount a blob",
                        Full,
                        [from = from.clone(), to = to.clone(), digest = *digest],
                        |tx| { logic::blobs::mount(tx, from, to, digest) }
                    )
                }

                async fn put_manifest(&self, put: &PutManifest<'_>) -> Result<()> {
                    transact!(self, "push a manifest", Full, [put = Put::new(put)], |tx| put::push(tx, put))
                }

                async fn delete_tag(
                    &self,
                    repository: &RepositoryName,
                    tag: &Tag,
                    cause: &Cause,
                ) -> Result<()> {
                    transact!(
                        self,
                        "delete a tag",
                        Full,
                        [repository = repository.clone(), tag = tag.clone(), cause = cause.clone()],
                        |tx| logic::tags::delete(tx, repository, tag, cause)
                    )
                }

                async fn delete_manifest(
                    &self,
                    repository: &RepositoryName,
                    digest: &Digest,
                    cause: &Cause,
                ) -> Result<Vec<Tag>> {
                    transact!(
                        self,
                        "delete a manifest",
                        Full,
                        [repository = repository.clone(), digest = *digest, cause = cause.clone()],
                        |tx| logic::manifests::delete(tx, repository, digest, cause)
                    )
                }

                async fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
                    transact!(
                        self,
                        "delete a blob",
                        Full,
                        [repository = repository.clone(), digest = *digest],
                        |tx| { logic::blobs::delete(tx, repository, digest) }
                    )
                }

                async fn record_pulls(&self, pulls: &[Pull]) -> Result<()> {
                    transact!(
                        self,
                        "record pulls",
                        Process,
                        [pulls = pulls.to_vec()],
                        |tx| retention::record(tx, pulls)
                    )
                }
            }

            #[async_trait]
            impl Trash for $store {
                async fn trash(
                    &self,
                    repository: &RepositoryName,
                    after: Option<&Trashed>,
                    limit: usize,
                ) -> Result<Vec<Trashed>> {
                    let page = read!(self, "list the trash", |session| logic::restore::page(
                        session, repository, after, limit
                    ))?;
                    page.ok_or_else(|| MetadataError::RepositoryUnknown { name: repository.clone() })
                }

                async fn restore(
                    &self,
                    repository: &RepositoryName,
                    reference: &Reference,
                    cause: &Cause,
                ) -> Result<Restored> {
                    transact!(
                        self,
                        "restore from the trash",
                        Full,
                        [
                            repository = repository.clone(),
                            reference = reference.clone(),
                            cause = cause.clone()
                        ],
                        |tx| undelete::restore(tx, repository, reference, cause)
                    )
                }

                async fn tag_history(
                    &self,
                    repository: &RepositoryName,
                    tag: &Tag,
                    before: Option<i64>,
                    limit: usize,
                ) -> Result<Vec<TagChange>> {
                    let operation = "read a tag's history";
                    read!(self, operation, |session| logic::restore::history(
                        session, repository, tag, before, limit
                    ))
                }

                async fn set_tag(
                    &self,
                    repository: &RepositoryName,
                    tag: &Tag,
                    digest: &Digest,
                    cause: &Cause,
                ) -> Result<Restored> {
                    transact!(
                        self,
                        "set a tag",
                        Full,
                        [
                            repository = repository.clone(),
                            tag = tag.clone(),
                            digest = *digest,
                            cause = cause.clone()
                        ],
                        |tx| undelete::set_tag(tx, repository, tag, digest, cause)
                    )
                }

                async fn delete_repository(&self, repository: &RepositoryName, cause: &Cause) -> Result<()> {
                    transact!(
                        self,
                        "delete a repository",
                        Full,
                        [repository = repository.clone(), cause = cause.clone()],
                        |tx| { deleted::set_aside(tx, repository, cause) }
                    )
                }

                async fn restore_repository(&self, repository: &RepositoryName, cause: &Cause) -> Result<()> {
                    transact!(
                        self,
                        "restore a repository",
                        Full,
                        [repository = repository.clone(), cause = cause.clone()],
                        |tx| { deleted::bring_back(tx, repository, cause) }
                    )
                }

                async fn end_windows(
                    &self,
                    repository: Option<&RepositoryName>,
                    limit: usize,
                ) -> Result<EndedWindows> {
                    transact!(
                        self,
                        "empty the trash",
                        Full,
                        [repository = repository.cloned(), limit = limit],
                        |tx| { deleted::end_windows(tx, repository.as_ref(), *limit) }
                    )
                }

                async fn deleted_repositories(&self) -> Result<Vec<DeletedRepository>> {
                    read!(self, "list deleted repositories", |session| deleted::deleted(session))
                }
            }
        };
    };
}
pub(crate) use dispatch;
