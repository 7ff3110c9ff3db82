use proptest::prelude::*;
use registry_config::*;
use registry_types::SigningAlgorithm;

use crate::{warnings, with};

/// A document whose one section is wrong, and the line about it.
const WRONG: &[(&str, &str)] = &[
    (
        "quotas: [{bytes: lots}]",
        "quotas[0].bytes: is \"lots\"; expected bytes, from 0 to 9223372036854775807, or such as 64KiB or 4MiB",
    ),
    (
        "quotas: [{held: lots}]",
        "quotas[0].held: is \"lots\"; expected bytes, from 0 to 9223372036854775807, or such as 64KiB or 4MiB",
    ),
    (
        "quotas: [{prefix: Team/}]",
        "quotas[0].prefix: is \"Team/\"; expected the beginning of names of repositories, such as team/",
    ),
    (
        "quotas: [{prefix: a, tags: 1}, {prefix: a, bytes: 1}]",
        "quotas[1].prefix: is \"a\" once more; expected each prefix once",
    ),
    ("log: {level: verbose}", "log.level: is \"verbose\"; expected one of error, warn, info, debug"),
    (
        "log: {level: debgu}",
        "log.level: is \"debgu\"; expected one of error, warn, info, debug (was debug meant?)",
    ),
    ("log: {formatter: xml}", "log.formatter: is \"xml\"; expected one of text, json, logstash"),
    ("log: {fields: {a: [b]}}", "log.fields.a: is a list; expected a text"),
    ("log: {accesslog: {disabled: maybe}}", "log.accesslog.disabled: is \"maybe\"; expected true or false"),
    ("log: [a]", "log: is a list; expected a section"),
    (
        "storage: {swift: {container: c}}",
        "storage.swift: the driver swift is not in this version; expected filesystem, inmemory, s3, gcs or azure",
    ),
    ("storage: {s3: {region: r}}", "storage.s3.bucket: is missing; expected the bucket's name"),
    (
        "storage: {s3: {bucket: b}}",
        "storage.s3.region: is missing; expected the bucket's region, or a regionendpoint",
    ),
    (
        "storage: {s3: {bucket: b, region: r, accesskey: hunter2}}",
        "storage.s3.secretkey: is missing, and there is an accesskey; expected both or neither",
    ),
    (
        "storage: {s3: {bucket: b, region: r, chunksize: 1MiB}}",
        "storage.s3.chunksize: is \"1MiB\"; expected bytes, from 5242880 to 1073741824, or such as 64KiB or 4MiB",
    ),
    (
        "storage: {s3: {bucket: b, region: r, v4auth: false}}",
        "storage.s3.v4auth: is off; expected true: requests are signed in version 4 only",
    ),
    ("storage: {gcs: {}}", "storage.gcs.bucket: is missing; expected the bucket's name"),
    (
        "storage: {azure: {accountname: a, container: c, credentials: {type: shared_key}}}",
        "storage.azure.accountkey: is missing; expected the account's key",
    ),
    (
        "storage: {inmemory: , redirect: {except: [ten]}}",
        "storage.redirect.except[0]: is \"ten\"; expected a network such as 10.0.0.0/8",
    ),
    (
        "storage: {filesytem: {}}",
        "storage.filesytem: there is no driver \"filesytem\"; expected filesystem, inmemory, s3, gcs or azure (was filesystem meant?)",
    ),
    (
        "storage: {filesystem: {}, inmemory: {}}",
        "storage: has several drivers, filesystem and inmemory; expected one",
    ),
    (
        "storage: {filesystem: {durability: some}}",
        "storage.filesystem.durability: is \"some\"; expected one of full, none",
    ),
    (
        "storage: {inmemory: , maintenance: {readonly: true}}",
        "storage.maintenance.readonly: is a single value; expected a section",
    ),
    (
        "storage: {inmemory: , maintenance: {uploadpurging: {age: 1d}}}",
        "storage.maintenance.uploadpurging.age: is \"1d\"; expected a duration such as 10s, 5m or 168h, at least 60s",
    ),
    (
        "{storage: inmemory, metadata: {sqlite: {journal: {enabled: true}}}}",
        "metadata.sqlite.journal.enabled: is on, but there is no store that outlives the database; expected false",
    ),
    (
        "{storage: inmemory, metadata: {sqlite: {path: /db}}}",
        "metadata.sqlite.path: is given, but storage is inmemory; expected no path, or storage on filesystem",
    ),
    (
        "metadata: {postgres: {}}",
        "metadata.postgres: metadata in \"postgres\" is not in this version; expected sqlite or postgresql",
    ),
    (
        "metadata: postgresql",
        "metadata.postgresql.url: is missing; expected postgres://user:password@host:5432/database",
    ),
    (
        "metadata: {postgresql: {url: 'mysql://u:hunter2@h/d'}}",
        "metadata.postgresql.url: is not the URL of a PostgreSQL database; expected \
         postgres://user:password@host:5432/database",
    ),
    (
        "metadata: {sqlite: {path: /db}, postgresql: {url: 'postgres://h/d'}}",
        "metadata: has two databases, sqlite and postgresql; expected one",
    ),
    (
        "metadata: {postgresql: {url: 'postgres://h/d', pool: {size: 0}}}",
        "metadata.postgresql.pool.size: is \"0\"; expected a whole number from 1 to 1000",
    ),
    (
        "{storage: inmemory, metadata: {postgresql: {url: 'postgres://h/d'}}}",
        "metadata.postgresql: is given, but storage is inmemory; expected storage that outlives the process",
    ),
    ("gc: {lease: 0}", "gc.lease: is \"0\"; expected a duration such as 10s, 5m or 168h, at least 1ms"),
    (
        "auth: {htpasswd: {realm: r}}",
        "auth.htpasswd.path: is missing; expected the path of a file made with htpasswd -B",
    ),
    (
        "auth: {htpasswd: {path: p}}",
        "auth.htpasswd.realm: is missing; expected a name that clients are shown",
    ),
    (
        "auth: {token: {service: s, issuer: i, jwks: j}}",
        "auth.token.realm: is missing; expected the URL at which clients ask for a token",
    ),
    (
        "auth: {token: {realm: r, service: s, issuer: i}}",
        "auth.token: names no key by which a token could be checked; expected rootcertbundle, a file of certificates, or \
         jwks, a file of JSON web keys",
    ),
    (
        "auth: {token: {realm: r, service: s, issuer: i, jwks: j, signingalgorithms: [ES256, ES257]}}",
        "auth.token.signingalgorithms[1]: there is no algorithm \"ES257\"; expected RS256, RS384, RS512, PS256, PS384, PS512, \
         ES256, ES384, ES512, EdDSA (was ES256 meant?)",
    ),
    (
        "auth: {token: {realm: r, service: s, issuer: i, jwks: j, autoredirect: true, autoredirectpath: x}}",
        "auth.token.autoredirectpath: is \"x\"; expected a path that begins with /",
    ),
    (
        "auth: {anonymous: pull, token: {realm: r, service: s, issuer: i, jwks: j}}",
        "auth.token: stands beside auth.anonymous, which has no effect there; expected no auth.anonymous: the token's server \
         gives tokens to clients without a name, too",
    ),
    (
        "auth: ldap",
        "auth: there is no scheme \"ldap\"; expected htpasswd, token, or none for a registry that is open to everybody",
    ),
    (
        "auth: {htpaswd: {}}",
        "auth.htpaswd: there is no scheme \"htpaswd\"; expected htpasswd, token, or none for a registry that is open to \
         everybody (was htpasswd meant?)",
    ),
    ("auth: {anonymous: pull}", "auth.anonymous: stands without a scheme; expected auth.htpasswd beside it"),
    ("auth: {none: , token: {a: b}}", "auth: has two schemes, \"none\" and \"token\"; expected one"),
    (
        "http: {addr: localhost}",
        "http.addr: is \"localhost\"; expected host:port, such as 127.0.0.1:5000, or :5000 for all addresses of the machine",
    ),
    ("http: {net: unix}", "http.addr: is missing; expected the path of a socket, as http.net is unix"),
    ("http: {net: udp}", "http.net: is \"udp\"; expected one of tcp, unix"),
    (
        "http: {prefix: images//x}",
        "http.prefix: is \"images//x\"; expected a path such as /images/, of letters, digits, and - . _ ~",
    ),
    (
        "http: {host: registry.example.com}",
        "http.host: is \"registry.example.com\"; expected a URL such as https://registry.example.com",
    ),
    (
        "http: {host: 'https://a?b'}",
        "http.host: is \"https://a?b\"; expected a URL such as https://registry.example.com",
    ),
    (
        "http: {host: 'https://user@a'}",
        "http.host: is \"https://user@a\"; expected a URL such as https://registry.example.com",
    ),
    (
        "http: {host: 'https:///x'}",
        "http.host: is \"https:///x\"; expected a URL such as https://registry.example.com",
    ),
    (
        "http: {draintimeout: -1s}",
        "http.draintimeout: is \"-1s\"; expected a duration such as 10s, 5m or 168h",
    ),
    (
        "http: {headers: {'a b': [c]}}",
        "http.headers.a b: \"a b\" is not the name of a header; expected letters, digits and -",
    ),
    (
        "http: {headers: {a: [\"b\\nc\"]}}",
        "http.headers.a[0]: is \"b\\nc\"; expected the value of a header, in one line",
    ),
    (
        "http: {headers: {a: b, A: c}}",
        "http.headers.A: given twice; expected each header once, in whatever case",
    ),
    (
        "http: {tls: {certificate: c}}",
        "http.tls.key: is missing; expected the path of a PEM file, beside http.tls.certificate",
    ),
    (
        "http: {tls: {key: k}}",
        "http.tls.certificate: is missing; expected the path of a PEM file, beside http.tls.key",
    ),
    (
        "http: {tls: {certificate: c, key: k, selfsigned: true}}",
        "http.tls: has both a certificate and selfsigned; expected one of them",
    ),
    (
        "http: {tls: {selfsigned: true, clientauth: require-and-verify-client-cert}}",
        "http.tls.clientauth: has no effect without http.tls.clientcas; expected http.tls.clientcas beside it",
    ),
    (
        "http: {tls: {clientcas: [a]}}",
        "http.tls.clientcas: is given without a certificate; expected http.tls.certificate and http.tls.key",
    ),
    ("http: {tls: {minimumtls: ssl3}}", "http.tls.minimumtls: is \"ssl3\"; expected one of tls1.2, tls1.3"),
    (
        "http: {tls: {ciphersuites: [BEST]}}",
        "http.tls.ciphersuites[0]: is \"BEST\"; expected the name of a cipher suite, such as \
         TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        "http: {tls: {letsencrypt: {email: a}}}",
        "http.tls.letsencrypt: getting certificates by ACME is not in this version; expected http.tls.certificate and \
         http.tls.key, or http.tls.selfsigned: true",
    ),
    (
        "http: {limits: {manifestbytes: 5MiB}}",
        "http.limits.manifestbytes: is \"5MiB\"; expected bytes, from 1024 to 4194304, or such as 64KiB or 4MiB",
    ),
    (
        "http: {limits: {connections: 0}}",
        "http.limits.connections: is \"0\"; expected a whole number from 1 to 1000000",
    ),
    (
        "health: {file: [{}]}",
        "health.file[0].file: is missing; expected the path of a file whose existence means unwell",
    ),
    (
        "health: {http: [{uri: 'ftp://a'}]}",
        "health.http[0].uri: is \"ftp://a\"; expected a URL that begins with http:// or https:// and has no part after #",
    ),
    (
        "proxy: {remoteurl: 'https://registry-1.docker.io', password: hunter2}",
        "proxy.remoteurl: a pull-through cache is not in this version; expected no section `proxy`; pull-through caches come \
         in a later version",
    ),
    (
        "middleware: {registry: [{name: x}]}",
        "middleware.registry: middleware is not in this version; expected no such section",
    ),
    (
        "middleware: {repository: [{name: x}], storage: [{name: cloudfront}]}",
        "middleware.repository: middleware is not in this version; expected no such section",
    ),
    (
        "storage: {s3: {bucket: b, region: r, regionendpoint: 'http://10.0.0.1:9000', forcepathstyle: false}}",
        "storage.s3.forcepathstyle: is false, but the regionendpoint is an address; expected true: no name can stand in \
         front of an address",
    ),
    (
        "storage: {s3: {bucket: a/b, region: r}}",
        "storage.s3.bucket: is \"a/b\"; expected the bucket's name, of letters, digits, and . _ -",
    ),
    (
        "storage: {s3: {bucket: b, regionendpoint: 'http://a b'}}",
        "storage.s3.regionendpoint: is \"http://a b\"; expected a URL such as https://store.example.com:9000",
    ),
    (
        "storage: {s3: {bucket: b, region: r, accesskey: \"hunter2\\n3\", secretkey: s}}",
        "storage.s3.accesskey: has characters that can not stand in a header; expected visible ASCII characters",
    ),
    (
        "storage: {gcs: {bucket: b, endpoint: 'gs://b'}}",
        "storage.gcs.endpoint: is \"gs://b\"; expected a URL such as https://store.example.com:9000",
    ),
    (
        "storage: {azure: {accountname: a, container: 'c d', accountkey: k}}",
        "storage.azure.container: is \"c d\"; expected the container's name, of letters, digits, and . _ -",
    ),
    ("health: {tcp: [{timeout: 1s}]}", "health.tcp[0].addr: is missing; expected host:port"),
    ("health: {file: {file: a}}", "health.file: is a section; expected a list"),
    (
        "validation: {manifests: {indexes: {platforms: some}}}",
        "validation.manifests.indexes.platforms: is \"some\"; expected one of all, none, list",
    ),
    (
        "validation: {manifests: {indexes: {platforms: list, platformlist: [{os: linux}]}}}",
        "validation.manifests.indexes.platformlist[0].architecture: is missing; expected an architecture such as amd64",
    ),
    ("tags: {maxtags: -1}", "tags.maxtags: is \"-1\"; expected a whole number from 0 to 1000000"),
    (
        "catalog: {maxentries: many}",
        "catalog.maxentries: is \"many\"; expected a whole number from 0 to 1000000",
    ),
];

#[test]
fn each_wrong_value_is_one_problem_with_its_key() {
    for (yaml, line) in WRONG {
        let yaml = match yaml.starts_with('{') {
            true => yaml.replacen('{', "{version: 0.1, ", 1),
            false => format!("version: 0.1\n{yaml}"),
        };
        match with(&yaml, &[]) {
            Ok(loaded) => panic!("{yaml}: accepted as {loaded:?}"),
            Err(problems) => assert_eq!(without_lines(&problems), *line, "{yaml}"),
        }
    }
}

/// Without the numbers of the file's lines, of which there is one or two here.
fn without_lines(problems: &Problems) -> String {
    problems.to_string().replace(" (line 1)", "").replace(" (line 2)", "")
}

#[test]
fn a_problem_names_the_line_of_its_value() {
    let yaml = "version: 0.1\nhttp:\n  # a comment\n  addr: nonsense\n  tls:\n    certificate: c\n";
    let text = with(yaml, &[]).unwrap_err().to_string();
    assert!(text.contains("http.addr (line 4): is \"nonsense\""), "{text}");
    assert!(text.contains("http.tls.key: is missing"), "{text}");
    let text = with(yaml, &[("REGISTRY_HTTP_ADDR", "other")]).unwrap_err().to_string();
    assert!(text.contains("http.addr (from REGISTRY_HTTP_ADDR): is \"other\""), "{text}");
}

#[test]
fn all_problems_come_at_once() {
    let sections: Vec<&str> = WRONG.iter().map(|(yaml, _)| *yaml).collect();
    let pick = |start: &str| *sections.iter().find(|yaml| yaml.starts_with(start)).unwrap();
    let yaml =
        ["log:", "storage:", "gc:", "http: {net: udp", "health:", "tags:", "catalog:"].map(pick).join("\n");
    let problems = with(&yaml, &[("REGISTRY_HTTP_ADDR", "nowhere")]).unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected = [
        "log.level",
        "storage.swift",
        "http.net",
        "http.addr",
        "gc.lease",
        "health.file[0].file",
        "catalog.maxentries",
        "tags.maxtags",
    ];
    assert_eq!(
        {
            let mut keys = keys.clone();
            keys.sort();
            keys
        },
        {
            let mut all = expected.to_vec();
            all.sort();
            all
        }
    );
    let from_environment = problems.iter().find(|problem| problem.key == "http.addr").unwrap();
    assert_eq!(from_environment.variable.as_deref(), Some("REGISTRY_HTTP_ADDR"));
    assert_eq!(problems.to_string().lines().count(), expected.len());
}

#[test]
fn the_version_is_0_1_and_need_not_be_said() {
    for (yaml, line) in [
        ("version: 0.2", "version: is \"0.2\"; expected 0.1"),
        ("version: 1", "version: is \"1\"; expected 0.1"),
        ("version: [0.1]", "version: is a list; expected 0.1"),
    ] {
        assert_eq!(without_lines(&with(yaml, &[]).unwrap_err()), line, "{yaml:?}");
    }
    for yaml in ["", "log: {level: info}", "version: 0.1", "version: '0.1'", "{\"version\": \"0.1\"}"] {
        assert!(with(yaml, &[]).is_ok(), "{yaml}");
    }
    assert!(with("", &[("REGISTRY_VERSION", "0.1")]).is_ok());
}

const TLS: &str = "tls: {certificate: c, key: k}";
const VERIFIED: &str = "tls: {certificate: c, key: k, clientcas: [ca]}";
const ASKED: &str = "tls: {certificate: c, key: k, clientcas: [ca], clientauth: request-client-cert}";
const USERS: &str = "auth: {htpasswd: {realm: r, path: p}}";

/// What is open: keys of `http`, others, and whether everybody may change everything, and whether others can listen.
const OPEN: &[(&str, &str, bool, bool)] = &[
    ("addr: 127.0.0.1:5000", "", false, false),
    ("addr: '[::1]:5000'", "", false, false),
    ("addr: localhost:5000", "", false, false),
    ("net: unix, addr: /run/registry.sock", "", false, false),
    ("addr: ':5000'", "", true, true),
    ("addr: '0.0.0.0:5000'", "", true, true),
    ("addr: '10.0.0.1:5000'", "", true, true),
    ("addr: 'registry:5000'", "", true, true),
    ("addr: ':5000', insecure: true", "", true, false),
    ("addr: ':5000'", "auth: none", false, true),
    ("addr: ':5000'", "auth: None", false, true),
    ("addr: ':5000'", USERS, false, true),
    ("addr: ':5000', insecure: true", "auth: none", false, false),
    ("addr: ':5000', insecure: true", "auth: {none: }", false, false),
    ("addr: ':5000', insecure: true", USERS, false, false),
    ("addr: ':5000', tls: {selfsigned: true}", USERS, false, false),
    ("addr: ':5000', tls: {selfsigned: false}", USERS, false, true),
    (TLS, "", false, false),
];

fn open_configurations() -> Vec<(String, bool, bool)> {
    let more = [
        (format!("addr: ':5000', {TLS}"), "", true, false),
        (format!("addr: ':5000', {TLS}"), USERS, false, false),
        (format!("addr: ':5000', {VERIFIED}"), "", false, false),
        (format!("addr: ':5000', {ASKED}"), "", true, false),
    ];
    let owned = |(http, auth, all, plain): &(&str, &'static str, bool, bool)| {
        ((*http).to_owned(), *auth, *all, *plain)
    };
    let yaml = |(http, auth, all, plain)| (format!("http: {{{http}}}\n{auth}"), all, plain);
    OPEN.iter().map(owned).chain(more).map(yaml).collect()
}

#[test]
fn what_is_open_to_others_is_said_in_one_line_with_the_keys_that_close_it() {
    for (yaml, all, plain) in open_configurations() {
        let loaded = with(&yaml, &[]).unwrap_or_else(|problems| panic!("{yaml}: {problems}"));
        let said = warnings(&loaded);
        assert_eq!(said.len(), usize::from(all || plain), "{yaml}: {said:?}");
        let Some(line) = said.first() else { continue };
        assert_eq!(loaded.warnings[0].level(), LogLevel::Warn);
        assert!(line.starts_with("http.addr: ") && line.lines().count() == 1, "{line}");
        for (word, is_said) in [
            ("everybody who reaches", all),
            ("auth.htpasswd", all),
            ("`auth: none`", all),
            ("others on the network", plain),
            ("http.tls.certificate", plain),
            ("`http.insecure: true`", plain),
        ] {
            assert_eq!(line.contains(word), is_said, "{word}: {yaml}: {line}");
        }
    }
    let loaded = with("", &[("REGISTRY_HTTP_ADDR", ":5000")]).unwrap();
    assert!(
        warnings(&loaded)[0]
            .starts_with("http.addr (from REGISTRY_HTTP_ADDR): everybody who reaches :5000 can")
    );
}

#[test]
fn strict_refuses_what_is_open_to_others() {
    for (yaml, all, plain) in open_configurations() {
        let problems = with(&format!("safety: strict\n{yaml}"), &[]);
        let found = problems.err().map_or(0, |problems| problems.iter().count());
        assert_eq!(found, usize::from(all) + usize::from(plain), "{yaml}");
    }
    let variables = [("REGISTRY_HTTP_ADDR", ":5000"), ("REGISTRY_SAFETY", "strict")];
    let problems = with("version: 0.1", &variables).unwrap_err();
    assert!(problems.iter().all(|problem| problem.variable.as_deref() == Some("REGISTRY_HTTP_ADDR")));
    for word in ["REGISTRY_HTTP_INSECURE=true", "REGISTRY_AUTH=none"] {
        assert!(problems.to_string().contains(word), "{problems}");
    }
    // What is wrong stays wrong, however open a registry may be.
    let wrong = with("http: {addr: ':5000', insecure: true}\nauth: {htpasswd: {}}", &[]).unwrap_err();
    assert_eq!(wrong.iter().count(), 2);
    assert_eq!(with("safety: lax", &[]).unwrap_err().iter().next().unwrap().key, "safety");
}

#[test]
fn with_users_and_an_https_host_tls_is_a_proxys() {
    let yaml = format!("http: {{addr: ':5000', host: 'https://registry.example.com'}}\n{USERS}");
    let loaded = with(&yaml, &[]).unwrap();
    let said = warnings(&loaded);
    assert!(said.len() == 1 && said[0].contains("TLS is left to the proxy"), "{said:?}");
    assert_eq!(loaded.warnings[0].level(), LogLevel::Info);
    // Without users, or with a host of plain HTTP, it is as open as ever.
    for yaml in [
        "http: {addr: ':5000', host: 'https://registry.example.com'}".to_owned(),
        yaml.replace("https:", "http:"),
    ] {
        assert_eq!(with(&yaml, &[]).unwrap().warnings[0].level(), LogLevel::Warn, "{yaml}");
    }
    assert!(with(&format!("safety: strict\n{yaml}"), &[]).is_err());
}

#[test]
fn a_debug_address_that_others_reach_is_said_or_refused() {
    for (debug, is_open) in [
        ("addr: ':5001'", true),
        ("addr: '0.0.0.0:5001', prometheus: {enabled: true}", true),
        ("addr: localhost:5001", false),
        ("addr: ':5001', insecure: true", false),
    ] {
        let yaml = format!("http: {{debug: {{{debug}}}}}");
        let loaded = with(&yaml, &[]).unwrap();
        let said = warnings(&loaded);
        assert_eq!(said.len(), usize::from(is_open), "{yaml}: {said:?}");
        assert!(
            said.iter().all(|line| line.starts_with("http.debug.addr: everybody who reaches")),
            "{said:?}"
        );
        assert_eq!(with(&format!("safety: strict\n{yaml}"), &[]).is_err(), is_open, "{yaml}");
    }
}

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
    let problems = with("", &[("REGISTRY_PROXY_REMOTEURL", "https://registry-1.docker.io")]).unwrap_err();
    assert!(
        problems
            .to_string()
            .starts_with("proxy.remoteurl (from REGISTRY_PROXY_REMOTEURL): a pull-through cache")
    );
}

#[test]
fn what_loses_nothing_is_of_less_importance() {
    let yaml = "storage: {inmemory: , cache: {blobdescriptor: redis}, tag: {concurrencylimit: 8}}
redis: {addr: a}\nhttp: {secret: s}\nloglevel: info\npolicy: {repository: {classes: [image]}}\ncolour: blue";
    let loaded = with(yaml, &[("REGISTRY_REDIS_DB", "0")]).unwrap();
    let level = |level| {
        let of_level = loaded.warnings.iter().filter(|warning| warning.level() == level);
        of_level
            .map(|warning| warning.to_string().split([':', ' ']).next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(level(LogLevel::Info), ["storage.cache", "storage.tag", "redis", "http.secret", "loglevel"]);
    assert_eq!(level(LogLevel::Warn), ["policy", "colour"]);
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
    let everything = || vec![String::new()];
    assert_eq!(read("{}").urls, UrlRules::default());
    assert_eq!(read("{enabled: false}").indexes, RequiredChildren::All);
    assert_eq!(
        read("{manifests: {urls: {deny: [a]}}}").urls,
        UrlRules { allow: everything(), deny: vec!["a".into()] }
    );
    assert_eq!(
        read("{manifests: {urls: {allow: [a]}}}").urls,
        UrlRules { allow: vec!["a".into()], deny: vec![] }
    );
    let disabled = read("{disabled: true, manifests: {urls: {deny: [a]}}}");
    assert_eq!(disabled.urls, UrlRules { allow: everything(), deny: vec![] });
    assert_eq!((disabled.indexes, disabled.image_layers_required), (RequiredChildren::None, true));
    let wrong = with("version: 0.1\nvalidation: {manifests: {urls: {allow: ['(']}}}", &[]).unwrap_err();
    assert_eq!(wrong.iter().next().unwrap().key, "validation.manifests.urls.allow[0]");
}

#[test]
fn whatever_is_written_nothing_panics() {
    for text in [
        "version: 0.1\nhttp: []\nstorage: []\nauth: []\nhealth: 1\nvalidation: x\nlog: y\ngc: z\nmetadata: [1]",
        "storage: {maintenance: [], delete: x, redirect: {disable: {}}}\nauth: {htpasswd: x, anonymous: []}",
        "[1, 2]",
        "text",
        "&a [*a]",
        "a\0HTTP_TLS_CLIENTCAS_0=x\0HEALTH_HTTP_0={\0STORAGE_0_1=2\0=\0HTTP",
        "storage: inmemory\0STORAGE_0=x\0AUTH_0_0=y\0HTTP_HEADERS_0_1_2=z\0LOG_FIELDS_A_B=c",
    ] {
        fuzz(text.as_bytes());
    }
}

/// Whole documents, and variables as `fuzz` takes them.
const SEEDS: [&str; 3] = [
    include_str!("../samples/secured.yml"),
    include_str!("../samples/everything_go.yml"),
    "version: 0.1\nstorage: inmemory\0HEALTH_HTTP_0_URI=http://a\0HTTP_TLS_CLIENTCAS_0=a\0STORAGE_S3_BUCKET=b\0AUTH=none",
];

proptest! {
    #[test]
    fn damaged_documents_are_read_or_refused(
        seed in 0..SEEDS.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), "[\\x00-\\x7f\u{e4}]{0,3}"), 1..8),
    ) {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (place, text) in damage {
            let start = place.index(bytes.len());
            let end = (start + text.len()).min(bytes.len());
            bytes.splice(start..end, text.bytes());
        }
        fuzz(&bytes);
    }
}
