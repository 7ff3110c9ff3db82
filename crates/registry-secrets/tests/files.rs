//! Key files: made, read, refused, changed while a process uses them, and made by several processes at once.

// Also in helpers that are not marked as tests: a test has no caller that takes an error.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

use registry_secrets::{
    Key, KeyFileError, Keys, OpenError, Place, SealError, Secrets, Unsafe, add_to_file, find_or_make,
    read_file,
};
use tempfile::TempDir;

const PLACE: Place = Place { table: "webhooks", column: "secret", row: 1 };

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write(path: &Path, keys: &Keys, mode: u32) {
    fs::write(path, &*keys.to_text()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_first_sealed_value_makes_the_file_and_no_other_value_does() {
    let folder = folder();
    let path = folder.path().join("secrets.key");
    let secrets = Secrets::made_when_needed(&path).unwrap();
    assert!(secrets.find().unwrap().is_none());
    let sealed = Secrets::given(Keys::new(Key::from([1; 32]))).seal(&PLACE, b"a").unwrap();
    assert!(matches!(secrets.open(&PLACE, &sealed), Err(OpenError::UnknownKey { .. })));
    assert!(names(&folder).is_empty(), "opening makes nothing");

    let sealed = secrets.seal(&PLACE, b"secret").unwrap();
    assert_eq!(names(&folder), ["secrets.key"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let before = fs::read(&path).unwrap();
    secrets.seal(&PLACE, b"another").unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    let again = Secrets::file(&path).unwrap();
    assert_eq!(&again.open(&PLACE, &sealed).unwrap()[..], b"secret");
}

#[test]
fn without_a_key_the_error_says_what_to_do() {
    let error = Secrets::absent().seal(&PLACE, b"secret").unwrap_err();
    assert!(matches!(error, SealError::NoKey));
    for part in ["REGISTRY_SECRETS_KEY", "secrets.keyfile", "openssl rand -base64 32"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let folder = folder();
    let path = folder.path().join("key");
    let keys = Keys::new(Key::from([1; 32]));
    for mode in [0o604, 0o602, 0o620, 0o666, 0o644, 0o777] {
        write(&path, &keys, mode);
        let error = read_file(&path).unwrap_err();
        let is_refused = matches!(&error, KeyFileError::Unsafe { reason: Unsafe::Open { mode: seen }, .. } if *seen == mode);
        assert!(is_refused, "{mode:o}: {error}");
        assert!(Secrets::file(&path).is_err() && Secrets::made_when_needed(&path).is_err(), "{mode:o}");
    }
    for mode in [0o600, 0o400, 0o700] {
        write(&path, &keys, mode);
        // Root reads what its mode forbids; others do not.
        assert_eq!(read_file(&path).unwrap(), keys, "{mode:o}");
    }
}

#[test]
fn a_group_may_read_a_file_of_root_alone() {
    let folder = folder();
    let path = folder.path().join("key");
    write(&path, &Keys::new(Key::from([1; 32])), 0o440);
    let is_of_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&path).unwrap()) == 0;
    assert_eq!(read_file(&path).is_ok(), is_of_root);
    if is_of_root {
        std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
        assert!(matches!(read_file(&path), Err(KeyFileError::Unsafe { .. })));
    }
}

#[test]
fn what_is_no_key_file_is_refused_at_once() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    assert!(Command::new("mkfifo").arg("-m600").arg(at("pipe")).status().unwrap().success());
    symlink("/dev/zero", at("device")).unwrap();
    for name in ["folder", "pipe", "device"] {
        let error = read_file(&at(name)).unwrap_err();
        assert!(matches!(error, KeyFileError::Unsafe { reason: Unsafe::Kind, .. }), "{name}: {error}");
    }
    for (text, expected) in [("x".repeat(5000), "at most 4096"), ("passphrase".to_owned(), "can not be used")]
    {
        fs::write(at("text"), &text).unwrap();
        fs::set_permissions(at("text"), fs::Permissions::from_mode(0o600)).unwrap();
        let error = read_file(&at("text")).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains(&text), "{error}");
    }
    // As orchestrators mount files: a link to what they replace as a whole.
    write(&at("mounted"), &Keys::new(Key::from([3; 32])), 0o400);
    symlink("mounted", at("link")).unwrap();
    assert_eq!(read_file(&at("link")).unwrap().current(), &Key::from([3; 32]));
}

#[test]
fn a_new_key_in_front_seals_at_once_in_processes_that_run() {
    let folder = folder();
    let path = folder.path().join("key");
    let (keys, is_new) = find_or_make(&path).unwrap();
    assert!(is_new);
    let running = Secrets::file(&path).unwrap();
    let old = running.seal(&PLACE, b"old").unwrap();

    let added = add_to_file(&path, Key::from([9; 32])).unwrap();
    assert_eq!(added.all(), [Key::from([9; 32]), keys.current().clone()]);
    let elsewhere = Secrets::given(Keys::new(Key::from([9; 32])));
    let new = running.seal(&PLACE, b"new").unwrap();
    assert_eq!(&elsewhere.open(&PLACE, &new).unwrap()[..], b"new");
    assert_eq!(&running.open(&PLACE, &old).unwrap()[..], b"old");

    // What is broken meanwhile does not stop a process that has keys.
    fs::write(&path, "broken").unwrap();
    assert_eq!(&running.open(&PLACE, &new).unwrap()[..], b"new");
    fs::remove_file(&path).unwrap();
    assert_eq!(&running.open(&PLACE, &old).unwrap()[..], b"old");
    assert!(Secrets::file(&path).is_err());
}

#[test]
fn keys_that_are_added_at_once_are_all_there() {
    let folder = folder();
    let path = folder.path().join("key");
    find_or_make(&path).unwrap();
    std::thread::scope(|scope| {
        for byte in 1..=6 {
            let path = &path;
            scope.spawn(move || add_to_file(path, Key::from([byte; 32])).unwrap());
        }
    });
    let keys = read_file(&path).unwrap();
    assert!((1..=6).all(|byte| keys.all().contains(&Key::from([byte; 32]))), "{keys:?}");
}

/// Set in the processes that the next test starts: each makes the file that it names, and prints its keys.
const MAKE: &str = "REGISTRY_SECRETS_TEST_MAKE";

#[test]
fn processes_that_make_the_file_at_once_have_one_key() {
    if let Some(path) = std::env::var_os(MAKE) {
        let (keys, is_new) = find_or_make(Path::new(&path)).unwrap();
        // Outside of what the harness keeps back.
        fs::write(
            format!("{}.said-{}", path.display(), std::process::id()),
            format!("{is_new} {}", *keys.to_text()),
        )
        .unwrap();
        return;
    }
    for _ in 0..5 {
        let folder = folder();
        let path = folder.path().join("secrets.key");
        let start = || {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "processes_that_make_the_file_at_once_have_one_key"])
                .env(MAKE, &path)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let processes: Vec<_> = (0..8).map(|_| start()).collect();
        assert!(processes.into_iter().all(|mut process| process.wait().unwrap().success()));
        let said = names(&folder).into_iter().filter(|name| name.contains("said"));
        let said: Vec<String> =
            said.map(|name| fs::read_to_string(folder.path().join(name)).unwrap()).collect();
        let new = said.iter().filter(|said| said.starts_with("true ")).count();
        assert_eq!((said.len(), new), (8, 1), "{said:?}");
        let text = fs::read_to_string(&path).unwrap();
        assert!(said.iter().all(|said| said.ends_with(&text)), "all have the key that is in the file");
        assert!(names(&folder).iter().all(|name| name == "secrets.key" || name.contains("said")));
    }
}
