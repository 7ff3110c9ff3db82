//! Configurations of the Go registry as people publish them, and what becomes of each. `published/*.txt` has them, and
//! docs/from-the-go-registry.md the table.

use std::{collections::BTreeSet, fs, path::Path};

use futures_util::{StreamExt, stream};
use registry_testing::{Client, Server, ServerOptions, run_binary};

/// One configuration.
#[derive(Clone, Debug, Default)]
struct Case {
    name: String,
    becomes: String,
    /// What the log says at level warning.
    warns: Vec<String>,
    /// What a refusal says.
    says: Vec<String>,
    variables: Vec<(String, String)>,
    /// That of the image, if the case has none.
    file: Option<String>,
    is_of_windows: bool,
}

const SERVES: &str = "serves";
const WITH_STORE: &str = "serves with its store";
const REFUSED: &str = "refused";

/// So many servers at once.
const AT_ONCE: usize = 6;

const IMAGE: &str = include_str!("../../deploy/config.yml");
const PAGE: &str = include_str!("../../docs/from-the-go-registry.md");

fn cases() -> Vec<Case> {
    let texts = [
        include_str!("published/plain.txt"),
        include_str!("published/access.txt"),
        include_str!("published/stores.txt"),
    ];
    texts.iter().flat_map(|text| text.split("=== ").skip(1)).map(case).collect()
}

fn case(text: &str) -> Case {
    let mut lines = text.lines();
    let mut case = Case { name: lines.next().unwrap().to_owned(), ..Case::default() };
    for line in lines {
        if let (Some(file), Some(line)) = (&mut case.file, line.strip_prefix("  ")) {
            file.push_str(line);
            file.push('\n');
            continue;
        }
        match line.split_once(':').map(|(key, value)| (key, value.strip_prefix(' ').unwrap_or(value))) {
            Some(("becomes", value)) => case.becomes = value.to_owned(),
            Some(("warns", value)) => case.warns.push(value.to_owned()),
            Some(("says", value)) => case.says.push(value.to_owned()),
            Some(("windows", _)) => case.is_of_windows = true,
            Some(("file", _)) => case.file = Some(String::new()),
            Some(("env", pair)) => {
                let (name, value) = pair.split_once('=').unwrap();
                case.variables.push((name.to_owned(), value.to_owned()));
            }
            None if line.is_empty() => {}
            _ => panic!("{}: {line}", case.name),
        }
    }
    case
}

/// The case in a folder of its own: what it names is there, and each port is a free one.
fn options(case: &Case) -> ServerOptions {
    let options = ServerOptions::new();
    let folder = options.folder().to_owned();
    for name in ["certs", "auth"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("certs/domain.crt"), made.cert.pem()).unwrap();
    fs::write(folder.join("certs/domain.key"), made.signing_key.serialize_pem()).unwrap();
    let users = "user:$2y$05$.KpS7ssYAhGp8XGl/ENAeuNmZgt.YlPGiJbeh/0uRMQEpTm6Ch9ie\n";
    fs::write(folder.join("auth/htpasswd"), users).unwrap();
    let file = file_of(case, &folder);
    let file = if case.is_of_windows { format!("\u{feff}{}", file.replace('\n', "\r\n")) } else { file };
    let options = ["HTTP_ADDR", "STORAGE_FILESYSTEM_ROOTDIRECTORY", "STORAGE_DELETE_ENABLED"]
        .iter()
        .fold(options, |options, name| options.without(&format!("REGISTRY_{name}")));
    let variables = variables_of(case, &folder);
    variables.iter().fold(options.config(&file), |options, (name, value)| options.variable(name, value))
}

/// The file, with paths in the test's folder, and free ports to listen on.
fn file_of(case: &Case, folder: &Path) -> String {
    let file = case.file.clone().unwrap_or_else(|| IMAGE.replace("/var/lib/registry", "{here}/data"));
    free_port(&here(&file, folder))
}

fn variables_of(case: &Case, folder: &Path) -> Vec<(String, String)> {
    let value = |name: &str, value: &str| match name.ends_with("_ADDR") {
        true => free_port(&here(value, folder)),
        false => here(value, folder),
    };
    case.variables.iter().map(|(name, text)| (name.clone(), value(name, text))).collect()
}

fn here(text: &str, folder: &Path) -> String {
    text.replace("{here}", &folder.display().to_string())
}

fn free_port(text: &str) -> String {
    [":5000", ":5001", ":443"].iter().fold(text.to_owned(), |text, port| text.replace(port, ":0"))
}

#[tokio::test]
async fn what_people_publish_serves_or_is_refused_with_its_reason() {
    let started: Vec<Case> = cases().into_iter().filter(|case| case.becomes != WITH_STORE).collect();
    let mut failures = stream::iter(started).map(try_case).buffer_unordered(AT_ONCE);
    let mut all = Vec::new();
    while let Some(found) = failures.next().await {
        all.extend(found);
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

async fn try_case(case: Case) -> Vec<String> {
    let outcome = options(&case).try_start().await;
    let mut wrong = Vec::new();
    let log = match (&outcome, case.becomes.as_str()) {
        (Ok(server), SERVES) => {
            wrong.extend(answer(server, &case).await);
            server.log().text()
        }
        (Err((status, log)), REFUSED) if status.code() == Some(1) => log.clone(),
        (Ok(server), _) => format!("it serves: {}", server.log().text()),
        (Err((status, log)), _) => {
            wrong.push(format!("ended with {status}"));
            log.clone()
        }
    };
    let is_warned = |text: &String| {
        let at_level = |line: &str| line.contains("level=warning") || line.contains("\"level\":\"warning\"");
        // As the log quotes it.
        let quoted = text.replace('"', "\\\"");
        log.lines().any(|line| at_level(line) && line.contains(&quoted))
    };
    wrong.extend(
        case.warns.iter().filter(|text| !is_warned(text)).map(|text| format!("does not warn {text:?}")),
    );
    wrong.extend(
        case.says.iter().filter(|text| !log.contains(*text)).map(|text| format!("does not say {text:?}")),
    );
    if case.becomes == REFUSED && outcome.is_ok() {
        wrong.push("is not refused".to_owned());
    }
    wrong.into_iter().map(|wrong| format!("{}: {wrong}\n{log}", case.name)).collect()
}

/// A look at the API, where it is plain HTTP: 200, or 401 with users.
async fn answer(server: &Server, case: &Case) -> Option<String> {
    let everything = format!("{:?}", case);
    let has_tls = everything.contains("domain.crt") || everything.contains("LETSENCRYPT");
    if has_tls || !server.address().contains(':') {
        return None;
    }
    let port = server.address().rsplit(':').next().unwrap();
    let path = if everything.contains("/images") { "/images/v2/" } else { "/v2/" };
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    let status = client.get(path).send().await.map(|answer| answer.status);
    let expected = if everything.contains("htpasswd") { 401 } else { 200 };
    match status {
        Ok(status) if status == expected => None,
        other => Some(format!("answers {other:?} instead of {expected}")),
    }
}

/// What an object store would be asked is not tried: whether the configuration describes one is.
#[test]
fn what_people_publish_for_clouds_describes_a_store() {
    for case in cases().into_iter().filter(|case| case.becomes == WITH_STORE) {
        let options = options(&case);
        let folder = options.folder();
        let file = folder.join("config.yml");
        // The database lies where the data would.
        fs::write(&file, file_of(&case, folder)).unwrap();
        let database = folder.join("data/metadata.sqlite").display().to_string();
        let values = variables_of(&case, folder);
        let mut variables: Vec<(&str, &str)> =
            values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        variables.push(("REGISTRY_METADATA_SQLITE_PATH", &database));
        let output = run_binary(&["check-config", file.to_str().unwrap()], &variables);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{}: {said}", case.name);
        for text in &case.warns {
            let found = said.lines().any(|line| line.starts_with("warning: ") && line.contains(text));
            assert!(found, "{}: {text:?} is not in\n{said}", case.name);
        }
    }
}

#[test]
fn the_page_has_a_row_for_each() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "each name once");
    assert!(cases.len() >= 60, "{}", cases.len());
    let serve = cases.iter().filter(|case| case.becomes.starts_with(SERVES)).count();
    assert!(serve >= 40, "{serve}");
    let (_, table) = PAGE.split_once("| Configuration | What becomes of it | |").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let in_page: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(in_page, names);
    for row in rows {
        let case = cases.iter().find(|case| case.name == row[0]).unwrap();
        assert_eq!(row[1], case.becomes, "{}", case.name);
        assert!(case.becomes != REFUSED || !row[2].is_empty(), "{}: a refusal has a reason", case.name);
    }
}
