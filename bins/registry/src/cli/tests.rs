use super::*;
use registry_core::{collector::retention::import::Source, types::Reference};

fn parse(arguments: &[&str]) -> Result<Command, clap::Error> {
    parse_from(arguments.iter().map(OsString::from).collect(), |path| path == Path::new("/my.yml"))
}

fn file(path: &str) -> ConfigFile {
    ConfigFile { argument: Some(path.into()), config: None }
}

fn option(path: &str) -> ConfigFile {
    ConfigFile { argument: None, config: Some(path.into()) }
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn commands_are_understood() {
    let none = ConfigFile::default;
    let cases: Vec<(&[&str], Command)> = vec![
        (&["serve"], Command::Serve { file: none() }),
        (&["serve", "a.yml"], Command::Serve { file: file("a.yml") }),
        (&["serve", "--config", "a.yml"], Command::Serve { file: option("a.yml") }),
        (&["/my.yml"], Command::Serve { file: file("/my.yml") }),
        (&["check-config", "a.yml"], Command::CheckConfig { file: file("a.yml") }),
        (&["journal", "verify", "a.yml"], Command::Journal(Journal::Verify { file: file("a.yml") })),
        (&["journal", "status"], Command::Journal(Journal::Status { file: none() })),
        (
            &["garbage-collect", "-m", "--dry-run=false", "a.yml", "-q"],
            Command::GarbageCollect {
                file: file("a.yml"),
                how: GarbageCollect { dry_run: false, delete_untagged: true, quiet: true },
            },
        ),
        (
            &["garbage-collect", "-d", "--delete-untagged=1"],
            Command::GarbageCollect {
                file: none(),
                how: GarbageCollect { dry_run: true, delete_untagged: true, quiet: false },
            },
        ),
        (
            &["trash", "empty", "--repository", "team/app", "--yes", "a.yml"],
            Command::Trash(TrashCommand::Empty {
                repository: Some("team/app".parse().unwrap()),
                is_meant: true,
                file: file("a.yml"),
            }),
        ),
        (
            &["trash", "empty"],
            Command::Trash(TrashCommand::Empty { repository: None, is_meant: false, file: none() }),
        ),
        (&["hash-password", "ann"], Command::HashPassword { user: "ann".into(), cost: 10 }),
        (&["hash-password", "--cost", "12", "ann"], Command::HashPassword { user: "ann".into(), cost: 12 }),
        (&["migrate"], Command::Migrate { from: None, file: none() }),
        (
            &["migrate", "--from", "old.sqlite", "new.yml"],
            Command::Migrate { from: Some("old.sqlite".into()), file: file("new.yml") },
        ),
        (
            &["quota", "--config", "a.yml", "--report=json", "--recount"],
            Command::Quota { file: option("a.yml"), how: Quota { recounts: true, report: Format::Json } },
        ),
        (
            &["health", "--url", "http://localhost:5000/v2/"],
            Command::Health(Health { url: Some("http://localhost:5000/v2/".into()), file: none() }),
        ),
        (
            &["jobs", "list", "--dead", "--report", "json", "a.yml"],
            Command::Jobs(Jobs::List(ListJobs {
                kind: None,
                only_dead: true,
                limit: 100,
                report: Format::Json,
                file: file("a.yml"),
            })),
        ),
        (
            &["jobs", "discard", "--kind", "webhook"],
            Command::Jobs(Jobs::Discard(DiscardJobs {
                id: None,
                kind: Some("webhook".into()),
                file: none(),
            })),
        ),
        (
            &["retention", "preview", "--config", "a.yml", "--repository", "team/**", "--report", "json"],
            Command::Retention(Retention::Preview(Which {
                only: Some("team/**".parse().unwrap()),
                report: Format::Json,
                file: option("a.yml"),
            })),
        ),
        (
            &["retention", "import", "--from", "ecr", "-"],
            Command::Retention(Retention::Import(Import {
                source: Source::Ecr,
                file: "-".into(),
                repositories: None,
            })),
        ),
    ];
    for (arguments, command) in cases {
        assert_eq!(parse(arguments).unwrap(), command, "{arguments:?}");
    }
}

#[test]
fn every_command_takes_the_configuration_both_ways() {
    for command in [
        &["serve"][..],
        &["check-config"],
        &["health"],
        &["garbage-collect"],
        &["fsck"],
        &["quota"],
        &["migrate"],
        &["journal", "status"],
        &["journal", "verify"],
        &["journal", "drop"],
        &["retention", "preview"],
        &["retention", "apply"],
        &["undelete", "app:v1"],
        &["undelete", "--list", "app"],
        &["tag", "history", "app:v1"],
        &["tag", "revert", "app:v1"],
        &["repository", "delete", "app"],
        &["jobs", "list"],
        &["jobs", "replay", "1"],
        &["jobs", "discard", "--id", "1"],
    ] {
        let with = |more: &[&str]| format!("{:?}", parse(&[command, more].concat()).unwrap());
        assert!(with(&["a.yml"]).contains("argument: Some(\"a.yml\")"), "{command:?}");
        assert!(with(&["--config", "a.yml"]).contains("config: Some(\"a.yml\")"), "{command:?}");
        assert!(with(&["--config=a.yml"]).contains("config: Some(\"a.yml\")"), "{command:?}");
        let both = parse(&[command, &["--config", "a.yml", "b.yml"]].concat()).unwrap_err();
        assert_eq!(both.exit_code(), 2, "{command:?}");
    }
}

#[test]
fn targets_are_repositories_tags_and_digests() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let cases = [
        ("team/app".to_owned(), None),
        ("team/app:v1".to_owned(), Some(Reference::Tag("v1".parse().unwrap()))),
        (format!("team/app@{digest}"), Some(Reference::Digest(digest.parse().unwrap()))),
    ];
    for (text, reference) in cases {
        let Command::Undelete(undelete) = parse(&["undelete", &text]).unwrap() else { panic!("{text}") };
        let expected = Target { repository: "team/app".parse().unwrap(), reference };
        assert_eq!(undelete.what(), Content::Undelete(expected));
    }
}

#[test]
fn help_is_about_the_command_and_no_failure() {
    for (arguments, named) in [
        (&[][..], "docker push"),
        (&["--help"], "check-config"),
        (&["-h"], "check-config"),
        (&["help"], "check-config"),
        (&["serve", "--help"], "127.0.0.1:5000"),
        (&["fsck", "--help"], "--accept-older-database"),
        (&["help", "fsck"], "--accept-older-database"),
        (&["tag", "revert", "--help"], "--to"),
        (&["-v"], env!("CARGO_PKG_VERSION")),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let help = parse(arguments).unwrap_err();
        assert_eq!(help.exit_code(), 0, "{arguments:?}");
        assert!(help.to_string().contains(named), "{named} is not in {help}");
    }
    let fsck = parse(&["fsck", "--help"]).unwrap_err().to_string();
    assert!(!fsck.contains("hash-password"), "{fsck}");
}

#[test]
fn what_is_not_understood_is_named() {
    for (arguments, named) in [
        (&["sevre"][..], "'serve'"),
        (&["garbage-colect"], "'garbage-collect'"),
        (&["serve", "a", "b"], "'b'"),
        (&["--frobnicate"], "--frobnicate"),
        (&["fsck", "--depe"], "'--deep'"),
        (&["hash-password"], "<user>"),
        (&["journal"], "verify"),
        (&["journal", "burn"], "burn"),
        (&["migrate", "a.yml", "b.yml"], "b.yml"),
        (&["undelete"], "target"),
        (&["undelete", "Team"], "Team"),
        (&["tag", "history", "app"], "repository:tag"),
        (&["tag", "forget", "app:v1"], "forget"),
        (&["tag", "history", "app:v1", "--to", "x"], "--to"),
        (&["repository", "delete"], "<name>"),
        (&["quota", "--report", "xml"], "json"),
        (&["retention"], "preview"),
        (&["retention", "import", "p.json"], "--from"),
        (&["retention", "import", "--from", "quay", "p.json"], "quay"),
        (&["retention", "import", "--from", "ecr"], "file.json"),
        (&["retention", "preview", "--repository", "re:("], "re:("),
        (&["retention", "purge"], "purge"),
    ] {
        let error = parse(arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
        assert!(error.to_string().contains(named), "{named} is not in: {error}");
    }
}

#[test]
fn commands_about_webhooks_are_understood() {
    let name = || "ci".parse().unwrap();
    let named = || webhook::Named { name: name(), file: option("a.yml") };
    let cases: Vec<(&[&str], Webhook)> = vec![
        (&["webhook", "list"], Webhook::List { report: Format::Text, file: ConfigFile::default() }),
        (&["webhook", "pause", "ci", "--config", "a.yml"], Webhook::Pause(named())),
        (&["webhook", "remove", "ci", "--config", "a.yml"], Webhook::Remove(named())),
        (
            &["webhook", "redeliver", "ci", "--since", "6h", "--anew"],
            Webhook::Redeliver(Redeliver {
                name: name(),
                message: None,
                since: Some(std::time::Duration::from_secs(6 * 60 * 60)),
                is_anew: true,
                file: ConfigFile::default(),
            }),
        ),
    ];
    for (arguments, expected) in cases {
        assert_eq!(parse(arguments).unwrap(), Command::Webhook(expected), "{arguments:?}");
    }
}

#[test]
fn a_webhook_is_added_as_it_is_described() {
    let arguments = [
        "webhook",
        "add",
        "ci",
        "--url",
        "https://ci.example.com/",
        "--event",
        "tag.*",
        "--event",
        "repository.deleted",
        "--repository",
        "team/**",
        "--tag",
        "v*",
        "--header",
        "X-Team: a: b",
        "--format",
        "dockerhub",
    ];
    let Command::Webhook(Webhook::Add(add)) = parse(&arguments).unwrap() else { panic!("it is added") };
    assert_eq!(
        (add.url.as_str(), add.format.as_str(), add.timeout),
        ("https://ci.example.com/", "dockerhub", 10)
    );
    assert_eq!(
        add.events.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["tag.*", "repository.deleted"]
    );
    assert_eq!(add.headers, [("X-Team".to_owned(), "a: b".to_owned())]);
    for wrong in [
        &["webhook", "add", "ci"][..],
        &["webhook", "add", "ci", "--url", "https://a", "--event", "tags.*"],
        &["webhook", "add", "ci", "--url", "https://a", "--format", "xml"],
        &["webhook", "add", "ci", "--url", "https://a", "--header", "X"],
        &["webhook", "add", "ci", "--url", "https://a", "--timeout", "31"],
        &["webhook", "redeliver", "ci"],
        &["webhook", "redeliver", "ci", "--since", "6h", "--message", "msg_00112233445566778899aabbccddeeff"],
        &["webhook", "redeliver", "ci", "--message", "1"],
        &["webhook", "history", "ci", "--limit", "0"],
        &["secrets"],
    ] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
}
