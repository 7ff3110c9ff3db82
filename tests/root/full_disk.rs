//! A full disk: pushes fail and say why, pulls go on, and once there is space everything works.
//!
//! Mounts small file systems in memory.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use registry_core::types::ErrorCode;
use registry_testing::{
    Client, ClientError, Content, Image, ImageOptions, Server, ServerOptions, UploadSession,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

/// The size of the disk for bytes.
const DISK_MIB: usize = 24;

/// What is given back of it.
const RESERVE_BYTES: usize = 4 * 1024 * 1024;

/// A file system of a fixed size. Unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> SmallDisk {
        let folder = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(format!("size={size},mode=0755")).unwrap();
        mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
            .expect("this test mounts file systems: run it as root");
        SmallDisk(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes some of the space, to give it back later.
    fn reserve(&self, length_bytes: usize) -> PathBuf {
        let path = self.path().join("reserve");
        fs::write(&path, vec![1; length_bytes]).unwrap();
        path
    }

    /// Fills what is free, and returns the file that does.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }

    fn free_bytes(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a test that failed may have left a process behind that ends in a moment.
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn bytes_and_database_on_one_full_disk() {
    let disk = SmallDisk::new(&format!("{DISK_MIB}m"));
    let server = ServerOptions::new().root(&disk.path().join("data")).start().await;
    fills_up_and_recovers(server, &disk).await;
}

#[tokio::test]
async fn the_disk_of_the_bytes_alone_is_full() {
    let (disk, other) = (SmallDisk::new(&format!("{DISK_MIB}m")), SmallDisk::new("64m"));
    let server = with_two_disks(&disk, &other).await;
    fills_up_and_recovers(server, &disk).await;
}

#[tokio::test]
async fn the_disk_of_the_database_alone_is_full() {
    let (disk, other) = (SmallDisk::new("64m"), SmallDisk::new("8m"));
    let server = with_two_disks(&disk, &other).await;
    let client = server.client();
    let image = Image::random(1);
    client.push("app", "latest", &image).await.unwrap();

    let ballast = other.fill();
    refused_for_want_of_space(&push_until_refused(&client, 0).await);
    client.pull("app", "latest", &image).await.unwrap();
    client.get("/v2/app/tags/list").expect(200).await;

    fs::remove_file(ballast).unwrap();
    let next = Image::random(2);
    client.push("app", "next", &next).await.unwrap();
    intact_after_a_restart(server, &[("latest", &image), ("next", &next)]).await;
}

#[tokio::test]
async fn a_push_that_does_not_fit_keeps_no_space() {
    const FREE_BYTES: usize = 4_000_000;
    /// What rows and folders of a failed push may take.
    const SMALL_BYTES: u64 = 600_000;
    let (disk, other) = (SmallDisk::new(&format!("{DISK_MIB}m")), SmallDisk::new("64m"));
    let server = with_two_disks(&disk, &other).await;
    let client = server.client();
    client.push("app", "latest", &Image::random(1)).await.unwrap();
    let reserve = disk.reserve(FREE_BYTES);
    disk.fill();
    fs::remove_file(reserve).unwrap();
    let before = disk.free_bytes();
    let large = Content::random(2, 5_000_000);
    for number in 0..3 {
        let error = client.push_blob("app", &large).await.unwrap_err();
        refused_for_want_of_space(&error);
        let after = disk.free_bytes();
        assert!(after + SMALL_BYTES > before, "attempt {number}: {before} bytes were free, now {after}");
    }
    client.push_blob("app", &Content::random(3, 1_000_000)).await.unwrap();
}

/// What a client does that only writes to the database goes on while uploads are refused.
#[tokio::test]
async fn uploads_leave_a_reserve_to_the_database() {
    const KEPT_BYTES: u64 = 8 << 20;
    let disk = SmallDisk::new(&format!("{DISK_MIB}m"));
    let options = ServerOptions::new().root(&disk.path().join("data"));
    let server = options.variable("REGISTRY_STORAGE_FILESYSTEM_RESERVE", "8MiB").start().await;
    let client = server.client();
    let image = Image::random(1);
    client.push("app", "latest", &image).await.unwrap();
    refused_for_want_of_space(&push_until_refused(&client, 2_000_000).await);
    let session = client.begin_upload("app").await.unwrap();
    let patched = client.patch(&session.location).body(vec![7; 5_000_000]).want(202).await;
    refused_for_want_of_space(&patched.unwrap_err());
    // The database has taken a little of it.
    assert!(disk.free_bytes() > KEPT_BYTES * 3 / 4, "{} bytes are free", disk.free_bytes());

    for number in 0..100 {
        let path = format!("/v2/app/manifests/t{number}");
        let put = client.put(&path).content_type(&image.manifest.media_type);
        put.body(image.manifest.bytes.clone()).expect(201).await;
    }
    client.pull("app", "t99", &image).await.unwrap();
    client.delete("/v2/app/manifests/t1").expect(202).await;
    refuses_after_a_restart_too(server, &image).await;
}

async fn refuses_after_a_restart_too(server: Server, image: &Image) {
    let server = server.restart().await;
    server.client().pull("app", "latest", image).await.unwrap();
    let refused = server.client().push_blob("app", &Content::random(7, 2_000_000)).await.unwrap_err();
    refused_for_want_of_space(&refused);
}

async fn with_two_disks(bytes: &SmallDisk, database: &SmallDisk) -> Server {
    let options = ServerOptions::new().root(&bytes.path().join("data"));
    let path = database.path().join("metadata.sqlite").display().to_string();
    options.variable("REGISTRY_METADATA_SQLITE_PATH", &path).start().await
}

/// Pushes until nothing fits any more, looks at what still works, makes space, and goes on.
async fn fills_up_and_recovers(server: Server, disk: &SmallDisk) {
    let client = server.client();
    let image = Image::random(1);
    client.push("app", "latest", &image).await.unwrap();
    let half = half_an_upload(&client).await;
    let reserve = disk.reserve(RESERVE_BYTES);

    // By uploads alone.
    refused_for_want_of_space(&push_until_refused(&client, 2_000_000).await);
    // To the last byte.
    let ballast = disk.fill();
    refused_for_want_of_space(&push_until_refused(&client, 10_000).await);
    let manifest = client.put("/v2/app/manifests/other").content_type(&image.manifest.media_type);
    let other = manifest.body(image.manifest.bytes.clone()).send().await.unwrap();
    assert!(matches!(other.status.as_u16(), 201 | 507), "{}", other.status);

    // Who reads does not notice; not even if the server has to be started again.
    client.pull("app", "latest", &image).await.unwrap();
    client.get("/v2/_catalog").expect(200).await;
    client.get("/v2/app/tags/list").expect(200).await;
    let server = server.restart().await;
    let client = server.client();
    client.pull("app", "latest", &image).await.unwrap();

    fs::remove_file(ballast).unwrap();
    fs::remove_file(reserve).unwrap();
    // Also what was begun before goes on.
    let (session, blob) = half;
    let session = client.upload_status(&session).await.unwrap();
    assert_eq!(session.offset, blob.bytes.len() as u64 / 2);
    client.finish_upload(&session, &blob.digest, blob.bytes.slice(session.offset as usize..)).await.unwrap();
    client.pull_blob("app", &blob).await.unwrap();
    let next = Image::random(2);
    client.push("app", "next", &next).await.unwrap();
    intact_after_a_restart(server, &[("latest", &image), ("next", &next)]).await;
}

/// Half of an upload's bytes, acknowledged.
async fn half_an_upload(client: &Client) -> (UploadSession, Content) {
    let blob = Content::random(99, 400_000);
    let session = client.begin_upload("app").await.unwrap();
    let patch = client.patch(&session.location).body(blob.bytes.slice(..200_000)).want(202).await.unwrap();
    (UploadSession::of(&patch).unwrap(), blob)
}

/// Pushes images with a layer of this size until one is refused.
async fn push_until_refused(client: &Client, layer_bytes: usize) -> ClientError {
    const PUSHES_MAX: u64 = 20_000;
    for number in 0..PUSHES_MAX {
        let options = ImageOptions { layers_bytes: vec![layer_bytes], ..ImageOptions::seeded(1000 + number) };
        if let Err(error) = client.push("fill", &format!("t{number}"), &options.build()).await {
            return error;
        }
    }
    panic!("{PUSHES_MAX} pushes of {layer_bytes} bytes fit on a small disk");
}

/// 507, with a body that says what is the matter and names no path.
fn refused_for_want_of_space(error: &ClientError) {
    let ClientError::Status { status, body, .. } = error else { panic!("not an answer: {error}") };
    assert_eq!(status.as_u16(), 507, "{body}");
    assert!(body.contains(ErrorCode::Unavailable.as_str()) && body.contains("space"), "{body}");
    assert!(!body.contains("/tmp") && !body.contains("sqlite"), "{body}");
}

async fn intact_after_a_restart(server: Server, images: &[(&str, &Image)]) {
    let server = server.restart().await;
    for (tag, image) in images {
        server.client().pull("app", tag, image).await.unwrap();
    }
    let image = Image::random(3);
    server.client().push("app", "after", &image).await.unwrap();
    server.client().pull("app", "after", &image).await.unwrap();
}
