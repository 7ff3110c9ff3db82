//! The table of keys, in the order of the Go registry's documentation; ours come last in their section.

use super::Key;
use super::Kind::{Anything, Choice, Growing, Map, Scalar, Scalars, Section, Sections};
use super::Standing::{Deprecated, NotActive, NotNeeded};

const fn key(name: &'static str, kind: super::Kind) -> Key {
    Key::new(name, kind)
}

const fn not_active(name: &'static str) -> Key {
    Key::new(name, Anything).standing(NotActive)
}

const fn scalar(name: &'static str) -> Key {
    Key::new(name, Scalar)
}

pub(crate) const ROOT: &[Key] = &[
    scalar("version"),
    key("log", Section(LOG)),
    scalar("loglevel").standing(Deprecated("log.level")),
    key("storage", Choice(STORAGE)),
    key("auth", Choice(AUTH)),
    key(
        "middleware",
        Section(&[
            key("registry", Anything),
            key("repository", Anything),
            key(
                "storage",
                Sections(&[scalar("name"), scalar("disabled"), key("options", Section(STORAGE_MIDDLEWARE))]),
            ),
        ]),
    ),
    key("http", Section(HTTP)),
    key("notifications", Section(NOTIFICATIONS)),
    key("redis", Anything).standing(NotNeeded("there is no cache that would lie in it")),
    key("health", Section(HEALTH)),
    key("proxy", Section(PROXY)),
    key("validation", Section(VALIDATION)),
    key("catalog", Section(&[scalar("maxentries")])),
    key(
        "tags",
        Section(&[
            scalar("maxtags"),
            key("immutable", Sections(&[key("repositories", Scalars), key("tags", Scalars)])),
        ]),
    ),
    key("policy", Section(&[key("repository", Section(&[key("classes", Scalars)]))])),
    not_active("reporting"),
    not_active("compatibility"),
    key("metadata", Choice(METADATA)),
    key("gc", Growing(GC)),
    key("retention", Section(RETENTION)),
    key("quotas", Sections(&[scalar("prefix"), scalar("bytes"), scalar("held"), scalar("tags")])),
    scalar("safety"),
    key("outbound", Section(&[scalar("proxy"), key("allow", Scalars)])),
    key("secrets", Section(&[scalar("keyfile"), scalar("key")])),
    key("webhooks", Sections(WEBHOOK)),
    key("mirrors", Section(MIRRORS)),
];

const PROXY: &[Key] = &[
    scalar("remoteurl"),
    scalar("username"),
    scalar("password"),
    scalar("token"),
    key("exec", Section(EXEC)),
    scalar("ttl"),
];

const EXEC: &[Key] = &[scalar("command"), scalar("lifetime")];

const MIRRORS: &[Key] = &[
    scalar("listen"),
    scalar("host"),
    scalar("spool"),
    scalar("freshness"),
    scalar("keepdeleted"),
    scalar("ttl"),
    scalar("offline"),
    key("upstreams", Sections(UPSTREAM)),
];

const UPSTREAM: &[Key] = &[
    scalar("name"),
    scalar("url"),
    scalar("username"),
    scalar("password"),
    scalar("token"),
    key("exec", Section(EXEC)),
    key("allow", Scalars),
    key("deny", Scalars),
    scalar("concurrency"),
];

const STORAGE_MIDDLEWARE: &[Key] = &[
    scalar("baseurl"),
    scalar("scheme"),
    scalar("host"),
    scalar("trimpathprefix"),
    scalar("privatekey"),
    scalar("keypairid"),
    scalar("duration"),
    scalar("ipfilteredby"),
    scalar("awsregion").standing(NotNeeded("ipfilteredby is not active in this version")),
    scalar("iprangesurl").standing(NotNeeded("ipfilteredby is not active in this version")),
    scalar("updatefrequency").standing(NotNeeded("ipfilteredby is not active in this version")),
    scalar("updatefrenquency").standing(NotNeeded("ipfilteredby is not active in this version")),
];

const NOTIFICATIONS: &[Key] = &[
    key("events", Section(&[scalar("includereferences")])).also("EVENTCONFIG"),
    key("endpoints", Sections(ENDPOINT)),
];

const ENDPOINT: &[Key] = &[
    scalar("name"),
    scalar("disabled"),
    scalar("url"),
    key("headers", Map),
    scalar("timeout"),
    scalar("threshold"),
    scalar("backoff"),
    key("ignoredmediatypes", Scalars),
    key("ignore", Section(&[key("mediatypes", Scalars), key("actions", Scalars)])),
];

const WEBHOOK: &[Key] = &[
    scalar("name"),
    scalar("url"),
    scalar("format"),
    key("events", Scalars),
    key("repositories", Scalars),
    key("tags", Scalars),
    scalar("secret"),
    scalar("secretfile"),
    key("headers", Map),
    scalar("timeout"),
    scalar("disabled"),
];

const GC: &[Key] = &[
    scalar("enabled"),
    scalar("interval"),
    scalar("lease"),
    scalar("grace"),
    scalar("undelete_window"),
    scalar("untagged"),
    key("rate", Section(&[scalar("candidates"), scalar("deletes")])),
    key("sweep", Section(&[scalar("interval"), scalar("age"), scalar("delete")])),
];

const RETENTION: &[Key] =
    &[scalar("enabled"), scalar("approved"), scalar("interval"), key("policies", Sections(POLICY))];

pub(crate) const POLICY: &[Key] = &[key("repositories", Scalars), key("rules", Sections(RULE))];

pub(crate) const RULE: &[Key] = &[
    scalar("name"),
    scalar("action"),
    scalar("state"),
    key("tags", Scalars),
    key("except", Scalars),
    scalar("semver"),
    scalar("older_than"),
    scalar("newer_than"),
    scalar("since"),
    scalar("newest"),
    scalar("beyond"),
    scalar("by"),
];

const JOURNAL: &[Key] = &[scalar("enabled"), key("snapshot", Section(&[scalar("bytes"), scalar("entries")]))];

const LOG: &[Key] = &[
    scalar("level"),
    scalar("formatter"),
    key("fields", Map),
    key("accesslog", Section(&[scalar("disabled")])),
    not_active("reportcaller"),
    not_active("hooks"),
];

const STORAGE: &[Key] = &[
    key("filesystem", Section(FILESYSTEM)),
    key("inmemory", Section(&[])),
    key("s3", Section(S3)),
    key("s3aws", Section(S3)),
    key("gcs", Section(GCS)),
    key("azure", Section(AZURE)),
    key("swift", Anything),
    key("oss", Anything),
    key("maintenance", Section(MAINTENANCE)),
    key("cache", Anything).standing(NotNeeded("the database answers what the cache was for")),
    key("delete", Section(&[scalar("enabled")])),
    key(
        "redirect",
        Section(&[scalar("disable"), key("only", Scalars), key("except", Scalars), scalar("lifetime")]),
    ),
    scalar("import"),
    key("tag", Anything).standing(NotNeeded("tags are looked up in the database, not listed in the store")),
];

const METADATA: &[Key] = &[
    key("sqlite", Section(&[scalar("path"), key("journal", Section(JOURNAL))])),
    key("postgresql", Section(&[scalar("url"), key("pool", Section(POOL))])),
];

const POOL: &[Key] = &[scalar("size"), scalar("wait"), scalar("waiting")];

const FILESYSTEM: &[Key] = &[
    scalar("rootdirectory"),
    scalar("maxthreads").standing(NotNeeded("file access has bounds of its own")),
    scalar("durability"),
    scalar("reserve"),
];

const NO_COPIES: super::Standing = NotNeeded("nothing is copied, uploads go straight to their place");

const S3: &[Key] = &[
    scalar("accesskey"),
    scalar("secretkey"),
    scalar("region"),
    scalar("regionendpoint"),
    scalar("forcepathstyle"),
    scalar("bucket"),
    scalar("encrypt"),
    scalar("keyid"),
    scalar("secure"),
    scalar("skipverify"),
    scalar("v4auth"),
    scalar("chunksize"),
    scalar("multipartcopychunksize").standing(NO_COPIES),
    scalar("multipartcopymaxconcurrency").standing(NO_COPIES),
    scalar("multipartcopythresholdsize").standing(NO_COPIES),
    scalar("rootdirectory"),
    scalar("storageclass"),
    scalar("objectacl"),
    scalar("useragent"),
    scalar("usedualstack"),
    scalar("accelerate"),
    scalar("usefipsendpoint"),
    scalar("loglevel").standing(NotNeeded("`log.level` counts for everything")),
    scalar("redirectendpoint"),
    scalar("sessiontoken"),
    scalar("uploadmemory"),
];

const GCS: &[Key] = &[
    scalar("bucket"),
    scalar("keyfile"),
    key("credentials", Map),
    scalar("rootdirectory"),
    scalar("chunksize"),
    scalar("maxconcurrency").standing(NotNeeded("uploads are bounded by their memory")),
    scalar("useragent"),
    scalar("endpoint"),
    scalar("uploadmemory"),
];

const RETRIED: super::Standing = NotNeeded("requests are tried again at growing distances");

const AZURE: &[Key] = &[
    scalar("accountname"),
    scalar("accountkey"),
    scalar("container"),
    key("credentials", Section(&[scalar("type"), scalar("clientid"), scalar("tenantid"), scalar("secret")])),
    scalar("connectionstring").standing(NotNeeded("the Go registry does not use it either")),
    scalar("realm"),
    scalar("serviceurl"),
    scalar("rootdirectory"),
    scalar("max_retries").standing(RETRIED),
    scalar("retry_delay").standing(RETRIED),
    scalar("skipverify"),
    scalar("chunksize"),
    scalar("uploadmemory"),
];

const MAINTENANCE: &[Key] = &[
    key("uploadpurging", Section(&[scalar("enabled"), scalar("age"), scalar("interval"), scalar("dryrun")])),
    key("readonly", Section(&[scalar("enabled")])),
];

const AUTH: &[Key] = &[
    key("none", Section(&[])),
    key("silly", Section(&[scalar("realm"), scalar("service")])),
    key("token", Section(TOKEN)),
    key("htpasswd", Section(&[scalar("realm"), scalar("path")])),
    scalar("anonymous"),
];

const TOKEN: &[Key] = &[
    scalar("realm"),
    scalar("service"),
    scalar("issuer"),
    scalar("rootcertbundle"),
    scalar("jwks"),
    key("signingalgorithms", Scalars),
    scalar("autoredirect"),
    scalar("autoredirectpath"),
];

const HTTP: &[Key] = &[
    scalar("addr"),
    scalar("net"),
    scalar("prefix"),
    scalar("host"),
    scalar("relativeurls"),
    scalar("secret").standing(NotNeeded("what an upload's URL would have to prove is in the database")),
    scalar("draintimeout"),
    key("headers", Map),
    key("tls", Section(TLS)),
    key("debug", Section(DEBUG)),
    key("http2", Section(&[scalar("disabled")])),
    key("h2c", Section(&[scalar("enabled")])),
    scalar("insecure"),
    key("limits", Section(LIMITS)),
    key("hosts", Scalars),
    key("trustedproxies", Scalars),
    key("ratelimits", Section(&[key("address", Section(RATE_LIMIT)), key("user", Section(RATE_LIMIT))])),
];

const RATE_LIMIT: &[Key] = &[scalar("requests"), scalar("per"), scalar("burst")];

const TLS: &[Key] = &[
    scalar("certificate"),
    scalar("key"),
    key("clientcas", Scalars),
    scalar("clientauth"),
    scalar("minimumtls"),
    key("ciphersuites", Scalars),
    key(
        "letsencrypt",
        Section(&[
            scalar("cachefile"),
            scalar("email"),
            key("hosts", Scalars),
            scalar("directoryurl"),
            scalar("httpaddr"),
        ]),
    ),
    key("selfsigned", Section(&[key("hosts", Scalars), scalar("directory")])),
];

const DEBUG: &[Key] =
    &[scalar("addr"), key("prometheus", Section(&[scalar("enabled"), scalar("path")])), scalar("insecure")];

const LIMITS: &[Key] = &[
    scalar("headerbytes"),
    scalar("headertimeout"),
    scalar("idletimeout"),
    scalar("bodyidletimeout"),
    scalar("connections"),
    scalar("manifestbytes"),
    scalar("blobbytes"),
    scalar("chunkminbytes"),
    scalar("peraddress"),
    scalar("memory"),
];

const HEALTH: &[Key] = &[
    key("storagedriver", Section(&[scalar("enabled"), scalar("interval"), scalar("threshold")])),
    key("file", Sections(&[scalar("file"), scalar("interval"), scalar("threshold")])).also("FILECHECKERS"),
    key("http", Sections(HTTP_CHECK)).also("HTTPCHECKERS"),
    key("tcp", Sections(&[scalar("addr"), scalar("timeout"), scalar("interval"), scalar("threshold")]))
        .also("TCPCHECKERS"),
];

const HTTP_CHECK: &[Key] = &[
    scalar("uri"),
    key("headers", Map),
    scalar("timeout"),
    scalar("interval"),
    scalar("threshold"),
    scalar("statuscode"),
];

const VALIDATION: &[Key] = &[
    scalar("enabled").standing(Deprecated("validation.disabled")),
    scalar("disabled"),
    key(
        "manifests",
        Section(&[
            key("urls", Section(&[key("allow", Scalars), key("deny", Scalars)])),
            key("indexes", Section(&[scalar("platforms"), key("platformlist", Sections(PLATFORM))])),
            key("images", Section(&[scalar("layers")])),
        ]),
    ),
];

const PLATFORM: &[Key] = &[scalar("architecture"), scalar("os")];
