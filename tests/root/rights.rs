//! Started as root: what changes hands, what does not, and what a process can still do that gave up its rights.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use registry_core::selfsigned;
use registry_testing::{Client, Image, Program, Server, ServerOptions, eventually};

const USER: u32 = 65532;

/// A server that is to become another user. Its folders can be entered by anybody.
fn options() -> ServerOptions {
    assert!(rustix::process::geteuid().is_root(), "this test makes files of several users: run it as root");
    let options = ServerOptions::new().variable("REGISTRY_RUN_AS", "65532:65532");
    fs::set_permissions(options.folder(), Permissions::from_mode(0o755)).unwrap();
    options
}

fn owner(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().uid()
}

fn write(path: PathBuf, mode: u32) -> PathBuf {
    fs::write(&path, "root's").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

async fn refused(options: &ServerOptions) -> String {
    let (status, log) = options.try_start().await.unwrap_err();
    assert_eq!(status.code(), Some(1), "{log}");
    log
}

#[tokio::test]
async fn a_new_folder_and_one_of_roots_become_the_servers() {
    let mut server = options().start().await;
    let log = server.log().text();
    assert!(log.contains("runs as user 65532") && log.contains("gave up root's rights"), "{log}");
    assert!(log.contains(&format!("took over {}", server.data().display())), "{log}");
    server.client().push("app", "v1", &Image::random(1)).await.unwrap();
    for path in ["", "metadata.sqlite", "store", "store/blobs"] {
        assert_eq!(owner(&server.data().join(path)), USER, "{path}");
    }
    // As an earlier version, or another container, left it: all of it root's.
    server.kill().await;
    give_to_root(server.data());
    let server = server.options().clone().start().await;
    for path in ["", "metadata.sqlite", "store", "store/identity", "store/blobs"] {
        assert_eq!(owner(&server.data().join(path)), USER, "{path}");
    }
    server.client().push("app", "v2", &Image::random(2)).await.unwrap();
}

fn give_to_root(path: &Path) {
    chown(path, Some(0), Some(0)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_to_root(&entry.unwrap().path()));
    }
}

#[tokio::test]
async fn nothing_that_a_link_names_changes_hands() {
    let options = options();
    let (file, folder) = (write(options.folder().join("file"), 0o600), options.folder().join("folder"));
    fs::create_dir(&folder).unwrap();
    let within = write(folder.join("key"), 0o600);
    let is_untouched = || [&file, &folder, &within].iter().all(|path| owner(path) == 0);

    // In a folder that is the user's already, who may put there what it likes.
    let data = options.data();
    fs::create_dir(data).unwrap();
    chown(data, Some(USER), Some(USER)).unwrap();
    symlink(&file, data.join("metadata.sqlite.serving")).unwrap();
    symlink(&folder, data.join("certificate")).unwrap();
    let started = options.clone().variable("REGISTRY_HTTP_TLS_SELFSIGNED", "true").try_start().await;
    assert!(is_untouched(), "a link in the user's folder");
    drop(started);

    // In a folder of root's, below which the user has had something to say.
    for name in ["metadata.sqlite.serving", "certificate"] {
        fs::remove_file(data.join(name)).unwrap();
    }
    let _ = fs::remove_dir_all(data);
    fs::create_dir_all(data.join("store/blobs")).unwrap();
    symlink(&file, data.join("metadata.sqlite-wal")).unwrap();
    symlink(&folder, data.join("store/blobs/ab")).unwrap();
    fs::hard_link(&file, data.join("store/blobs/hard")).unwrap();
    fs::write(data.join("store/blobs/others"), "").unwrap();
    chown(data.join("store/blobs/others"), Some(1234), Some(1234)).unwrap();
    let started = options.try_start().await;
    assert!(is_untouched(), "a link in root's folder");
    assert_eq!(owner(&data.join("store/blobs")), USER, "what is root's is taken");
    assert_eq!(owner(&data.join("store/blobs/others")), 1234);
    assert_eq!(fs::symlink_metadata(data.join("store/blobs/ab")).unwrap().uid(), 0);
    let log = match &started {
        Ok(server) => server.log().text(),
        Err((_, log)) => log.clone(),
    };
    for said in ["it is a link", "it has 2 names", "it belongs to user 1234"] {
        assert!(log.contains(said), "{said} is not in\n{log}");
    }
    drop(started);

    // The folder itself, and one on the way to it.
    for way in ["link", "link/below"] {
        let link = options.folder().join("link");
        let _ = fs::remove_file(&link);
        symlink(&folder, &link).unwrap();
        let log = refused(&options.clone().root(&options.folder().join(way))).await;
        assert!(log.contains("is a link"), "{log}");
        assert!(is_untouched() && !folder.join("below").exists(), "{way}");
    }
}

#[tokio::test]
async fn folders_that_are_no_registrys_stay_as_they_are() {
    let options = options();
    let data = options.data();
    // A Go registry's.
    fs::create_dir_all(data.join("docker/registry/v2/repositories")).unwrap();
    let log = refused(&options).await;
    assert!(log.contains("data of another registry"), "{log}");
    assert!([data.to_owned(), data.join("docker")].iter().all(|path| owner(path) == 0));
    assert_eq!(fs::read_dir(data).unwrap().count(), 1, "nothing is left in it");

    // Somebody's home.
    fs::remove_dir_all(data.join("docker")).unwrap();
    fs::create_dir_all(data.join(".ssh")).unwrap();
    let log = refused(&options).await;
    assert!(log.contains(".ssh") && log.contains("chown -R 65532:65532"), "{log}");
    assert!([data.to_owned(), data.join(".ssh")].iter().all(|path| owner(path) == 0));

    // Another user's, with something in it; an empty one is taken.
    fs::remove_dir(data.join(".ssh")).unwrap();
    chown(data, Some(1234), Some(1234)).unwrap();
    fs::write(data.join("note"), "").unwrap();
    let log = refused(&options).await;
    assert!(log.contains("it belongs to user 1234"), "{log}");
    assert_eq!(owner(data), 1234);
    fs::remove_file(data.join("note")).unwrap();
    options.start().await.client().get("/v2/").expect(200).await;
    assert_eq!(owner(data), USER);
}

#[tokio::test]
async fn no_right_is_left() {
    let server = options().start().await;
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(value("Uid:"), vec!["65532"; 4]);
    assert_eq!(value("Gid:"), vec!["65532"; 4]);
    assert_eq!(value("Groups:"), vec!["65532"]);
    for sets in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(value(sets), ["0000000000000000"], "{sets}");
    }
    assert_eq!(value("NoNewPrivs:"), ["1"]);
    // And every thread that came later.
    for task in fs::read_dir(format!("/proc/{}/task", server.id())).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    }
}

/// A server with a certificate, its key and a password file that only root may read.
async fn with_files_of_root(options: ServerOptions) -> (Server, PathBuf, PathBuf, PathBuf) {
    let folder = options.folder().join("private");
    fs::create_dir(&folder).unwrap();
    let made = selfsigned::find_or_make(&folder, &["localhost".to_owned()]).unwrap();
    let users = folder.join("htpasswd");
    fs::write(&users, line("ann", "a")).unwrap();
    fs::set_permissions(&users, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(fs::metadata(&made.key).unwrap().mode() & 0o777, 0o600);
    let options = options
        .variable("REGISTRY_HTTP_TLS_CERTIFICATE", &made.certificate.display().to_string())
        .variable("REGISTRY_HTTP_TLS_KEY", &made.key.display().to_string())
        .variable("REGISTRY_AUTH", "htpasswd")
        .variable("REGISTRY_AUTH_HTPASSWD_REALM", "test")
        .variable("REGISTRY_AUTH_HTPASSWD_PATH", &users.display().to_string());
    (options.start().await, users, made.key, made.authority)
}

fn line(user: &str, password: &str) -> String {
    registry_core::auth::make_htpasswd_line(user, password, 4).unwrap() + "\n"
}

fn client(server: &Server, authority: &Path) -> Client {
    Client::new(&server.url().replace("http:", "https:").replace("127.0.0.1", "localhost"))
        .trusting(&fs::read(authority).unwrap())
}

#[tokio::test]
async fn files_that_only_root_may_read_serve() {
    let (server, users, key, authority) = with_files_of_root(options()).await;
    let log = server.log().text();
    assert!(log.contains("listening on 127.0.0.1:") && log.contains(", tls\""), "{log}");
    assert_eq!(log.matches("will not count").count(), 2, "key and password file can not be renewed: {log}");
    let client = client(&server, &authority);
    client.clone().login("ann", "a").get("/v2/").expect(200).await;
    assert!(!server.log().text().contains("level=error"), "{}", server.log().text());

    // A later version can not be read: the one before counts, and the log says what to do.
    fs::write(&users, line("bob", "b")).unwrap();
    let key_pem = fs::read(&key).unwrap();
    fs::write(&key, [&key_pem[..], b"\n"].concat()).unwrap();
    eventually("both are looked at", async || {
        client.reconnected().login("ann", "a").get("/v2/").expect(200).await;
        let log = server.log().text();
        (log.contains("users stay as they were") && log.contains("kept the certificate")).then_some(())
    })
    .await;
    let log = server.log().text();
    let told = log.lines().find(|line| line.contains("kept the certificate")).unwrap();
    for said in ["server.key", "mode 0600", "chgrp 65532", "chmod 0640"] {
        assert!(told.contains(said), "{said} is not in {told}");
    }
    assert_eq!(told.matches("Permission denied").count(), 1, "{told}");

    // With that done, they count.
    for path in [&users, &key] {
        chown(path, None, Some(USER)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o640)).unwrap();
    }
    server.hang_up();
    server.log().wait_for("loaded the certificate").await;
    eventually("the new user counts", async || {
        let status = client.reconnected().login("bob", "b").get("/v2/").send().await.ok()?.status;
        (status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_file_of_root_is_read_for_the_user_who_put_a_link_there() {
    let options = options();
    let folder = options.folder().join("private");
    let made = selfsigned::find_or_make(&folder, &["localhost".to_owned()]).unwrap();
    let users = write(options.folder().join("htpasswd"), 0o600);
    fs::create_dir(options.data()).unwrap();
    chown(options.data(), Some(USER), Some(USER)).unwrap();
    let (key, passwords) = (options.data().join("server.key"), options.data().join("htpasswd"));
    symlink(&made.key, &key).unwrap();
    symlink(&users, &passwords).unwrap();
    let with_tls = options
        .clone()
        .variable("REGISTRY_HTTP_TLS_CERTIFICATE", &made.certificate.display().to_string())
        .variable("REGISTRY_HTTP_TLS_KEY", &key.display().to_string());
    let with_users = options
        .clone()
        .variable("REGISTRY_AUTH", "htpasswd")
        .variable("REGISTRY_AUTH_HTPASSWD_REALM", "test")
        .variable("REGISTRY_AUTH_HTPASSWD_PATH", &passwords.display().to_string());
    for (options, named) in [(with_tls, &key), (with_users, &passwords)] {
        let log = refused(&options).await;
        assert!(log.contains("Permission denied") && log.contains(&named.display().to_string()), "{log}");
    }
}

#[tokio::test]
async fn ports_below_1024_are_taken_before_rights_are_given_up() {
    // Of those that nothing on a test machine uses.
    let mut served = None;
    for port in 900..950 {
        let options = options().variable("REGISTRY_HTTP_ADDR", &format!("127.0.0.1:{port}"));
        let options = options.variable("REGISTRY_HTTP_DEBUG_ADDR", &format!("127.0.0.1:{}", port + 50));
        if let Ok(server) = options.try_start().await {
            served = Some(server);
            break;
        }
    }
    let server = served.expect("one of fifty ports is free");
    server.client().get("/v2/").expect(200).await;
}

#[tokio::test]
async fn commands_of_root_leave_nothing_that_the_server_can_not_read() {
    let server = options().start().await;
    server.client().push("app", "v1", &Image::random(3)).await.unwrap();
    for variables in [server.options().clone(), server.options().clone().without("REGISTRY_RUN_AS")] {
        for arguments in [&["garbage-collect"][..], &["fsck"], &["fsck", "--deep"], &["quota", "--recount"]] {
            let output = variables.run(Program::Registry, arguments).await;
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
        let output = variables.run(Program::Gc, &[]).await;
        assert!(output.status.success(), "{output:?}");
    }
    let mut left = vec![server.data().to_owned()];
    while let Some(path) = left.pop() {
        assert_eq!(owner(&path), USER, "{}", path.display());
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[tokio::test]
async fn a_mark_that_can_not_be_read_is_replaced() {
    let mut server = options().start().await;
    let mark = server.data().join("store/mark");
    eventually("the mark is set", async || mark.exists().then_some(())).await;
    server.kill().await;
    chown(&mark, Some(0), Some(0)).unwrap();
    fs::set_permissions(&mark, Permissions::from_mode(0o600)).unwrap();
    let server = server.options().clone().start().await;
    eventually("the mark is the server's again", async || (owner(&mark) == USER).then_some(())).await;
    let log = server.log().text();
    assert!(log.contains(&mark.display().to_string()), "{log}");
}
