//! What is accepted although it is not as the schema has it, and what is warned about.

use super::*;

#[test]
fn sections_that_are_off_are_not_refused() {
    for yaml in [
        "proxy:",
        "proxy: {}",
        "proxy: {remoteurl: '', username: '', password: ''}",
        "proxy: {username: u}",
        "middleware: {registry: [], repository: }",
        "middleware: {registry: [{name: x, disabled: true}]}",
    ] {
        assert!(with(yaml, &[]).is_ok(), "{yaml}");
    }
    let mirror = with("", &[("REGISTRY_PROXY_REMOTEURL", "https://registry-1.docker.io")]).unwrap();
    assert!(mirror.config.mirrors.is_some());
}

#[test]
fn what_loses_nothing_is_of_less_importance() {
    let yaml = "storage: {inmemory: , cache: {blobdescriptor: redis}, tag: {concurrencylimit: 8}}
redis: {addr: a}\nhttp: {secret: s}\nloglevel: info\ncompatibility: {repository: {classes: [image]}}\ncolour: blue";
    let loaded = with(yaml, &[("REGISTRY_REDIS_DB", "0")]).unwrap();
    let level = |level| {
        let of_level = loaded.warnings.iter().filter(|warning| warning.level() == level);
        of_level
            .map(|warning| warning.to_string().split([':', ' ']).next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(level(LogLevel::Info), ["storage.cache", "storage.tag", "redis", "http.secret", "loglevel"]);
    assert_eq!(level(LogLevel::Warn), ["compatibility", "colour"]);
    let by_variable = with("", &[("REGISTRY_HTTP_SECRET", "x")]).unwrap();
    assert!(
        warnings(&by_variable)[0].starts_with("http.secret (from REGISTRY_HTTP_SECRET): not needed here")
    );
}

#[test]
fn prefixes_get_the_slashes_that_they_lack() {
    for (written, read) in [
        ("/", "/"),
        ("/images/", "/images/"),
        ("/images", "/images/"),
        ("images/", "/images/"),
        ("images", "/images/"),
        ("/a/b", "/a/b/"),
    ] {
        assert_eq!(with(&format!("http: {{prefix: {written}}}"), &[]).unwrap().config.http.prefix, read);
    }
    for wrong in ["//", "/a//b", "a/../b", ".", "/a b/"] {
        assert!(with(&format!("http: {{prefix: '{wrong}'}}"), &[]).is_err(), "{wrong}");
    }
}

#[test]
fn other_services_than_amazons_have_the_bucket_in_the_path() {
    for (endpoint, path_style) in [
        ("", false),
        ("regionendpoint: 'http://minio:9000'", true),
        ("regionendpoint: 'http://127.0.0.1:9000'", true),
        ("regionendpoint: 'minio:9000', secure: false", true),
        ("regionendpoint: 'https://amazonaws.com.example.org'", true),
        ("regionendpoint: 'https://notamazonaws.com'", true),
        ("regionendpoint: 'http://minio:9000', forcepathstyle: false", false),
        ("regionendpoint: 'https://s3.eu-west-1.amazonaws.com'", false),
        ("regionendpoint: 's3.cn-north-1.amazonaws.com.cn'", false),
        ("regionendpoint: 'https://s3.eu-west-1.amazonaws.com', forcepathstyle: true", true),
        ("usedualstack: true", false),
    ] {
        let yaml = format!("storage: {{s3: {{bucket: b, region: eu-west-1, {endpoint}}}}}");
        match with(&yaml, &[]).unwrap().config.storage.driver {
            Driver::S3(s3) => assert_eq!(s3.path_style, path_style, "{yaml}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn blanks_around_what_is_no_free_text_do_not_count() {
    let variables = [
        ("REGISTRY_HTTP_ADDR", " 127.0.0.1:5000\n"),
        ("REGISTRY_STORAGE_DELETE_ENABLED", " true"),
        ("REGISTRY_HTTP_DRAINTIMEOUT", "5s "),
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", " /srv"),
        ("REGISTRY_AUTH", "htpasswd\n"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", " /auth/htpasswd"),
        ("REGISTRY_AUTH_HTPASSWD_REALM", " a realm "),
    ];
    let config = with("", &variables).unwrap().config;
    assert!(config.storage.delete_enabled);
    assert_eq!(config.storage.driver.folder(), Some(std::path::Path::new("/srv")));
    match config.auth {
        Auth::Htpasswd { realm, path, .. } => {
            assert_eq!((realm.as_str(), path.to_str()), (" a realm ", Some("/auth/htpasswd")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn silly_is_none_where_insecure_is_wanted_and_refused_elsewhere() {
    let silly = "version: 0.1\nauth: {silly: {realm: r, service: s}}";
    let problems = with(silly, &[]).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().key, "auth.silly");
    let loaded = with(silly, &[("REGISTRY_HTTP_INSECURE", "true")]).unwrap();
    assert_eq!(loaded.config.auth, Auth::None);
    assert_eq!(warnings(&loaded), ["auth.silly: lets everybody in, so it is taken for none"]);
}

#[test]
fn unknown_keys_warn_with_the_nearest_one() {
    let yaml = "version: 0.1\nhttp: {adr: x, tls: {certifcate: y}}\nstorage: {inmemory: {a: b}, delete: {enable: true}}
x-mine: 1\ngc: {leese: 1h, colour: blue}\nhealth: {tcp: [{addr: 'a:1', time: 3}]}\nlog: {fields: {any: thing}}";
    let expected = [
        "http.adr: unknown key, ignored; was http.addr meant?",
        "http.tls.certifcate: unknown key, ignored; was http.tls.certificate meant?",
        "storage.inmemory.a: unknown key, ignored",
        "storage.delete.enable: unknown key, ignored; was storage.delete.enabled meant?",
        "x-mine: unknown key, ignored",
        "gc.leese: unknown key, ignored; was gc.lease meant?",
        "gc.colour: not active in this version",
        "health.tcp[0].time: unknown key, ignored",
    ];
    assert_eq!(warnings(&with(yaml, &[]).unwrap()), expected);
}

#[test]
fn empty_values_leave_the_default_and_are_not_warned_about() {
    let yaml = "version: 0.1\nproxy:\nredis: {}\nnotifications: {}\nstorage: {inmemory: , cache: }
http: {addr: '', tls: {certificate: '', key: '', letsencrypt: {cachefile: '', hosts: []}}, secret: ''}\nauth:\nlog:";
    let loaded = with(yaml, &[]).unwrap();
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    assert_eq!((loaded.config.auth, loaded.config.http.tls), (Auth::Absent, None));
}

#[test]
fn lenient_where_it_is_safe() {
    let yaml = "version: 0.1
http: {draintimeout: 5000000000, tls: {minimumtls: tls1.0}, debug: {prometheus: {enabled: true}}}
catalog: {maxentries: -5}
tags: {maxtags: 0}";
    let loaded = with(yaml, &[]).unwrap();
    assert_eq!((loaded.config.catalog_entries_max, loaded.config.tags_entries_max), (1000, 1000));
    let expected = [
        "http.draintimeout: a bare number counts nanoseconds, so this is 5s",
        "http.tls.minimumtls: tls1.0 is not spoken any more, so tls1.2 is the oldest",
        "http.debug.prometheus: has no effect without http.debug.addr",
    ];
    assert_eq!(warnings(&loaded), expected);
}

#[test]
fn quotas_beside_uploads_that_are_never_given_up_are_warned_of() {
    let warned = |quotas: &str, purging: &str| {
        let yaml = format!(
            "version: 0.1\nauth: none\nquotas: [{quotas}]\nstorage: {{maintenance: {{uploadpurging: {{{purging}}}}}}}"
        );
        warnings(&with(&yaml, &[]).unwrap())
            .iter()
            .filter(|warning| warning.contains("abandoned uploads"))
            .count()
    };
    for purging in ["enabled: false", "dryrun: true"] {
        assert_eq!((warned("{bytes: 1GiB}", purging), warned("", purging)), (1, 0), "{purging}");
    }
    assert_eq!((warned("{bytes: 1GiB}", "age: 1h"), warned("{bytes: 1GiB}", "enabled: true")), (0, 0));
}

#[test]
fn self_signed_certificates_are_for_the_names_that_are_used() {
    let hosts = |http: &str| {
        let loaded = with(&format!("version: 0.1\nauth: none\nhttp: {{{http}}}"), &[]).unwrap();
        match loaded.config.http.tls.unwrap().certificate {
            Certificate::SelfSigned { hosts, .. } => hosts.join(" "),
            other => panic!("{other:?}"),
        }
    };
    let own = "localhost 127.0.0.1 ::1";
    assert_eq!(hosts("tls: {selfsigned: true}"), own);
    assert_eq!(hosts("addr: ':5000', tls: {selfsigned: yes}"), own);
    assert_eq!(hosts("addr: '10.0.0.1:5000', tls: {selfsigned: true}"), format!("{own} 10.0.0.1"));
    assert_eq!(
        hosts("host: 'https://r.example:5000/x', tls: {selfsigned: true}"),
        format!("{own} r.example")
    );
    assert_eq!(hosts("tls: {selfsigned: {hosts: [a, b], directory: /d}}"), "a b");
    assert_eq!(hosts("tls: {selfsigned: {directory: /d}}"), own);
    let folder = |storage: &str, self_signed: &str| {
        let yaml = format!("version: 0.1\nstorage: {storage}\nhttp: {{tls: {{selfsigned: {self_signed}}}}}");
        match with(&yaml, &[]).unwrap().config.http.tls.unwrap().certificate {
            Certificate::SelfSigned { directory, .. } => directory.map(|path| path.display().to_string()),
            other => panic!("{other:?}"),
        }
    };
    let in_files = "{filesystem: {rootdirectory: /srv}}";
    assert_eq!(folder(in_files, "true").as_deref(), Some("/srv/certificate"));
    assert_eq!(folder(in_files, "{directory: /d}").as_deref(), Some("/d"));
    assert_eq!(folder("inmemory", "true"), None);
}

#[test]
fn what_validation_says_is_what_counts() {
    let read =
        |yaml: &str| with(&format!("version: 0.1\nvalidation: {yaml}"), &[]).unwrap().config.validation;
    let pattern = |text: &str| vec![text.parse::<UrlPattern>().unwrap()];
    assert_eq!(read("{}").urls, UrlPolicy::default());
    assert_eq!(read("{enabled: false}").references, ReferencePolicy::default());
    assert_eq!(
        read("{manifests: {urls: {deny: [a]}}}").urls,
        UrlPolicy::default().allow(pattern("")).deny(pattern("a"))
    );
    assert_eq!(read("{manifests: {urls: {allow: [a]}}}").urls, UrlPolicy::default().allow(pattern("a")));
    let disabled = read("{disabled: true, manifests: {urls: {deny: [a]}}}");
    assert_eq!(disabled.urls, UrlPolicy::default().allow(pattern("")));
    assert_eq!(disabled.references, ReferencePolicy::default().children(RequiredChildren::None));
    let wrong = with("version: 0.1\nvalidation: {manifests: {urls: {allow: ['(']}}}", &[]).unwrap_err();
    assert_eq!(wrong.iter().next().unwrap().key, "validation.manifests.urls.allow[0]");
}

#[test]
fn tokens_of_another_server_are_read_as_the_go_registry_reads_them() {
    let by_variables = [
        ("REGISTRY_AUTH", "token"),
        ("REGISTRY_AUTH_TOKEN_REALM", "https://gitlab.example.com/jwt/auth"),
        ("REGISTRY_AUTH_TOKEN_SERVICE", "container_registry"),
        ("REGISTRY_AUTH_TOKEN_ISSUER", "gitlab-issuer"),
        ("REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE", "/certs/ca.crt"),
        ("REGISTRY_AUTH_TOKEN_AUTOREDIRECT", "false"),
    ];
    let token = Token {
        realm: "https://gitlab.example.com/jwt/auth".into(),
        service: "container_registry".into(),
        issuer: "gitlab-issuer".into(),
        root_certificates: Some("/certs/ca.crt".into()),
        jwks: None,
        algorithms: SigningAlgorithm::ALL.to_vec(),
        auto_redirect: None,
    };
    assert_eq!(with("", &by_variables).unwrap().config.auth, Auth::Token(token.clone()));
    let yaml = "version: 0.1\nauth: {token: {realm: r, service: s, issuer: i, jwks: j, autoredirect: true, \
                signingalgorithms: [HS256, ES256, EdDSA]}}";
    let loaded = with(yaml, &[]).unwrap();
    let Auth::Token(token) = &loaded.config.auth else { panic!("{:?}", loaded.config.auth) };
    assert_eq!(token.auto_redirect.as_deref(), Some("/auth/token"));
    assert_eq!(token.algorithms, [SigningAlgorithm::ES256, SigningAlgorithm::EdDSA]);
    let left_out =
        "auth.token.signingalgorithms[0]: HS256 is left out: tokens that are signed by it are refused";
    assert_eq!(warnings(&loaded), [left_out]);
}
