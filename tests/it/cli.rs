//! The binary on the command line.

mod jobs;
mod stops;

use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use registry_testing::{
    Content, Image, Program, Protocol, Server, ServerOptions, UploadSession, eventually, run_binary,
    run_binary_with_input, within,
};
use tokio::sync::oneshot;

#[test]
fn help_is_for_newcomers() {
    let general = &["serve", "check-config", "hash-password", "docker push"][..];
    for (arguments, words) in [
        (&["--help"][..], general),
        (&["-h"], general),
        (&["help"], general),
        (&[], general),
        (&["serve", "--help"], &["127.0.0.1:5000", "--config"]),
        (&["fsck", "--help"], &["--repair", "[config.yml]"]),
    ] {
        let output = run_binary(arguments, &[]);
        assert!(output.status.success(), "{arguments:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        for word in words {
            assert!(text.contains(word), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn the_version_is_one_line() {
    for argument in ["--version", "-v"] {
        let output = run_binary(&[argument], &[]);
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("registry ") && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn what_is_not_understood_is_said() {
    for (arguments, code, said) in [
        (&["sevre"][..], 2, "'serve'"),
        (&["--frobnicate"], 2, "frobnicate"),
        (&["serve", "a.yml", "b.yml"], 2, "b.yml"),
        (&["hash-password"], 2, "<user>"),
        (&["serve", "/absent.yml"], 1, "/absent.yml"),
        (&["check-config", "/absent.yml"], 1, "/absent.yml"),
    ] {
        let output = run_binary(arguments, &[]);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(said), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn all_problems_of_a_configuration_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.yml");
    let yaml = "
version: 0.2
log: {level: loud}
storage: {filesystem: {rootdirectory: /tmp/x}, inmemory: {}}
http:
  addr: nonsense
  prefix: two//slashes
  tls: {certificate: only.pem}
auth: {htpasswd: {realm: r}}
catalog: {maxentries: many}
";
    fs::write(&path, yaml).unwrap();
    let output = run_binary(&["check-config", path.to_str().unwrap()], &[("REGISTRY_LOG_FORMATTER", "xml")]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    for key in [
        "version",
        "log.level",
        "log.formatter",
        "REGISTRY_LOG_FORMATTER",
        "storage",
        "http.addr",
        "http.prefix",
        "http.tls.key",
        "auth.htpasswd.path",
        "catalog.maxentries",
    ] {
        assert!(text.contains(key), "{key} is not in\n{text}");
    }
}

#[test]
fn a_good_configuration_has_no_problems_but_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.yml");
    let yaml = format!(
        "
version: 0.1
storage: {{filesystem: {{rootdirectory: {}}}, cache: {{blobdescriptor: inmemory}}}}
http: {{adr: ':5000'}}
compatibility: {{schema1: {{enabled: true}}}}
",
        folder.path().join("data").display()
    );
    fs::write(&path, yaml).unwrap();
    let output = run_binary(&["check-config", path.to_str().unwrap()], &[("REGISTRY_HTPP_ADDR", ":5000")]);
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{warnings}");
    for said in ["http.adr", "http.addr", "compatibility", "REGISTRY_HTPP_ADDR"] {
        assert!(warnings.contains(said), "{said} is not in\n{warnings}");
    }
    let by_variable =
        run_binary(&["check-config"], &[("REGISTRY_CONFIGURATION_PATH", path.to_str().unwrap())]);
    assert!(String::from_utf8(by_variable.stdout).unwrap().contains("good.yml"));
}

#[test]
fn files_that_a_configuration_names_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, content) in
        [("empty.pem", ""), ("text.pem", "no certificate"), ("broken", "no line"), ("file", "x")]
    {
        fs::write(path(name), content).unwrap();
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("a.crt"), made.cert.pem()).unwrap();
    fs::write(path("a.key"), made.signing_key.serialize_pem()).unwrap();
    fs::create_dir_all(path("go/docker/registry/v2")).unwrap();
    let tls = |certificate: &str, key: &str, more: &str| {
        format!("http: {{tls: {{certificate: {}, key: {}{more}}}}}", path(certificate), path(key))
    };
    let cas = format!(", clientcas: [{}]", path("absent.pem"));
    let htpasswd = |file: &str| format!("auth: {{htpasswd: {{realm: r, path: {}}}}}", path(file));
    let data = |folder: &str| format!("storage: {{filesystem: {{rootdirectory: {}}}}}", path(folder));
    for (yaml, said) in [
        (tls("a.crt", "a.key", ""), None),
        (tls("absent.crt", "a.key", ""), Some(("http.tls.certificate", "there is no file"))),
        (tls("a.crt", "go", ""), Some(("http.tls.key", "is a folder"))),
        (tls("a.crt", "empty.pem", ""), Some(("http.tls.key", "is empty"))),
        (tls("text.pem", "a.key", ""), Some(("http.tls", "text.pem"))),
        (tls("a.crt", "a.key", &cas), Some(("http.tls.clientcas[0]", "there is no file"))),
        (htpasswd("made-at-the-start"), None),
        (htpasswd("absent/htpasswd"), Some(("auth.htpasswd.path", "no folder"))),
        (htpasswd("broken"), Some(("auth.htpasswd.path", "line 1"))),
        (htpasswd("go"), Some(("auth.htpasswd.path", "go"))),
        (data("made/at/the/start"), None),
        (data("file"), Some(("storage.filesystem.rootdirectory", "is no folder"))),
        (data("go"), Some(("storage.filesystem.rootdirectory", "docker/registry/v2"))),
        (
            format!(
                "storage: {{gcs: {{bucket: b, keyfile: {}}}}}\nmetadata: {{sqlite: {{path: {}}}}}",
                path("absent.json"),
                path("db")
            ),
            Some(("storage.gcs.keyfile", "there is no file")),
        ),
        (
            format!("http: {{net: unix, addr: {}}}", path("absent/socket")),
            Some(("http.addr", "there is no folder")),
        ),
    ] {
        let file = path("config.yml");
        fs::write(&file, &yaml).unwrap();
        let here = path("data");
        let variables = [("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", here.as_str())];
        let variables = if yaml.contains("storage") { &[][..] } else { &variables };
        let output = run_binary(&["check-config", &file], variables);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), said.is_none(), "{yaml}: {text}");
        let Some((key, reason)) = said else { continue };
        let found = text.lines().any(|line| line.contains(&format!("{key}: ")) && line.contains(reason));
        assert!(found, "{key} and {reason} are not in one line of\n{text}");
    }
}

#[test]
fn check_config_lists_what_is_open_and_notes_what_is_not_needed() {
    let output = run_binary(
        &["check-config"],
        &[("REGISTRY_HTTP_ADDR", ":5000"), ("REGISTRY_HTTP_SECRET", "x"), ("REGISTRY_STORAGE", "inmemory")],
    );
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let begins = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(begins("warning: http.addr (from REGISTRY_HTTP_ADDR): everybody who reaches"), 1, "{text}");
    assert_eq!(begins("note: http.secret"), 1, "{text}");
}

#[test]
fn passwords_are_hashed() {
    let output = run_binary_with_input(&["hash-password", "--cost", "4", "ann"], &[], "secret\n");
    assert!(output.status.success());
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.starts_with("ann:$2") && line.ends_with('\n') && line.lines().count() == 1, "{line}");
    assert!(!line.contains("secret"));
    for (arguments, input) in [
        (&["hash-password", "ann"][..], ""),
        (&["hash-password", "a:b"], "secret\n"),
        (&["hash-password", "--cost", "99", "ann"], "secret\n"),
    ] {
        let output = run_binary_with_input(arguments, &[], input);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn without_a_file_it_serves_on_this_machine_from_one_folder() {
    let options = ServerOptions::new().without("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY").as_nobody();
    fs::set_permissions(options.folder(), fs::Permissions::from_mode(0o777)).unwrap();
    let home = options.folder().display().to_string();
    let server = options.variable("HOME", &home).without("XDG_DATA_HOME").start().await;
    assert!(server.address().starts_with("127.0.0.1:"), "{}", server.address());
    let folder = server.options().folder().join(".local/share/registry");
    server.log().wait_for(&folder.display().to_string()).await;
    let image = Image::random(1);
    server.client().push("app", "latest", &image).await.unwrap();
    server.client().pull("app", "latest", &image).await.unwrap();
    assert!(folder.join("metadata.sqlite").exists());
}

#[tokio::test]
async fn the_go_registrys_configurations_work_as_they_are() {
    let options = ServerOptions::new().without("REGISTRY_STORAGE_DELETE_ENABLED");
    let root = options.data().display().to_string();
    let yaml = format!(
        "
version: 0.1
log:
  accesslog: {{disabled: true}}
  level: info
  fields: {{service: registry, environment: test}}
storage:
  cache: {{blobdescriptor: inmemory}}
  filesystem: {{rootdirectory: {root}, maxthreads: 100}}
  delete: {{enabled: true}}
  maintenance:
    uploadpurging: {{enabled: true, age: 168h, interval: 24h, dryrun: false}}
http:
  addr: 127.0.0.1:0
  secret: asecretforlocaldevelopment
  headers:
    X-Content-Type-Options: [nosniff]
    X-Test: [one]
health:
  storagedriver: {{enabled: true, interval: 10s, threshold: 3}}
"
    );
    let server = options.config(&yaml).start().await;
    let client = server.client();
    let image = Image::random(2);
    client.push("app", "latest", &image).await.unwrap();
    assert_eq!(client.get("/v2/").expect(200).await.must_have("x-test"), "one");
    client.delete("/v2/app/manifests/latest").expect(202).await;
    assert!(server.log().text().contains("environment=test"), "{}", server.log().text());
    assert_eq!(server.access_log().text(), "");
}

#[tokio::test]
async fn logs_are_json_where_collectors_want_it() {
    let server = ServerOptions::new().variable("REGISTRY_LOG_FORMATTER", "json").start().await;
    for line in server.log().text().lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["time", "level", "msg"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
}

#[tokio::test]
async fn failures_at_the_start_are_json_where_logs_are() {
    let json = ServerOptions::new().variable("REGISTRY_LOG_FORMATTER", "json");
    let with_problems =
        json.clone().variable("REGISTRY_HTTP_ADDR", "nonsense").variable("REGISTRY_LOG_LEVEL", "loud");
    let without_certificate = json
        .clone()
        .variable("REGISTRY_HTTP_TLS_CERTIFICATE", "/absent.crt")
        .variable("REGISTRY_HTTP_TLS_KEY", "/absent.key");
    for (options, said) in [(with_problems, "http.addr"), (without_certificate, "/absent.")] {
        let (status, log) = options.try_start().await.unwrap_err();
        assert_eq!(status.code(), Some(1));
        assert!(log.contains(said), "{log}");
        for line in log.lines() {
            let line: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line["msg"].is_string(), "{line}");
        }
    }
}

#[tokio::test]
async fn the_start_says_what_runs_and_what_to_type_next() {
    let mut server = ServerOptions::new().start().await;
    let (_, port) = server.address().rsplit_once(':').unwrap();
    server.log().wait_for(&format!("docker push localhost:{port}/<name>")).await;
    let log = server.log().text();
    for said in [&format!("registry {}", env!("CARGO_PKG_VERSION"))[..], "runs as user ", "Ctrl-C"] {
        assert!(log.contains(said), "{said} is not in\n{log}");
    }
    // SIGHUP ends nothing.
    server.hang_up();
    server.log().wait_for("SIGHUP").await;
    server.client().get("/v2/").expect(200).await;
    assert!(server.is_running());
}

#[tokio::test]
async fn health_is_asked_where_the_configuration_says() {
    let mut server = ServerOptions::new().start().await;
    let at = server.options().clone().variable("REGISTRY_HTTP_ADDR", server.address());
    let url = format!("http://{}/v2/", server.address());
    for arguments in [&["health"][..], &["health", "--url", &url]] {
        let output = at.run(Program::Registry, arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(&url));
    }
    let absent = format!("http://{}/absent/", server.address());
    assert_eq!(at.run(Program::Registry, &["health", "--url", &absent]).await.status.code(), Some(1));
    server.kill().await;
    let output = at.run(Program::Registry, &["health"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(&url));
}

#[tokio::test]
async fn a_service_manager_is_told_how_far_it_is() {
    let options = ServerOptions::new();
    let path = options.folder().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let server = options.variable("NOTIFY_SOCKET", &path.display().to_string()).start().await;
    for (state, told) in [("is ready", "READY=1"), ("stops", "STOPPING=1")] {
        let mut buffer = [0; 64];
        let length = within(state, socket.recv(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..length], told.as_bytes());
        server.terminate();
    }
}

#[tokio::test]
async fn two_processes_do_not_serve_one_folder() {
    let options = ServerOptions::new();
    let server = options.start().await;
    let (status, log) = options.try_start().await.unwrap_err();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("process"), "{log}");
    server.client().get("/v2/").expect(200).await;
    // And when the first is gone, the next may.
    drop(server);
    options.start().await.client().get("/v2/").expect(200).await;
}

#[tokio::test]
async fn two_folders_do_not_share_one_database() {
    let options = ServerOptions::new();
    let database = options.folder().join("shared.sqlite").display().to_string();
    let server = options.clone().variable("REGISTRY_METADATA_SQLITE_PATH", &database).start().await;
    let other = ServerOptions::new().variable("REGISTRY_METADATA_SQLITE_PATH", &database);
    let (status, log) = other.try_start().await.unwrap_err();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("shared.sqlite") || log.contains("database"), "{log}");
    server.client().push("app", "latest", &Image::random(7)).await.unwrap();
}

#[tokio::test]
async fn the_data_of_a_go_registry_is_not_written_over() {
    let options = ServerOptions::new();
    fs::create_dir_all(options.data().join("docker/registry/v2/repositories")).unwrap();
    let (status, log) = options.try_start().await.unwrap_err();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("registry import") && log.contains("storage.import"), "{log}");
    assert!(!options.data().join("store").exists());
}

#[tokio::test]
async fn a_database_and_a_store_that_do_not_belong_together_are_refused() {
    let options = ServerOptions::new();
    let mut server = options.start().await;
    server.client().push("app", "latest", &Image::random(3)).await.unwrap();
    server.kill().await;
    let (data, aside) = (options.data(), options.folder().join("aside"));

    fs::rename(data.join("store"), &aside).unwrap();
    let (status, log) = options.try_start().await.unwrap_err();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("store"), "{log}");
    let _ = fs::remove_dir_all(data.join("store"));
    fs::rename(&aside, data.join("store")).unwrap();

    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(data.join(format!("metadata.sqlite{suffix}")));
    }
    let (status, log) = options.try_start().await.unwrap_err();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("database"), "{log}");
}

#[tokio::test]
async fn an_address_in_use_is_said() {
    let server = ServerOptions::new().start().await;
    let other = ServerOptions::new().variable("REGISTRY_HTTP_ADDR", server.address());
    let (status, log) = other.try_start().await.unwrap_err();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains(server.address()), "{log}");
    let (host, port) = server.address().rsplit_once(':').unwrap();
    let way_out = format!("REGISTRY_HTTP_ADDR={host}:{}", port.parse::<u16>().unwrap() + 1);
    assert!(log.contains(&way_out), "{log}");
}

#[tokio::test]
async fn it_listens_on_a_socket_of_the_file_system() {
    let options = ServerOptions::new();
    let path = options.folder().join("socket");
    let options = options.variable("REGISTRY_HTTP_NET", "unix");
    let options = options.variable("REGISTRY_HTTP_ADDR", &path.display().to_string());
    // Twice: the second finds what the killed first left behind.
    for _ in 0..2 {
        let mut server = options.start().await;
        assert_eq!(server.address(), path.display().to_string());
        let mut socket = tokio::net::UnixStream::connect(&path).await.unwrap();
        let request = b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut socket, request).await.unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        server.kill().await;
    }
}

#[tokio::test]
async fn tools_find_the_address_by_the_first_line_that_says_listening_on() {
    let server = ServerOptions::new().variable("REGISTRY_HTTP_DEBUG_ADDR", "127.0.0.1:0").start().await;
    let log = server.log().text();
    let (_, after) = log.split_once("listening on ").unwrap();
    assert!(after.starts_with(server.address()), "{log}");
}
