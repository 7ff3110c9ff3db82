use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_config::*;

use crate::{warnings, with};

const SAFE: [(&str, &str); 2] = [("REGISTRY_HTTP_INSECURE", "true"), ("REGISTRY_AUTH", "none")];

fn filesystem(root: &str) -> Driver {
    Driver::Filesystem { root: PathBuf::from(root), durability: Durability::Full, reserve: None }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn the_example_for_development_works_as_it_is() {
    let loaded = with(include_str!("../samples/development.yml"), &[]).unwrap();
    let config = &loaded.config;
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.storage.driver, filesystem("/var/lib/registry"));
    assert_eq!(config.metadata, Metadata::SqliteFile(PathBuf::from("/var/lib/registry/metadata.sqlite")));
    assert!(!config.journal.enabled);
    assert_eq!(config.http.listen, Listen::Tcp(TcpAddress { host: "localhost".into(), port: 5000 }));
    assert_eq!(config.http.debug.as_ref().unwrap().address.to_string(), "localhost:5001");
    assert_eq!(config.http.debug.as_ref().unwrap().metrics_path, None);
    assert_eq!(config.auth, Auth::Absent);
    assert_eq!(warnings(&loaded).len(), 1);
    assert!(warnings(&loaded)[0].starts_with("http.secret: not needed here"));
    assert!(!format!("{config:?}").contains("nobody guesses"), "secrets are not printed");
    assert_eq!(config.http.secret.as_ref().unwrap().expose(), "something long that nobody guesses");
}

#[test]
fn debians_file_works_as_it_is() {
    let sample = include_str!("../samples/debian.yml");
    let said = warnings(&with(sample, &[]).unwrap());
    assert!(said.iter().any(|line| line.starts_with("http.addr: plain HTTP on :5000")), "{said:?}");

    let loaded = with(sample, &SAFE[..1]).unwrap();
    let path = PathBuf::from("/etc/docker/registry");
    let anonymous = AnonymousAccess::None;
    assert_eq!(loaded.config.auth, Auth::Htpasswd { realm: "basic-realm".into(), path, anonymous });
    assert!(loaded.config.storage.delete_enabled);
    let headers = [("x-content-type-options".to_owned(), vec!["nosniff".to_owned()])];
    assert_eq!(loaded.config.http.headers, headers);
    assert_eq!(loaded.config.log.fields["service"], "registry");
    let rhythm = Rhythm { interval: seconds(10), threshold: 3 };
    assert_eq!(loaded.config.health.storage, StorageCheck { enabled: true, rhythm });
    assert_eq!(
        warnings(&loaded),
        ["storage.cache: not needed here, the database answers what the cache was for"]
    );
    assert_eq!(loaded.warnings[0].level(), LogLevel::Info);
}

#[test]
fn the_files_of_the_images_work_as_they_are() {
    for sample in [include_str!("../samples/image_v2.yml"), include_str!("../samples/image_v3.yml")] {
        let said = warnings(&with(sample, &[]).unwrap());
        let open: Vec<&String> = said.iter().filter(|line| line.starts_with("http.addr: ")).collect();
        assert_eq!(open.len(), 1, "{said:?}");
        assert!(open[0].contains("everybody who reaches :5000"), "{said:?}");
        let loaded = with(sample, &SAFE).unwrap();
        assert!(!warnings(&loaded).iter().any(|line| line.starts_with("http.addr")));
        assert_eq!(loaded.config.auth, Auth::None);
        assert_eq!(loaded.config.http.listen, Listen::Tcp(TcpAddress { host: String::new(), port: 5000 }));
    }
    let loaded = with(include_str!("../samples/image_v3.yml"), &SAFE).unwrap();
    assert!(!loaded.config.storage.upload_purging.enabled);
    assert_eq!(loaded.config.http.debug.as_ref().unwrap().metrics_path.as_deref(), Some("/metrics"));
    assert!(warnings(&loaded).iter().any(|line| line.starts_with("storage.tag: not needed here")));
}

#[test]
fn metadata_in_postgresql_is_a_url_that_is_never_printed() {
    const URL: &str = "postgres://registry:hunter2@db.example.com/registry?sslmode=verify-full";
    let of = |yaml: &str, environment: &[(&str, &str)]| {
        let config = with(yaml, environment).unwrap().config;
        assert!(!format!("{config:?}").contains("hunter2"));
        match config.metadata {
            Metadata::Postgresql(postgresql) => postgresql,
            other => panic!("{other:?}"),
        }
    };
    let defaults = Postgresql {
        url: of("version: 0.1", &[("REGISTRY_METADATA_POSTGRESQL_URL", URL)]).url,
        pool_size: 16,
        pool_wait: seconds(1),
        pool_waiting_max: 1024,
    };
    assert_eq!(defaults.url.expose(), URL);
    let pool = "pool: {size: 4, wait: 2s, waiting: 10}";
    let file = format!("version: 0.1\nmetadata: {{postgresql: {{url: '{URL}', {pool}}}}}");
    assert_eq!(
        of(&file, &[]),
        Postgresql { pool_size: 4, pool_wait: seconds(2), pool_waiting_max: 10, ..defaults.clone() }
    );
    let size = ("REGISTRY_METADATA_POSTGRESQL_POOL_SIZE", "7");
    assert_eq!(of(&file, &[size]).pool_size, 7);
}

#[test]
fn a_registry_on_the_network_with_everything_set() {
    let loaded = with(include_str!("../samples/secured.yml"), &[]).unwrap();
    let Config { log, storage, metadata, gc, auth, http, health, validation, immutable_tags, quotas, .. } =
        &loaded.config;
    let expected_log = Log {
        level: LogLevel::Warn,
        formatter: LogFormatter::Json,
        fields: Default::default(),
        access_log_disabled: true,
    };
    assert_eq!(log, &expected_log);
    let upload_purging = UploadPurging {
        enabled: true,
        age: seconds(168 * 3600),
        interval: seconds(24 * 3600),
        dry_run: false,
    };
    let expected_storage = Storage {
        driver: filesystem("/srv/registry"),
        delete_enabled: true,
        redirect: Redirect {
            policy: RedirectPolicy::default().disabled(true),
            lifetime: Duration::from_secs(1200),
        },
        read_only: false,
        upload_purging,
        import: false,
    };
    assert_eq!(storage, &expected_storage);
    assert_eq!(metadata, &Metadata::SqliteFile(PathBuf::from("/srv/database/registry.sqlite")));
    let expected_gc = Gc {
        enabled: false,
        interval: Duration::from_millis(500),
        lease: seconds(12 * 3600),
        grace: seconds(600),
        undelete_window: Duration::ZERO,
        untagged_deleted: true,
        rate: GcRate { candidates: 0, deletes: 50 },
        sweep: GcSweep { interval: seconds(7 * 24 * 3600), age: seconds(48 * 3600), delete: true },
    };
    assert_eq!(gc, &expected_gc);
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let expected_tags = [
        ImmutableTags { repositories: patterns(&["team/**"]), tags: patterns(&["v*", "re:[0-9]+"]) },
        ImmutableTags { repositories: patterns(&["**"]), tags: patterns(&["stable"]) },
    ];
    assert_eq!(immutable_tags, &expected_tags);
    let expected_quotas = [
        Quota {
            prefix: "team/".to_owned(),
            bytes_max: Some(100 << 30),
            held_max: Some(100 << 30),
            tags_max: Some(1000),
        },
        Quota { prefix: String::new(), bytes_max: Some(2 << 40), held_max: Some(2 << 40), tags_max: None },
    ];
    assert_eq!(quotas, &expected_quotas);
    assert!(matches!(auth, Auth::Htpasswd { anonymous: AnonymousAccess::Pull, .. }));
    let expected_http = Http {
        listen: Listen::Tcp(TcpAddress { host: "0.0.0.0".into(), port: 443 }),
        prefix: "/images/".into(),
        host: Some("https://registry.example.com".into()),
        relative_urls: true,
        drain_timeout: seconds(60),
        headers: vec![
            ("x-content-type-options".into(), vec!["nosniff".into()]),
            ("strict-transport-security".into(), vec!["max-age=3600".into()]),
        ],
        secret: None,
        tls: Some(Tls {
            certificate: Certificate::Files {
                certificate: PathBuf::from("/etc/registry/tls.crt"),
                key: PathBuf::from("/etc/registry/tls.key"),
            },
            clients: Some(ClientCertificates {
                authorities: ["/etc/registry/ca1.pem", "/etc/registry/ca2.pem"].map(PathBuf::from).to_vec(),
                mode: ClientAuth::IfGiven,
            }),
            minimum: MinimumVersion::Tls13,
        }),
        insecure: false,
        debug: None,
        http2: false,
        h2c: false,
        limits: Limits {
            memory_bytes: 96 << 20,
            blob_bytes: None,
            header_bytes: 32 << 10,
            header_timeout: seconds(5),
            idle_timeout: seconds(60),
            body_idle_timeout: seconds(30),
            connections: 500,
            manifest_bytes: 1 << 20,
            chunk_bytes_min: 5 << 20,
            per_address: Some(64),
        },
        hosts: vec!["registry.example.com".into(), "10.0.0.7".into()],
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        rate_limits: RateLimits::default(),
    };
    assert_eq!(http, &expected_http);
    assert_eq!(health.files[0].file, "/run/unwell");
    assert_eq!((health.http[0].status, health.http[0].rhythm.threshold), (204, 2));
    assert_eq!(health.tcp[0].address.to_string(), "redis.example.com:6379");
    let RequiredChildren::Platforms(platforms) = &validation.references.children else {
        panic!("{validation:?}")
    };
    assert_eq!((platforms[0].architecture.as_str(), platforms[0].os.as_str()), ("amd64", "linux"));
    assert!(validation.references.layers_optional);
    assert_eq!((validation.urls.allow.len(), validation.urls.deny.len()), (1, 1));
    assert_eq!((loaded.config.catalog_entries_max, loaded.config.tags_entries_max), (200, 300));
    let expected_warnings = [
        "storage.filesystem.maxthreads: not needed here, file access has bounds of its own",
        "gc.schedule: not active in this version",
        "http.tls.ciphersuites: rustls chooses among suites that are all strong, so the list has no effect",
    ];
    assert_eq!(warnings(&loaded), expected_warnings);
}

#[test]
fn what_this_version_does_not_have_is_refused_or_named() {
    let sample = include_str!("../samples/everything_go.yml");
    let mirrors = with(sample, &[]).unwrap().config.mirrors.unwrap();
    assert_eq!(mirrors.default_upstream.as_deref(), Some("upstream.example.com"));
    assert!(!format!("{mirrors:?}").contains("hunter2"));

    let replaced = [
        ("REGISTRY_STORAGE", "inmemory"),
        ("REGISTRY_AUTH", "none"),
        ("REGISTRY_HTTP_TLS_LETSENCRYPT", ""),
        ("REGISTRY_PROXY", ""),
    ];
    let loaded = with(sample, &replaced).unwrap();
    assert_eq!(loaded.config.log.level, LogLevel::Error);
    let expected = [
        "loglevel: old spelling, write log.level",
        "log.hooks: not active in this version",
        "log.reportcaller: not active in this version",
        "middleware.storage[0].options.updatefrequency: not needed here, ipfilteredby is not active in this version",
        "redis: not needed here, there is no cache that would lie in it",
        "validation.enabled: old spelling, write validation.disabled",
        "reporting: not active in this version",
        "compatibility: not active in this version",
    ];
    assert_eq!(warnings(&loaded), expected);
}

#[test]
fn without_a_file_it_listens_on_loopback_and_keeps_data_in_one_folder() {
    let home = || [("HOME".to_owned(), "/home/ada".to_owned())].into_iter();
    let loaded = load_as(None, home(), false).unwrap();
    let config = &loaded.config;
    assert_eq!(config.storage.driver, filesystem("/home/ada/.local/share/registry"));
    assert_eq!(config.http.listen, Listen::Tcp(TcpAddress { host: "127.0.0.1".into(), port: 5000 }));
    assert_eq!(config.http.drain_timeout, seconds(10));
    assert_eq!(config.auth, Auth::Absent);
    assert!(!config.storage.delete_enabled);
    assert_eq!(config.storage.upload_purging.age, seconds(168 * 3600));
    let expected_gc = Gc {
        enabled: true,
        interval: seconds(60),
        lease: seconds(24 * 3600),
        grace: seconds(3600),
        undelete_window: seconds(7 * 24 * 3600),
        untagged_deleted: false,
        rate: GcRate { candidates: 1000, deletes: 200 },
        sweep: GcSweep { interval: seconds(24 * 3600), age: seconds(24 * 3600), delete: false },
    };
    assert_eq!(config.gc, expected_gc);
    assert_eq!((config.catalog_entries_max, config.tags_entries_max), (1000, 1000));
    assert_eq!(config.validation.urls, UrlPolicy::default());
    assert_eq!(config.validation.references, ReferencePolicy::default());
    assert_eq!(loaded.warnings, []);

    let driver = load_as(None, home(), true).unwrap().config.storage.driver;
    assert_eq!(driver, filesystem("/var/lib/registry"));
    let problems = load_as(None, std::iter::empty(), false).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().key, "storage.filesystem.rootdirectory");
}

#[test]
fn a_file_that_names_no_folder_keeps_data_where_the_go_registry_does() {
    for yaml in ["version: 0.1", "version: 0.1\nstorage: filesystem", "version: 0.1\nstorage: {filesystem: }"]
    {
        assert_eq!(with(yaml, &[]).unwrap().config.storage.driver, filesystem("/var/lib/registry"), "{yaml}");
    }
}

#[test]
fn files_are_read_under_a_limit() {
    let load_bytes = |bytes: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        load(Some(file.path()), std::iter::empty())
    };
    assert!(load_bytes(b"version: 0.1\nstorage: inmemory").is_ok());
    for (bytes, expected) in [
        (&b"version: \xff"[..], "is not UTF-8"),
        (&vec![b'#'; CONFIG_BYTES_MAX + 1], "expected at most 262144 bytes"),
        (b"version: 0.3", "version (line 1): is \"0.3\""),
        (b"version: [", "configuration (line 2): cannot be read"),
    ] {
        let text = load_bytes(bytes).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
    let windows = "version: 0.1\r\nstorage: inmemory\r\nhttp:\r\n  host: 'https://\u{e4}'\r\n";
    let utf16 = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        [0xfeff].into_iter().chain(windows.encode_utf16()).flat_map(order).collect()
    };
    for bytes in [format!("\u{feff}{windows}").into_bytes(), utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)]
    {
        let text = load_bytes(&bytes).unwrap_err().to_string();
        assert!(text.starts_with("http.host (line 4): is \"https://\u{e4}\""), "{text}");
    }
    assert!(load_bytes(b"\xff\xfea").unwrap_err().to_string().contains("is not UTF-8"));
    let text = load(Some(Path::new("/nowhere/config.yml")), std::iter::empty()).unwrap_err().to_string();
    assert!(text.starts_with("/nowhere/config.yml: cannot be read: "), "{text}");
}
