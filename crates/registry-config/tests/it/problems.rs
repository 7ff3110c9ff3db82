//! What is wrong with a configuration, and how it is said.

mod accepted;
mod open;

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
        "http.tls: has more than one of certificate, selfsigned and letsencrypt; expected one of them",
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
        "http.tls.letsencrypt: names no host; expected http.tls.letsencrypt.hosts or http.host, for which certificates are ordered",
    ),
    (
        "http: {tls: {letsencrypt: {hosts: [a.example]}, selfsigned: true}}",
        "http.tls: has more than one of certificate, selfsigned and letsencrypt; expected one of them",
    ),
    (
        "http: {tls: {letsencrypt: {hosts: [a.example], httpaddr: nowhere}}}",
        "http.tls.letsencrypt.httpaddr: is \"nowhere\"; expected host:port, such as 127.0.0.1:5000, or :5000 for all addresses of the machine",
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
        "mirrors: {listen: ':5001'}",
        "mirrors.listen: is not in this version; expected a `registry-mirror` beside this registry, with an address of its own",
    ),
    (
        "middleware: {registry: [{name: x}]}",
        "middleware.registry: middleware is not in this version; expected no such section",
    ),
    (
        "middleware: {repository: [{name: x}], storage: [{name: cloudfront, disabled: true}]}",
        "middleware.repository: middleware is not in this version; expected no such section",
    ),
    (
        "middleware: {storage: [{name: rewrit}]}",
        "middleware.storage[0].name: there is no middleware \"rewrit\"; expected redirect, rewrite or cloudfront (was rewrite meant?)",
    ),
    (
        "middleware: {storage: [{name: redirect, options: {baseurl: 'ftp://a'}}]}",
        "middleware.storage[0].options.baseurl: is \"ftp://a\"; expected a URL such as https://cdn.example.com/",
    ),
    (
        "middleware: {storage: [{name: cloudfront, options: {baseurl: a.example, privatekey: k, keypairid: i, ipfilteredby: aws}}]}",
        "middleware.storage[0].options.ipfilteredby: this version does not look up which clients are inside Amazon's network; expected none; \
         `storage.redirect.except` names networks whose clients are not redirected",
    ),
    (
        "policy: {repository: {classes: [chart]}}",
        "policy.repository.classes[0]: is \"chart\"; expected one of image, plugin",
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
