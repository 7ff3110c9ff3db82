use std::path::PathBuf;

use registry_types::{AzureCredentials, GcsCredentials, S3Credentials, S3Encryption, Secret};

use crate::field::Field;
use crate::http::{host_of, is_web_url};

const MIB: u64 = 1024 * 1024;

/// The least that S3 takes for a part.
const CHUNK_BYTES_MIN: u64 = 5 * MIB;
/// Longer than any name of a bucket, an account or a region.
const NAME_BYTES_MAX: usize = 255;
const CHUNK_BYTES_DEFAULT: u64 = 16 * MIB;
const CHUNK_BYTES_MAX: u64 = 1024 * MIB;
const UPLOAD_MEMORY_BYTES_DEFAULT: u64 = 48 * MIB;
const UPLOAD_MEMORY_BYTES_MAX: u64 = 1024 * 1024 * MIB;

/// What all object stores have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The prefix below which everything lies. Key `rootdirectory`.
    pub root: String,
    /// How large a part of an upload is; 16 MiB by default. Key `chunksize`.
    pub chunk_bytes: u64,
    /// How much of uploads may be in memory, for all together; 48 MiB by default. Key `uploadmemory`.
    pub upload_memory_bytes: u64,
    /// The folder for what can not be in a bucket: the database, unless `metadata.sqlite.path` says otherwise.
    pub folder: PathBuf,
}

/// Bytes in S3. Key `storage.s3`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct S3 {
    pub bucket: String,
    pub region: Option<String>,
    /// Key `regionendpoint`, or what `accelerate`, `usedualstack` and `usefipsendpoint` come to.
    pub endpoint: Option<String>,
    /// Key `forcepathstyle`; by default whether the endpoint is another service's than Amazon's.
    pub path_style: bool,
    /// Keys `accesskey`, `secretkey` and `sessiontoken`.
    pub credentials: Option<S3Credentials>,
    /// Keys `encrypt` and `keyid`.
    pub encryption: S3Encryption,
    /// Key `storageclass`; nothing for the bucket's own.
    pub storage_class: Option<String>,
    /// Key `secure`.
    pub is_secure: bool,
    pub skip_verify: bool,
    pub user_agent: Option<String>,
    pub redirect_endpoint: Option<String>,
    pub common: Bucket,
}

/// Bytes in Google Cloud Storage. Key `storage.gcs`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Gcs {
    pub bucket: String,
    /// Keys `keyfile` and `credentials`.
    pub credentials: GcsCredentials,
    pub endpoint: Option<String>,
    pub user_agent: Option<String>,
    pub common: Bucket,
}

/// Bytes in Azure Blob Storage. Key `storage.azure`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Azure {
    pub account: String,
    pub container: String,
    /// Keys `credentials.type`, `accountkey` and those of an application.
    pub credentials: AzureCredentials,
    /// Keys `serviceurl` and `realm`.
    pub endpoint: Option<String>,
    pub skip_verify: bool,
    pub common: Bucket,
}

impl Bucket {
    fn read(field: &Field<'_>, default_root: Option<PathBuf>) -> Bucket {
        let sizes = CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX;
        let memory = UPLOAD_MEMORY_BYTES_DEFAULT;
        Bucket {
            root: field.get("rootdirectory").text().unwrap_or_default(),
            chunk_bytes: field.get("chunksize").size(CHUNK_BYTES_DEFAULT, sizes),
            upload_memory_bytes: field
                .get("uploadmemory")
                .size(memory, 2 * CHUNK_BYTES_MIN..=UPLOAD_MEMORY_BYTES_MAX),
            folder: default_root.unwrap_or_default(),
        }
    }
}

impl S3 {
    pub(crate) fn read(field: &Field<'_>, default_root: Option<PathBuf>) -> S3 {
        let region = name(&field.get("region"), "the name of a region, such as eu-central-1");
        let endpoint = endpoint(&field.get("regionendpoint"));
        if !field.get("region").is_set() && !field.get("regionendpoint").is_set() {
            field.get("region").problem("is missing", "the bucket's region, or a regionendpoint");
        }
        if field.get("v4auth").is_set() && !field.get("v4auth").flag(true) {
            field.get("v4auth").problem("is off", "true: requests are signed in version 4 only");
        }
        let amazon = amazon(field, region.as_deref());
        let style = field.get("forcepathstyle");
        let path_style = style.flag(endpoint.as_deref().is_some_and(|endpoint| !is_amazons(endpoint)));
        if !path_style && endpoint.as_deref().is_some_and(has_number_for_host) {
            style.problem(
                "is false, but the regionendpoint is an address",
                "true: no name can stand in front of an address",
            );
        }
        let acl = nonempty(&field.get("objectacl"));
        if acl.is_some_and(|acl| acl != "private") {
            field.get("objectacl").remark("objects get the bucket's own access list, whatever is said here");
        }
        S3 {
            bucket: bucket(&field.get("bucket")),
            path_style,
            endpoint: endpoint.or(amazon),
            region,
            credentials: s3_key(field),
            encryption: match (field.get("encrypt").flag(false), visible(&field.get("keyid"))) {
                (false, _) => S3Encryption::Bucket,
                (true, None) => S3Encryption::Managed,
                (true, Some(key)) => S3Encryption::Kms { key_id: key },
            },
            storage_class: storage_class(&field.get("storageclass")),
            is_secure: field.get("secure").flag(true),
            skip_verify: field.get("skipverify").flag(false),
            user_agent: visible(&field.get("useragent")),
            redirect_endpoint: self::endpoint(&field.get("redirectendpoint")),
            common: Bucket::read(field, default_root),
        }
    }
}

fn has_number_for_host(endpoint: &str) -> bool {
    let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") };
    host_of(&url).is_some_and(|host| host.parse::<std::net::IpAddr>().is_ok())
}

/// Whether an endpoint is Amazon's own, which has the bucket's name in the host's.
fn is_amazons(endpoint: &str) -> bool {
    let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") };
    let host = host_of(&url).unwrap_or_default().to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    ["amazonaws.com", "amazonaws.com.cn"].iter().any(|domain| {
        host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// One of Amazon's other names for its service, if one is asked for.
fn amazon(field: &Field<'_>, region: Option<&str>) -> Option<String> {
    let dual = if field.get("usedualstack").flag(false) { ".dualstack" } else { "" };
    let fips = field.get("usefipsendpoint").flag(false);
    let is_accelerated = field.get("accelerate").flag(false);
    let region = region?;
    if is_accelerated {
        return Some(format!("https://s3-accelerate{dual}.amazonaws.com"));
    }
    match (fips, dual) {
        (true, dual) => Some(format!("https://s3-fips{dual}.{region}.amazonaws.com")),
        (false, "") => None,
        (false, dual) => Some(format!("https://s3{dual}.{region}.amazonaws.com")),
    }
}

fn s3_key(field: &Field<'_>) -> Option<S3Credentials> {
    let (id, secret) = (field.get("accesskey"), field.get("secretkey"));
    let token = visible(&field.get("sessiontoken")).map(Secret::new);
    match (visible(&id), nonempty(&secret)) {
        (Some(key_id), Some(secret)) => Some(S3Credentials { key_id, secret: Secret::new(secret), token }),
        (None, None) => None,
        // It was refused for its characters.
        (None, Some(_)) if id.is_set() => None,
        (Some(_), None) => {
            secret.problem("is missing, and there is an accesskey", "both or neither");
            None
        }
        (None, Some(_)) => {
            id.problem("is missing, and there is a secretkey", "both or neither");
            None
        }
    }
}

/// The Go registry says `STANDARD` unless told otherwise; not every service that speaks S3 takes that.
fn storage_class(field: &Field<'_>) -> Option<String> {
    const CLASSES: [&str; 9] = [
        "NONE",
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "OUTPOSTS",
        "GLACIER_IR",
        "EXPRESS_ONEZONE",
    ];
    let class = field.choice(&CLASSES.map(|class| (class, class)))?;
    (!matches!(class, "NONE" | "STANDARD")).then(|| class.to_owned())
}

impl Gcs {
    pub(crate) fn read(field: &Field<'_>, default_root: Option<PathBuf>) -> Gcs {
        let key = field.get("credentials").entries();
        Gcs {
            bucket: bucket(&field.get("bucket")),
            credentials: match nonempty(&field.get("keyfile")) {
                Some(file) => GcsCredentials::File(file),
                None if key.is_empty() => GcsCredentials::Ambient,
                None => GcsCredentials::Key(Secret::new(json(&key))),
            },
            endpoint: url(&field.get("endpoint")),
            user_agent: visible(&field.get("useragent")),
            common: Bucket::read(field, default_root),
        }
    }
}

/// A map of texts as JSON.
fn json(entries: &[(&str, Field<'_>)]) -> String {
    let quote = |text: &str| {
        let mut quoted = String::from('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => quoted.push(c),
            }
        }
        quoted.push('"');
        quoted
    };
    let pairs = entries.iter().filter_map(|(name, field)| {
        let text = field.text()?;
        Some(format!("{}:{}", quote(name), quote(&text)))
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

impl Azure {
    pub(crate) fn read(field: &Field<'_>, default_root: Option<PathBuf>) -> Azure {
        let account_name = field.get("accountname");
        let account = account_name.required("the account's name").unwrap_or_default();
        name(&account_name, "the account's name");
        let realm = name(&field.get("realm"), "a domain such as core.windows.net");
        let of_realm = || realm.map(|realm| format!("https://{account}.blob.{realm}"));
        Azure {
            endpoint: url(&field.get("serviceurl")).or_else(of_realm),
            container: container(&field.get("container")),
            credentials: azure_credentials(field),
            skip_verify: field.get("skipverify").flag(false),
            common: Bucket::read(field, default_root),
            account,
        }
    }
}

/// Without a type, as in version 2 of the Go registry, a key of the account is what is meant.
fn azure_credentials(field: &Field<'_>) -> AzureCredentials {
    #[derive(Clone, Copy)]
    enum Type {
        SharedKey,
        ClientSecret,
        Default,
    }
    let credentials = field.get("credentials");
    let words = [
        ("shared_key", Type::SharedKey),
        ("client_secret", Type::ClientSecret),
        ("default_credentials", Type::Default),
    ];
    let [client, tenant, secret] = ["clientid", "tenantid", "secret"].map(|name| {
        let field = credentials.get(name);
        let text = if name == "secret" {
            nonempty(&field)
        } else {
            self::name(&field, "an id of letters, digits and -")
        };
        (field, text)
    });
    let needed = |(field, text): (Field<'_>, Option<String>), what: &str| {
        if text.is_none() {
            field.problem("is missing", what);
        }
        text.unwrap_or_default()
    };
    let key = field.get("accountkey");
    let default = if key.is_set() { Type::SharedKey } else { Type::Default };
    match credentials.get("type").choice(&words).unwrap_or(default) {
        Type::Default => AzureCredentials::Ambient,
        Type::SharedKey => {
            let key = key.required("the account's key").unwrap_or_default();
            AzureCredentials::SharedKey(Secret::new(key))
        }
        Type::ClientSecret => AzureCredentials::ClientSecret {
            client_id: needed(client, "the application's id"),
            tenant_id: needed(tenant, "the tenant's id"),
            secret: Secret::new(needed(secret, "the application's secret")),
        },
    }
}

/// A text; an empty one counts as none, as templates of others leave them.
fn nonempty(field: &Field<'_>) -> Option<String> {
    field.text().filter(|text| !text.is_empty())
}

/// The name of something that becomes a part of a host's name or of a path.
fn name(field: &Field<'_>, expected: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-$".contains(&byte);
    let is_name =
        |text: &str| text.len() <= NAME_BYTES_MAX && text.bytes().all(fits) && text != "." && text != "..";
    if !field.is_set() {
        return None;
    }
    field.parse(expected, |text| is_name(text).then(|| text.to_owned()))
}

fn bucket(field: &Field<'_>) -> String {
    if !field.is_set() {
        field.problem("is missing", "the bucket's name");
    }
    name(field, "the bucket's name, of letters, digits, and . _ -").unwrap_or_default()
}

fn container(field: &Field<'_>) -> String {
    if !field.is_set() {
        field.problem("is missing", "the container's name");
    }
    name(field, "the container's name, of letters, digits, and . _ -").unwrap_or_default()
}

/// A text for a header. It may be secret, so that a problem does not repeat it.
fn visible(field: &Field<'_>) -> Option<String> {
    let text = nonempty(field)?;
    if text.trim().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Some(text.trim().to_owned());
    }
    field.problem("has characters that can not stand in a header", "visible ASCII characters");
    None
}

fn url(field: &Field<'_>) -> Option<String> {
    let is_url = |text: &str| is_web_url(text).then(|| text.to_owned());
    field.parse("a URL such as https://store.example.com:9000", is_url)
}

/// As [`url`], perhaps without its scheme.
fn endpoint(field: &Field<'_>) -> Option<String> {
    let is_endpoint = |text: &str| {
        let has_scheme = text.contains("://");
        let url = if has_scheme { text.to_owned() } else { format!("https://{text}") };
        is_web_url(&url).then(|| text.to_owned())
    };
    field.parse("a URL such as https://store.example.com:9000", is_endpoint)
}
