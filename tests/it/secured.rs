//! «Create a secured registry», as the documentation has it, step by step; and what holds afterwards.

mod certificates;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use registry_core::{selfsigned, types::ErrorCode};
use registry_testing::{
    Client, Content, Image, RawConnection, Server, ServerOptions, eventually, run_binary_with_input,
};

#[tokio::test]
async fn the_walk_through_works() {
    // 1. A password file.
    let options = ServerOptions::new();
    let passwords = options.folder().join("passwords");
    fs::write(&passwords, password_line("ann", "correct horse")).unwrap();

    // 2. A configuration: every address, a certificate of its own, users.
    let config = format!(
        "
version: 0.1
http:
  addr: 0.0.0.0:0
  tls: {{selfsigned: true}}
auth:
  htpasswd: {{realm: team registry, path: {}}}
",
        passwords.display()
    );
    let server = options.without("REGISTRY_HTTP_ADDR").config(&config).start().await;
    assert!(server.address().starts_with("0.0.0.0:"), "{}", server.address());

    // 3. The log says what clients are to trust.
    let authority = authority_in_log(&server).await;
    assert!(authority.starts_with(server.data()), "{} is not beside the data", authority.display());
    let nobody = client_of(&server, &authority);

    // 4. docker login: asks, is refused, and comes back with the password.
    let refused = nobody.get("/v2/").expect(401).await;
    assert_eq!(refused.must_have("www-authenticate"), "Basic realm=\"team registry\"");
    assert_eq!(refused.error_code(), ErrorCode::Unauthorized);
    for (user, password) in [("ann", "wrong"), ("ann", ""), ("eve", "correct horse"), ("", "")] {
        let client = nobody.clone().login(user, password);
        client.get("/v2/").expect(401).await;
    }
    let ann = nobody.clone().login("ann", "correct horse");
    ann.get("/v2/").expect(200).await;

    // 5. Push and pull; nobody else can do either.
    let image = Image::random(1);
    ann.push("team/app", "latest", &image).await.unwrap();
    ann.pull("team/app", "latest", &image).await.unwrap();
    for path in ["/v2/team/app/manifests/latest", "/v2/_catalog", "/v2/team/app/tags/list"] {
        nobody.get(path).expect(401).await;
    }
    nobody.post("/v2/team/app/blobs/uploads/").expect(401).await;

    // 6. A restart keeps the certificate, so that clients need not be told again.
    let server = server.restart().await;
    let ann = client_of(&server, &authority).login("ann", "correct horse");
    ann.pull("team/app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn the_anonymous_may_pull_where_the_operator_says_so() {
    let (server, _) = with_passwords(&[("ann", "a")], "  anonymous: pull\n").await;
    let nobody = server.client();
    let ann = server.client().login("ann", "a");
    let image = Image::random(2);
    ann.push("app", "latest", &image).await.unwrap();
    nobody.pull("app", "latest", &image).await.unwrap();
    nobody.get("/v2/_catalog").expect(200).await;
    // docker sends its password only after it was asked for one here.
    nobody.get("/v2/").expect(401).await;
    for request in [
        nobody.post("/v2/app/blobs/uploads/"),
        nobody.put("/v2/app/manifests/new").body(image.manifest.bytes.clone()),
        nobody.delete("/v2/app/manifests/latest"),
    ] {
        let response = request.expect(401).await;
        assert!(response.header("www-authenticate").is_some());
    }
    // A wrong password is not the same as none.
    server.client().login("ann", "wrong").get("/v2/app/manifests/latest").expect(401).await;
    nobody.pull("app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn a_changed_password_file_counts_at_once() {
    let (server, passwords) = with_passwords(&[("ann", "a")], "").await;
    let login = |user: &str, password: &str| server.client().login(user, password);
    login("ann", "a").get("/v2/").expect(200).await;
    login("bob", "b").get("/v2/").expect(401).await;

    fs::write(&passwords, password_line("bob", "b")).unwrap();
    eventually("bob is known", async || is_let_in(&login("bob", "b")).await).await;
    login("ann", "a").get("/v2/").expect(401).await;

    // A broken file is not an open door, and no closed one either.
    fs::write(&passwords, "this is no password file\n").unwrap();
    server.log().wait_for("password").await;
    login("bob", "b").get("/v2/").expect(200).await;
    login("ann", "a").get("/v2/").expect(401).await;

    let replacement = passwords.with_extension("new");
    fs::write(&replacement, password_line("cat", "c")).unwrap();
    fs::rename(&replacement, &passwords).unwrap();
    eventually("cat is known", async || is_let_in(&login("cat", "c")).await).await;
    login("bob", "b").get("/v2/").expect(401).await;
}

async fn is_let_in(client: &Client) -> Option<()> {
    (client.get("/v2/").send().await.unwrap().status == 200).then_some(())
}

#[tokio::test]
async fn wrong_passwords_do_not_stall_those_who_are_in() {
    let (server, _) = with_passwords(&[("ann", "a"), ("bob", "b")], "").await;
    let ann = server.client().login("ann", "a");
    ann.get("/v2/").expect(200).await;
    let alone = time_of(&ann).await;
    let attackers: Vec<_> = (0..60)
        .map(|number| {
            let attacker = server.client().login("ann", &format!("guess{number}"));
            tokio::spawn(attacker.get("/v2/").send())
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        slowest = slowest.max(time_of(&ann).await);
    }
    let (mut wrong, mut slowed) = (0, 0);
    for attacker in attackers {
        let response = attacker.await.unwrap().unwrap();
        match response.status.as_u16() {
            401 => wrong += 1,
            429 => {
                slowed += 1;
                assert_eq!(response.error_code(), ErrorCode::TooManyRequests);
                let retry_after: u64 = response.must_have("retry-after").parse().unwrap();
                assert!((1..=20).contains(&retry_after), "{retry_after}");
            }
            other => panic!("{other}"),
        }
    }
    // So many guesses are allowed for a name from an address, and few more come back while they are made.
    assert!((1..15).contains(&wrong) && slowed > 45, "{wrong} wrong, {slowed} slowed");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}, alone {alone:?}");
    // Neither are those kept out who were not in, nor those whose name was guessed for.
    ann.get("/v2/").expect(200).await;
    server.client().login("bob", "b").get("/v2/").expect(200).await;
}

#[tokio::test]
async fn failed_logins_are_counted_and_told_of_in_few_lines() {
    let options = ServerOptions::new();
    let passwords = options.folder().join("passwords");
    fs::write(&passwords, password_line("ann", "a")).unwrap();
    let debug = "http: {debug: {addr: 127.0.0.1:0, prometheus: {enabled: true}}}\n";
    let server = options.config(&(auth_config(&passwords, "") + debug)).start().await;
    for number in 0..40 {
        let client = server.client().login("\u{202e}eve\n", &format!("guess{number}"));
        let status = client.get("/v2/").send().await.unwrap().status;
        assert!(matches!(status.as_u16(), 401 | 429), "{status}");
    }
    server.client().login("ann", "a").get("/v2/").expect(200).await;
    let log = server.log().text();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("failed logins from 127.0.0.1: ")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    // Escaped once by the line, and once by the format of the log.
    assert!(lines[0].contains(r#"; users \"\\u{202e}eve\\n\""#), "{}", lines[0]);
    assert!(!log.contains("guess"), "{log}");

    let debug = server.log().wait_for_value("where the debug server is", |log| {
        let (_, after) = log.split_once("health and metrics at ")?;
        Some(after.split('"').next()?.to_owned())
    });
    let metrics = Client::new(&debug.await).get("/metrics").expect(200).await.text();
    let count = |outcome: &str| {
        let name = format!("registry_auth_logins_total{{outcome=\"{outcome}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("0");
        value.parse::<u64>().unwrap()
    };
    assert_eq!((count("accepted"), count("wrong") + count("slowed")), (1, 40), "{metrics}");
}

#[tokio::test]
async fn a_password_file_that_is_gone_is_told_of_where_operators_look() {
    let options = ServerOptions::new();
    let passwords = options.folder().join("passwords");
    fs::write(&passwords, password_line("ann", "a")).unwrap();
    let debug = "http: {debug: {addr: 127.0.0.1:0, prometheus: {enabled: true}}}\n";
    let server = options.config(&(auth_config(&passwords, "") + debug)).start().await;
    let debug = server.log().wait_for_value("where the debug server is", |log| {
        let (_, after) = log.split_once("health and metrics at ")?;
        Some(after.split('"').next()?.to_owned())
    });
    let debug = Client::new(&debug.await);
    let stale = async || {
        let metrics = debug.get("/metrics").expect(200).await.text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("registry_auth_file_stale_seconds "));
        line.unwrap_or_else(|| panic!("{metrics}")).parse::<f64>().unwrap()
    };
    debug.get("/debug/health").expect(200).await;
    assert_eq!(stale().await, 0.0);

    fs::remove_file(&passwords).unwrap();
    eventually("the health check warns", async || {
        let answer = debug.get("/debug/health").expect(200).await.text();
        let is_warned = answer.contains("warning: the users stay as they were: there is no password file");
        is_warned.then_some(())
    })
    .await;
    assert!(stale().await > 0.0);
    server.client().login("ann", "a").get("/v2/").expect(200).await;

    fs::write(&passwords, format!("bob\n{}", password_line("ann", "a"))).unwrap();
    eventually("the health check warns of a line", async || {
        let answer = debug.get("/debug/health").expect(200).await.text();
        answer.contains("warning: the other lines count: line 1").then_some(())
    })
    .await;

    fs::write(&passwords, password_line("ann", "a")).unwrap();
    eventually("the file is read again", async || {
        (debug.get("/debug/health").expect(200).await.text() == "{}").then_some(())
    })
    .await;
    assert_eq!(stale().await, 0.0);
}

#[tokio::test]
async fn a_password_file_that_others_can_read_or_that_has_no_user_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    for (mode, content, warning) in [
        (0o644, password_line("ann", "a"), Some("every user of this machine can read")),
        (0o640, password_line("ann", "a"), None),
        (0o640, "# nobody yet\n".to_owned(), Some("has no user who could log in")),
    ] {
        let options = ServerOptions::new();
        let passwords = options.folder().join("passwords");
        fs::write(&passwords, content).unwrap();
        fs::set_permissions(&passwords, fs::Permissions::from_mode(mode)).unwrap();
        let server = options.config(&auth_config(&passwords, "")).start().await;
        let log = server.log().text();
        match warning {
            Some(warning) => assert!(log.contains(warning), "{log}"),
            None => {
                let mut warnings = log.lines().filter(|line| line.contains("level=warning"));
                assert!(!warnings.any(|line| line.contains(&*passwords.to_string_lossy())), "{log}");
            }
        }
    }
}

async fn time_of(client: &Client) -> Duration {
    let started = Instant::now();
    client.get("/v2/").expect(200).await;
    started.elapsed()
}

#[tokio::test]
async fn credentials_that_are_none_are_refused() {
    let (server, _) = with_passwords(&[("ann", "a")], "").await;
    for header in ["Basic", "Basic !!!", "Basic YW5u", "Digest x", "Bearer token", "YW5uOmE="] {
        let response = server.client().get("/v2/").header("authorization", header).send().await.unwrap();
        assert!(matches!(response.status.as_u16(), 400 | 401), "{header}: {}", response.status);
        assert_eq!(response.error_code(), ErrorCode::Unauthorized, "{header}");
    }
}

#[tokio::test]
async fn a_missing_password_file_is_made_with_a_first_user() {
    let options = ServerOptions::new();
    let passwords = options.folder().join("passwords");
    let server = options.config(&auth_config(&passwords, "")).start().await;
    let beside = passwords.with_extension("first-user");
    let log = server.log().text();
    assert!(log.contains(&beside.display().to_string()), "{log}");
    assert_eq!(fs::metadata(&beside).unwrap().permissions().mode() & 0o777, 0o600);
    let line = fs::read_to_string(&beside).unwrap();
    let (user, password) = line.trim_end().split_once(':').unwrap();
    assert!(!log.contains(password), "{log}");
    server.client().login(user, password).get("/v2/").expect(200).await;
    assert!(!fs::read_to_string(&passwords).unwrap().contains(password));
    let server = server.restart().await;
    server.client().login(user, password).get("/v2/").expect(200).await;
    assert!(!server.log().text().contains("made the password file"), "{}", server.log().text());
}

#[tokio::test]
async fn a_registry_on_the_network_says_what_is_open_and_serves() {
    let open = ServerOptions::new().variable("REGISTRY_HTTP_ADDR", "0.0.0.0:0");
    let said = |log: String| {
        let lines = log.lines().filter(|line| line.contains("level=warning") && line.contains("http.addr"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let server = open.start().await;
    let lines = said(server.log().text());
    assert_eq!(lines.len(), 1, "{lines:?}");
    for word in
        ["everybody who reaches 0.0.0.0:0", "auth.htpasswd", "http.tls", "auth: none", "http.insecure: true"]
    {
        assert!(lines[0].contains(word), "{word} is not in\n{lines:?}");
    }
    let url = format!("http://{}", server.address().replace("0.0.0.0", "127.0.0.1"));
    Client::new(&url).get("/v2/").expect(200).await;
    drop(server);

    let told = open.variable("REGISTRY_HTTP_INSECURE", "true").variable("REGISTRY_AUTH", "none");
    assert_eq!(said(told.start().await.log().text()), Vec::<String>::new());
}

#[tokio::test]
async fn a_strict_registry_on_the_network_is_secure_or_told_not_to_be() {
    let open = ServerOptions::new().variable("REGISTRY_HTTP_ADDR", "0.0.0.0:0");
    let open = open.variable("REGISTRY_SAFETY", "strict");
    let (status, log) = open.try_start().await.unwrap_err();
    assert_eq!(status.code(), Some(1));
    for said in ["REGISTRY_HTTP_INSECURE=true", "insecure: true", "REGISTRY_AUTH=none", "auth: none"] {
        assert!(log.contains(said), "{said} is not in\n{log}");
    }
    let without_auth = open.clone().variable("REGISTRY_HTTP_INSECURE", "true");
    let (_, log) = without_auth.try_start().await.unwrap_err();
    assert!(log.contains("REGISTRY_AUTH=none") && !log.contains("REGISTRY_HTTP_INSECURE"), "{log}");
    let without_tls = open.clone().variable("REGISTRY_AUTH", "none");
    let (_, log) = without_tls.try_start().await.unwrap_err();
    assert!(log.contains("REGISTRY_HTTP_INSECURE=true") && !log.contains("REGISTRY_AUTH"), "{log}");
}

#[tokio::test]
async fn passwords_are_not_in_the_logs() {
    let (server, _) = with_passwords(&[("ann", "top-secret-word")], "").await;
    let ann = server.client().login("ann", "top-secret-word");
    ann.push("app", "latest", &Image::random(4)).await.unwrap();
    server.client().login("ann", "top-secret-wrong").get("/v2/").expect(401).await;
    server.access_log().wait_for("- ann [").await;
    for log in [server.log().text(), server.access_log().text()] {
        assert!(!log.contains("top-secret"), "{log}");
        // Base64 of `ann:top-secret-`.
        assert!(!log.contains("YW5uOnRvcC1zZWNyZXQt"), "{log}");
    }
}

#[tokio::test]
async fn only_who_may_push_can_write_into_a_session() {
    let (server, _) = with_passwords(&[("ann", "a")], "  anonymous: pull\n").await;
    let ann = server.client().login("ann", "a");
    let session = ann.begin_upload("app").await.unwrap();
    let blob = Content::random(5, 10);
    let nobody = server.client();
    nobody.get(&session.location).expect(401).await;
    nobody.patch(&session.location).body("x").expect(401).await;
    nobody.delete(&session.location).expect(401).await;
    ann.finish_upload(&session, &blob.digest, blob.bytes.clone()).await.unwrap();
}

#[tokio::test]
async fn a_refused_push_is_told_before_it_is_sent() {
    let (server, _) = with_passwords(&[("ann", "a")], "").await;
    let mut connection = RawConnection::open(server.address()).await.unwrap();
    let head = "PUT /v2/app/manifests/latest HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\nexpect: 100-continue\r\n\r\n";
    connection.send(head).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.status, 401);
}

/// A server on the loopback with a password file; `more` goes below `auth`.
pub(crate) async fn with_passwords(users: &[(&str, &str)], more: &str) -> (Server, PathBuf) {
    let options = ServerOptions::new();
    let passwords = options.folder().join("passwords");
    let lines: Vec<String> = users.iter().map(|(user, password)| password_line(user, password)).collect();
    fs::write(&passwords, lines.concat()).unwrap();
    (options.config(&auth_config(&passwords, more)).start().await, passwords)
}

fn auth_config(passwords: &Path, more: &str) -> String {
    format!("version: 0.1\nauth:\n  htpasswd: {{realm: test, path: {}}}\n{more}", passwords.display())
}

/// A line that the binary makes; of the lowest cost, so that tests are quick.
fn password_line(user: &str, password: &str) -> String {
    let output = run_binary_with_input(&["hash-password", "--cost", "4", user], &[], password);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `copy <path> to /etc/docker…`
async fn authority_in_log(server: &Server) -> PathBuf {
    let path = server.log().wait_for_value("where the certificate is", |log| {
        let (_, after) = log.split_once("For docker: copy ")?;
        Some(PathBuf::from(after.split_once(" to /etc/docker/certs.d/")?.0))
    });
    path.await
}

/// A client by the name that the certificate is for.
fn client_of(server: &Server, authority: &Path) -> Client {
    let port = server.address().rsplit(':').next().unwrap();
    Client::new(&format!("https://localhost:{port}")).trusting(&fs::read(authority).unwrap())
}
