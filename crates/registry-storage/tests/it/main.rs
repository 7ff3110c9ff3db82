//! What only shows between processes. The tests run this executable again, as another process with a part to play: those
//! parts are the tests that are ignored otherwise.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod parts;

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use registry_digest::{Algorithm, Digest};
use registry_storage::{
    Access, BlobStore, FilesystemOptions, FilesystemStore, StorageError, Upload, UploadState,
};
use registry_types::Location;
use tempfile::TempDir;

/// Names the root to the other process.
const ROOT_VARIABLE: &str = "REGISTRY_STORAGE_TEST_ROOT";

/// Marks lines of the other process that are meant for the test.
const MARK: &str = "told: ";

fn location() -> Location {
    "store/blobs/ab/a".parse().unwrap()
}

/// Another process that plays a part; killed at the end.
struct Other {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Other {
    fn start(mut command: Command, part: &str, root: &Path) -> Other {
        command.args([part, "--exact", "--ignored", "--nocapture"]);
        command.env(ROOT_VARIABLE, root).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Other { child, lines }
    }

    fn this_executable() -> Command {
        Command::new(env::current_exe().unwrap())
    }

    /// The next thing it tells.
    fn told(&mut self) -> String {
        for line in (&mut self.lines).lines() {
            // The test harness may have begun the line.
            if let Some((_, told)) = line.unwrap().split_once(MARK) {
                return told.to_owned();
            }
        }
        panic!("the other process ended early");
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn an_upload_goes_on_after_its_process_was_killed() {
    let root = TempDir::new().unwrap();
    let mut other = Other::start(Other::this_executable(), "parts::uploads_for_ever", root.path());
    // Killed at once after a checkpoint while it writes more.
    let states: Vec<String> = (0..5).map(|_| other.told()).collect();
    other.kill();

    let store = FilesystemStore::open(&FilesystemOptions::new(root.path())).unwrap();
    for state in states.iter().rev() {
        let state = UploadState::from_bytes(&hex::decode(state).unwrap()).unwrap();
        let mut upload = store.resume(&location(), &state).await.unwrap();
        upload.append("end".into()).await.unwrap();
        let mut content = parts::content(state.offset());
        content.extend_from_slice(b"end");
        upload.finish(&Digest::of(Algorithm::Sha256, &content)).await.unwrap();
        assert_eq!(store.size(&location()).await.unwrap(), Some(content.len() as u64));
        assert!(std::fs::read(root.path().join(location().as_str())).unwrap() == content);
    }
}

#[test]
fn another_process_that_serves_is_named_until_it_ends() {
    let root = TempDir::new().unwrap();
    let mut other = Other::start(Other::this_executable(), "parts::serves_for_ever", root.path());
    assert_eq!(other.told(), "serving");
    match FilesystemStore::open(&FilesystemOptions::new(root.path())) {
        Err(StorageError::Locked { pid, .. }) => assert_eq!(pid, Some(other.child.id())),
        other => panic!("{other:?}"),
    }
    let beside = FilesystemOptions { access: Access::Beside, ..FilesystemOptions::new(root.path()) };
    FilesystemStore::open(&beside).unwrap();
    other.kill();
    FilesystemStore::open(&FilesystemOptions::new(root.path())).unwrap();
}

/// The limit is one that everybody may set, and cuts a write off in its middle as a full disk does.
#[tokio::test]
async fn a_write_that_is_cut_off_leaves_what_was_checkpointed() {
    let root = TempDir::new().unwrap();
    let mut limited = Command::new("sh");
    // The signal would end the process before the call could fail. Blocks are of 512 or 1024 bytes.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    let mut other = Other::start(limited, "parts::uploads_until_there_is_no_space", root.path());
    let state = UploadState::from_bytes(&hex::decode(other.told()).unwrap()).unwrap();
    let size_bytes = std::fs::metadata(root.path().join(location().as_str())).unwrap().len();
    assert_eq!(size_bytes, state.offset(), "the space was given back");
    other.kill();

    let store = FilesystemStore::open(&FilesystemOptions::new(root.path())).unwrap();
    let upload: Box<dyn Upload> = store.resume(&location(), &state).await.unwrap();
    upload.finish(&Digest::of(Algorithm::Sha256, &parts::content(state.offset()))).await.unwrap();
}
