//! What the contract does not say: which system calls are made when, what a failing one leaves, who may open a root.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use bytes::Bytes;
use registry_digest::Digest;
use registry_types::Durability;
use tempfile::TempDir;

use super::*;
use crate::contract;

fn open(root: &TempDir) -> FilesystemStore {
    open_for(root.path(), Access::Serve).unwrap()
}

fn open_for(root: &Path, access: Access) -> Result<FilesystemStore, StorageError> {
    FilesystemStore::open(&FilesystemOptions { access, ..FilesystemOptions::new(root) })
}

fn location(name: &str) -> Location {
    format!("store/blobs/ab/{name}").parse().unwrap()
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

async fn begin(store: &FilesystemStore, name: &str) -> Box<dyn Upload> {
    store.begin(&location(name), Algorithm::Sha256).await.unwrap()
}

async fn put(store: &FilesystemStore, name: &str, content: &'static [u8]) -> Result<u64, StorageError> {
    let mut upload = begin(store, name).await;
    upload.append(content.into()).await?;
    upload.finish(&sha256(content)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    for durability in [Durability::Full, Durability::None] {
        let roots = TempDir::new().unwrap();
        let count = std::cell::Cell::new(0);
        let make = async || {
            count.set(count.get() + 1);
            let options = FilesystemOptions::new(roots.path().join(count.get().to_string()));
            Arc::new(FilesystemStore::open(&FilesystemOptions { durability, ..options }).unwrap()) as _
        };
        contract::all(make).await;
        let make = async || {
            count.set(count.get() + 1);
            let options = FilesystemOptions::new(roots.path().join(count.get().to_string()));
            Arc::new(FilesystemStore::open(&FilesystemOptions { durability, ..options }).unwrap()) as _
        };
        contract::small_objects(make).await;
    }
}

#[tokio::test]
async fn a_finished_object_and_its_name_are_flushed_in_order() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    let probe = &store.root.disk.probe;
    probe.take();
    put(&store, "first", b"content").await.unwrap();
    let expected = [
        r#"Create("store/blobs/ab")"#,
        r#"SyncDirectory("store/blobs")"#,
        r#"Create("store/blobs/ab/first")"#,
        "Write { bytes: 7 }",
        "SyncData",
        r#"SyncDirectory("store/blobs/ab")"#,
    ];
    assert_eq!(probe.take(), expected);
    put(&store, "second", b"content").await.unwrap();
    assert_eq!(probe.take()[1..], expected[3..]);
    // A directory that was lost is made again, from the top.
    fs::remove_dir_all(root.path().join("store/blobs")).unwrap();
    put(&store, "third", b"content").await.unwrap();
    let expected = [
        r#"Create("store/blobs/ab/third")"#,
        r#"Create("store")"#,
        r#"SyncDirectory("")"#,
        r#"Create("store/blobs")"#,
        r#"SyncDirectory("store")"#,
        r#"Create("store/blobs/ab")"#,
        r#"SyncDirectory("store/blobs")"#,
        r#"Create("store/blobs/ab/third")"#,
        "Write { bytes: 7 }",
        "SyncData",
        r#"SyncDirectory("store/blobs/ab")"#,
    ];
    assert_eq!(probe.take(), expected);
}

#[test]
fn directories_are_durable_before_anything_is_put_into_them() {
    let root = TempDir::new().unwrap();
    let top = [
        r#"Create("store")"#,
        r#"SyncDirectory("")"#,
        r#"Create("store/blobs")"#,
        r#"SyncDirectory("store")"#,
    ];
    for shards in [&[][..], &["00", "ff"]] {
        for shard in shards {
            fs::create_dir(root.path().join("store/blobs").join(shard)).unwrap();
        }
        // Those that another process left are made sure of, as it may not have flushed them.
        let found = shards.iter().map(|shard| format!("Create(\"store/blobs/{shard}\")"));
        let expected = top.map(str::to_owned).into_iter().chain(found);
        let expected = expected.chain([r#"SyncDirectory("store/blobs")"#.to_owned()]);
        assert_eq!(open(&root).root.disk.probe.take(), expected.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_checkpoint_is_flushed_and_then_only_what_is_new() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    put(&store, "makes the directory", b"").await.unwrap();
    let probe = &store.root.disk.probe;
    probe.take();

    let mut upload = begin(&store, "a").await;
    assert_eq!(upload.checkpoint().await.unwrap().offset(), 0);
    assert_eq!(probe.take(), [""; 0], "nothing was appended, nothing is written");
    upload.append("content".into()).await.unwrap();
    let state = upload.checkpoint().await.unwrap();
    let expected = [
        r#"Create("store/blobs/ab/a")"#,
        "Write { bytes: 7 }",
        "SyncData",
        r#"SyncDirectory("store/blobs/ab")"#,
    ];
    assert_eq!(probe.take(), expected);
    assert_eq!(upload.checkpoint().await.unwrap(), state);
    drop(upload);

    let upload = store.resume(&location("a"), &state).await.unwrap();
    upload.finish(&sha256(b"content")).await.unwrap();
    assert_eq!(probe.take(), [""; 0], "everything was durable before");

    let mut upload = store.resume(&location("a"), &state).await.unwrap();
    upload.append(" and more".into()).await.unwrap();
    upload.finish(&sha256(b"content and more")).await.unwrap();
    assert_eq!(probe.take(), ["Write { bytes: 9 }", "SyncData"]);
}

#[tokio::test]
async fn what_is_cut_off_is_flushed_too() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    let mut upload = begin(&store, "a").await;
    upload.append("content".into()).await.unwrap();
    let state = upload.checkpoint().await.unwrap();
    upload.append("garbage".into()).await.unwrap();
    upload.checkpoint().await.unwrap();
    drop(upload);
    store.root.disk.probe.take();
    let upload = store.resume(&location("a"), &state).await.unwrap();
    upload.finish(&sha256(b"content")).await.unwrap();
    assert_eq!(store.root.disk.probe.take(), ["Truncate { bytes: 7 }", "SyncData"]);
}

#[tokio::test]
async fn a_mismatch_is_noticed_before_anything_is_written() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    store.root.disk.probe.take();
    let mut upload = begin(&store, "a").await;
    upload.append("content".into()).await.unwrap();
    assert!(upload.finish(&sha256(b"other")).await.is_err());
    assert_eq!(store.root.disk.probe.take(), [r#"Remove("store/blobs/ab/a")"#]);
}

#[tokio::test]
async fn a_failed_flush_is_final() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    let probe = &store.root.disk.probe;
    for failing in ["SyncData", r#"SyncDirectory("store/blobs/ab")"#] {
        let mut upload = begin(&store, "a").await;
        probe.fail(failing, Errno::IO);
        upload.append("content".into()).await.unwrap();
        let failed = upload.checkpoint().await;
        assert!(matches!(failed, Err(StorageError::Backend { .. })), "{failing}: {failed:?}");
        probe.stop_failing();
        let failed = upload.checkpoint().await;
        assert!(matches!(failed, Err(StorageError::UploadFailed { .. })), "{failing}: {failed:?}");
        let failed = upload.finish(&sha256(b"content")).await;
        assert!(matches!(failed, Err(StorageError::UploadFailed { .. })), "{failing}: {failed:?}");
    }
    put(&store, "a", b"content").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_flush_beside_the_writing_is_not_forgotten() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    let probe = &store.root.disk.probe;
    let content = Bytes::from(vec![7; 9 << 20]);
    let mut upload = begin(&store, "a").await;
    probe.fail("SyncData", Errno::IO);
    for chunk in content.chunks(1 << 20) {
        upload.append(content.slice_ref(chunk)).await.unwrap();
    }
    let flushed = async {
        while !probe.has_seen("SyncData") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), flushed).await.unwrap();
    probe.stop_failing();
    let failed = upload.finish(&sha256(&content)).await;
    assert!(matches!(failed, Err(StorageError::Backend { .. })), "{failed:?}");
}

#[tokio::test]
async fn a_full_disk_costs_what_was_not_durable() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    let probe = &store.root.disk.probe;
    for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
        let mut upload = begin(&store, "a").await;
        upload.append("kept".into()).await.unwrap();
        let state = upload.checkpoint().await.unwrap();
        probe.fail("Write", errno);
        upload.append("lost".into()).await.unwrap();
        let full = upload.checkpoint().await;
        assert!(matches!(full, Err(StorageError::NoSpace { .. })), "{full:?}");
        probe.stop_failing();
        assert_eq!(probe.take().last().unwrap(), "Truncate { bytes: 4 }", "the space is given back");
        let mut upload = store.resume(&location("a"), &state).await.unwrap();
        upload.append(" and found".into()).await.unwrap();
        upload.finish(&sha256(b"kept and found")).await.unwrap();
    }
}

/// A device on which every write fails as on a full disk, for whoever runs this.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_device_is_told() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    put(&store, "makes the directory", b"").await.unwrap();
    std::os::unix::fs::symlink("/dev/full", root.path().join("store/blobs/ab/a")).unwrap();
    let full = put(&store, "a", b"content").await;
    assert!(matches!(full, Err(StorageError::NoSpace { .. })), "{full:?}");
}

#[tokio::test]
async fn a_write_that_fails_is_told_by_a_later_call() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    store.root.disk.probe.fail("Write", Errno::NOSPC);
    let mut upload = begin(&store, "a").await;
    let full = loop {
        match upload.append(vec![0; 300_000].into()).await {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
        assert!(upload.offset() < 100_000_000);
    };
    assert!(matches!(full, StorageError::NoSpace { .. }), "{full:?}");
    let failed = upload.append("more".into()).await;
    assert!(matches!(failed, Err(StorageError::UploadFailed { .. })), "{failed:?}");
}

#[tokio::test]
async fn without_durability_nothing_waits_for_the_disk() {
    let root = TempDir::new().unwrap();
    let options = FilesystemOptions { durability: Durability::None, ..FilesystemOptions::new(root.path()) };
    let store = FilesystemStore::open(&options).unwrap();
    let content = Bytes::from(vec![7; 9 << 20]);
    let mut upload = begin(&store, "a").await;
    upload.append(content.clone()).await.unwrap();
    upload.finish(&sha256(&content)).await.unwrap();
    assert_eq!(store.size(&location("a")).await.unwrap(), Some(9 << 20));
}

#[test]
fn one_process_serves_a_root() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    for access in [Access::Serve, Access::Adopt] {
        match open_for(root.path(), access) {
            Err(error @ StorageError::Locked { pid, .. }) => {
                assert_eq!(pid, Some(std::process::id()));
                assert!(error.to_string().contains(&std::process::id().to_string()));
            }
            other => panic!("{other:?}"),
        }
    }
    open_for(root.path(), Access::Beside).unwrap();
    drop(store);
    open(&root);
}

#[tokio::test]
async fn beside_the_one_that_serves_objects_are_read_and_deleted() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    put(&store, "a", b"content").await.unwrap();
    let beside = open_for(root.path(), Access::Beside).unwrap();
    beside.check().await.unwrap();
    assert_eq!(beside.size(&location("a")).await.unwrap(), Some(7));
    let begun = beside.begin(&location("b"), Algorithm::Sha256).await;
    assert!(matches!(begun, Err(StorageError::NotServing { .. })), "{begun:?}");
    beside.delete(&location("a")).await.unwrap();
    assert_eq!(store.size(&location("a")).await.unwrap(), None);
}

#[test]
fn a_go_registry_is_not_taken_over_by_accident() {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("docker/registry/v2")).unwrap();
    for access in [Access::Serve, Access::Beside] {
        let error = open_for(root.path(), access).unwrap_err();
        assert!(matches!(error, StorageError::ForeignStore { .. }), "{error}");
        assert!(error.to_string().contains("registry import"), "{error}");
        assert!(matches!(FilesystemStore::check_root(root.path()), Err(StorageError::ForeignStore { .. })));
        assert!(!root.path().join("store").exists(), "nothing is left in what is not ours");
    }
    let store = open_for(root.path(), Access::Adopt).unwrap();
    store.root.create_identity(&StoreIdentity::random().unwrap()).unwrap();
    drop(store);
    open(&root);
}

#[test]
fn a_root_that_can_not_be_used_is_named() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for (root, access) in [
        (file.clone(), Access::Serve),
        (file.join("below"), Access::Serve),
        (root.path().join("missing"), Access::Beside),
    ] {
        let error = open_for(&root, access).unwrap_err();
        assert!(matches!(error, StorageError::Root { .. }), "{error:?}");
        assert!(error.to_string().contains(root.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_missing_root_is_made() {
    let root = TempDir::new().unwrap();
    open_for(&root.path().join("some/where"), Access::Serve).unwrap();
}

#[tokio::test]
async fn a_root_that_was_replaced_is_noticed() {
    let parent = TempDir::new().unwrap();
    let (root, aside) = (parent.path().join("root"), parent.path().join("aside"));
    let store = open_for(&root, Access::Serve).unwrap();
    store.check().await.unwrap();
    fs::rename(&root, &aside).unwrap();
    assert!(matches!(store.check().await, Err(StorageError::Root { .. })));
    fs::create_dir(&root).unwrap();
    assert!(matches!(store.check().await, Err(StorageError::Root { .. })));
    fs::remove_dir(&root).unwrap();
    fs::rename(&aside, &root).unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn directories_that_were_removed_are_made_again() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    for removed in ["store/blobs/ab", "store/blobs"] {
        put(&store, "a", b"content").await.unwrap();
        fs::remove_dir_all(root.path().join(removed)).unwrap();
    }
    put(&store, "a", b"content").await.unwrap();
    assert_eq!(store.size(&location("a")).await.unwrap(), Some(7));
}

#[tokio::test]
async fn what_is_not_ours_is_not_listed() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    put(&store, "a", b"content").await.unwrap();
    let blobs = root.path().join("store/blobs");
    fs::create_dir_all(blobs.join("ab/directory")).unwrap();
    fs::create_dir_all(blobs.join("lost+found")).unwrap();
    fs::write(blobs.join("lost+found/file"), "").unwrap();
    fs::write(blobs.join("ab/a:b"), "").unwrap();
    fs::write(blobs.join("cd"), "").unwrap();
    let listed = store.list(None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|object| &object.location).collect::<Vec<_>>(), [&location("a")]);
}

#[tokio::test]
async fn what_is_made_is_not_for_everyone() {
    let root = TempDir::new().unwrap();
    let store = open(&root);
    store.create_identity(&StoreIdentity::random().unwrap()).await.unwrap();
    put(&store, "a", b"content").await.unwrap();
    for made in ["store", "store/lock", "store/identity", "store/blobs", "store/blobs/ab", "store/blobs/ab/a"]
    {
        let mode = fs::metadata(root.path().join(made)).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "{made}: {mode:o}");
    }
}
