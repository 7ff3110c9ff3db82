//! Identity and health.

use super::{Backend, open};
use crate::MetadataError;

/// The database knows which store of bytes it belongs to.
pub async fn all(backend: &dyn Backend) {
    a_database_is_bound_to_one_store_for_ever(backend).await;
    a_database_is_empty_until_it_has_content(backend).await;
}

async fn a_database_is_bound_to_one_store_for_ever(backend: &dyn Backend) {
    let f = open(backend).await;
    f.store().check().await.unwrap();
    assert_eq!(f.store().store_id().await.unwrap(), None);
    f.store().bind_store("one").await.unwrap();
    f.store().bind_store("one").await.unwrap();
    let error = f.other().bind_store("two").await.unwrap_err();
    assert!(
        matches!(&error, MetadataError::StoreMismatch { bound, asked } if bound == "one" && asked == "two")
    );
    assert_eq!(f.other().store_id().await.unwrap().as_deref(), Some("one"));
}

async fn a_database_is_empty_until_it_has_content(backend: &dyn Backend) {
    let f = open(backend).await;
    assert!(f.store().is_empty().await.unwrap());
    f.start("a").await;
    assert!(!f.store().is_empty().await.unwrap(), "a repository is content");
}
