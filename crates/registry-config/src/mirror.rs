//! Other registries that are mirrored.

use std::path::PathBuf;
use std::time::Duration;

use registry_types::{Pattern, RepositoryName, Secret};

use crate::field::Field;
use crate::http::web_url;

/// How many upstreams there may be.
pub const UPSTREAMS_MAX: usize = 100;

/// What `registry-mirror` mirrors that is told nothing.
const WELL_KNOWN: [(&str, &str); 7] = [
    ("docker.io", DOCKER_HUB),
    ("ghcr.io", "https://ghcr.io"),
    ("quay.io", "https://quay.io"),
    ("registry.k8s.io", "https://registry.k8s.io"),
    ("gcr.io", "https://gcr.io"),
    ("mcr.microsoft.com", "https://mcr.microsoft.com"),
    ("public.ecr.aws", "https://public.ecr.aws"),
];

const DOCKER_HUB: &str = "https://registry-1.docker.io";

const HOUR: Duration = Duration::from_secs(60 * 60);
const FRESHNESS: Duration = Duration::from_secs(60);
const KEEP_DELETED: Duration = Duration::from_secs(24 * 60 * 60);
const CONCURRENCY: u64 = 32;
const SPOOL_BYTES: u64 = 10 << 30;

/// Other registries that are mirrored. Keys `mirrors` and `proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrors {
    /// The registries.
    pub upstreams: Vec<Upstream>,
    /// The name of the one that is meant where a request names none: that of `proxy.remoteurl`.
    pub default_upstream: Option<String>,
    /// How long a tag is served before upstream is asked again; 1 minute by default. Key `freshness`.
    pub freshness: Duration,
    /// How long a tag stays that upstream has deleted; 1 day by default. Key `keepdeleted`.
    pub keep_deleted: Duration,
    /// How long an image stays that nothing pulls; for ever if none. Keys `proxy.ttl`, where a week is the default, and `mirrors.ttl`.
    pub ttl: Option<Duration>,
    /// Whether upstreams are never asked. Key `offline`.
    pub offline: bool,
    /// How many bytes of blobs lie in the folder for temporary files while they are fetched into an object store; 10 GiB by default.
    /// Key `spool`.
    pub spool_bytes: u64,
}

/// A registry that is mirrored. Keys `mirrors.upstreams[]` and `proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What it is called here: the first part of the names of its repositories, and the value of `ns`.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What it is shown.
    pub login: Login,
    /// Which of its repositories are mirrored; all if there are none.
    pub allow: Vec<Pattern>,
    /// Which are not.
    pub deny: Vec<Pattern>,
    /// How many requests to it run at once; 32 by default.
    pub concurrency: usize,
}

/// What an upstream is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Nothing.
    None,
    /// A user and a password. Keys `username` and `password`.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// An identity token. Key `token`.
    Token(Secret),
    /// What a program answers. Key `exec`.
    Exec {
        /// The program.
        command: PathBuf,
        /// How long its answer counts; for ever if none.
        lifetime: Option<Duration>,
    },
}

impl Mirrors {
    /// Those of `mirrors` and that of `proxy`; nothing if there is neither.
    pub(crate) fn read(root: &Field<'_>) -> Option<Mirrors> {
        let (mirrors, proxy) = (root.get("mirrors"), root.get("proxy"));
        refuse_absent(&mirrors);
        let items = mirrors.get("upstreams");
        let mut upstreams: Vec<Upstream> = items.items().iter().filter_map(upstream).collect();
        if upstreams.len() > UPSTREAMS_MAX {
            items.problem(format!("has {} upstreams", upstreams.len()), format!("at most {UPSTREAMS_MAX}"));
        }
        let of_proxy = self::proxy(&proxy);
        let default_upstream = of_proxy.as_ref().map(|upstream| upstream.name.clone());
        upstreams.extend(of_proxy);
        for (index, upstream) in upstreams.iter().enumerate() {
            if upstreams[..index].iter().any(|known| known.name == upstream.name) {
                items.problem(format!("two upstreams are named {}", upstream.name), "a name for each");
            }
        }
        let ttl_of_proxy = proxy.get("ttl").duration(7 * 24 * HOUR, Duration::ZERO);
        let ttl = mirrors.get("ttl").duration(Duration::ZERO, Duration::ZERO);
        let ttl = if default_upstream.is_some() && !mirrors.get("ttl").is_set() { ttl_of_proxy } else { ttl };
        let read = Mirrors {
            default_upstream,
            freshness: mirrors.get("freshness").duration(FRESHNESS, Duration::ZERO),
            keep_deleted: mirrors.get("keepdeleted").duration(KEEP_DELETED, Duration::ZERO),
            ttl: (!ttl.is_zero()).then_some(ttl),
            offline: mirrors.get("offline").flag(false),
            spool_bytes: mirrors.get("spool").size(SPOOL_BYTES, 0..=1 << 50),
            upstreams,
        };
        (!read.upstreams.is_empty()).then_some(read)
    }

    /// The registries that most people pull from, by `ns` and by prefix.
    pub(crate) fn well_known() -> Mirrors {
        let upstream = |(name, url): &(&str, &str)| Upstream {
            name: (*name).to_owned(),
            url: (*url).to_owned(),
            login: Login::None,
            allow: Vec::new(),
            deny: Vec::new(),
            concurrency: CONCURRENCY as usize,
        };
        Mirrors {
            upstreams: WELL_KNOWN.iter().map(upstream).collect(),
            default_upstream: None,
            freshness: FRESHNESS,
            keep_deleted: KEEP_DELETED,
            ttl: None,
            offline: false,
            spool_bytes: SPOOL_BYTES,
        }
    }
}

/// What this version does not have must not look as if it were there.
fn refuse_absent(mirrors: &Field<'_>) {
    for name in ["listen", "host"] {
        let key = mirrors.get(name);
        if key.is_set() {
            let expected = "a `registry-mirror` beside this registry, with an address of its own";
            key.problem("is not in this version", expected);
        }
    }
}

/// That of the Go registry.
fn proxy(proxy: &Field<'_>) -> Option<Upstream> {
    let login = login(proxy);
    let url = web_url(&proxy.get("remoteurl"), "a URL such as https://registry-1.docker.io")?;
    let name = name_of(&url)?;
    let concurrency = CONCURRENCY as usize;
    Some(Upstream { name, url, login, allow: Vec::new(), deny: Vec::new(), concurrency })
}

fn upstream(field: &Field<'_>) -> Option<Upstream> {
    let at = field.get("url");
    let url =
        at.required("the URL of the registry").and_then(|_| web_url(&at, "a URL such as https://ghcr.io"));
    let expected = "the first part of a repository's name, such as ghcr.io";
    let is_name = |text: &str| !text.contains('/') && text.parse::<RepositoryName>().is_ok();
    let named = field.get("name").parse(expected, |text| is_name(text).then(|| text.to_owned()));
    let concurrency = field.get("concurrency").integer(CONCURRENCY, 1..=1000);
    let patterns = |key: &str| -> Vec<Pattern> {
        let expected = "a pattern such as library/* or acme/**";
        let items = field.get(key);
        items.items().iter().filter_map(|item| item.parse(expected, |text| text.parse().ok())).collect()
    };
    let (allow, deny, login) = (patterns("allow"), patterns("deny"), login(field));
    let url = url?;
    let name = named.or_else(|| name_of(&url))?;
    Some(Upstream { name, login, allow, deny, concurrency: usize::try_from(concurrency).unwrap_or(1), url })
}

fn login(field: &Field<'_>) -> Login {
    let (username, password) = (field.get("username").text(), field.get("password").text());
    let token = field.get("token").text().filter(|token| !token.is_empty());
    let exec = field.get("exec");
    let command = exec.get("command").path();
    let lifetime = exec.get("lifetime").duration(Duration::ZERO, Duration::ZERO);
    // Zero is for each request with the Go registry, and an answer for ever where there is nothing.
    let lifetime = exec.get("lifetime").is_set().then_some(lifetime);
    match (username.filter(|name| !name.is_empty()), token, command) {
        (None, None, None) => Login::None,
        (Some(username), None, None) => {
            Login::Password { username, password: Secret::new(password.unwrap_or_default()) }
        }
        (None, Some(token), None) => Login::Token(Secret::new(token)),
        (None, None, Some(command)) => Login::Exec { command, lifetime },
        _ => {
            field.problem("has several kinds of credentials", "username and password, or token, or exec");
            Login::None
        }
    }
}

/// What an upstream is called that has no name: its host, and its port after a dash. Docker Hub has the name that images have there.
fn name_of(url: &str) -> Option<String> {
    if url == DOCKER_HUB {
        return Some("docker.io".to_owned());
    }
    let authority = url.split_once("://")?.1.split('/').next()?;
    Some(authority.to_ascii_lowercase().replace(['[', ']'], "").replace("::", "0").replace(':', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Problems, parse};

    fn config(yaml: &str) -> Result<Config, Problems> {
        parse(&format!("version: 0.1\n{yaml}"), std::iter::empty()).map(|loaded| loaded.config)
    }

    #[test]
    fn the_go_registrys_section_is_one_upstream_for_everything() {
        let proxy = "proxy: {remoteurl: 'https://registry-1.docker.io/', username: ada, password: x}";
        let mirrors = config(proxy).unwrap().mirrors.unwrap();
        assert_eq!(mirrors.default_upstream.as_deref(), Some("docker.io"));
        assert_eq!(mirrors.ttl, Some(168 * HOUR));
        assert_eq!(mirrors.upstreams[0].url, "https://registry-1.docker.io");
        assert!(matches!(&mirrors.upstreams[0].login, Login::Password { username, .. } if username == "ada"));
        assert_eq!(config("proxy: {remoteurl: ''}").unwrap().mirrors, None);
        let other = config("proxy: {remoteurl: 'http://10.0.0.1:5000', ttl: 0}").unwrap().mirrors.unwrap();
        assert_eq!((other.default_upstream.as_deref(), other.ttl), (Some("10.0.0.1-5000"), None));
    }

    #[test]
    fn upstreams_are_read() {
        let text = "mirrors: {freshness: 5m, offline: true, upstreams: [{url: 'https://ghcr.io', token: t, deny: ['evil/**']}, \
                    {name: hub, url: 'http://h:1', exec: {command: /bin/helper, lifetime: 1h}}]}";
        let mirrors = config(text).unwrap().mirrors.unwrap();
        assert_eq!((mirrors.freshness, mirrors.offline), (Duration::from_secs(300), true));
        assert_eq!(mirrors.upstreams[0].name, "ghcr.io");
        assert!(matches!(mirrors.upstreams[0].login, Login::Token(_)));
        assert!(matches!(mirrors.upstreams[1].login, Login::Exec { .. }));
        for (wrong, key) in [
            ("mirrors: {listen: ':1'}", "mirrors.listen"),
            ("mirrors: {upstreams: [{name: a}]}", "mirrors.upstreams[0].url"),
            ("mirrors: {upstreams: [{name: A/b, url: 'https://a.example'}]}", "mirrors.upstreams[0].name"),
            ("mirrors: {upstreams: [{url: 'https://a.b', username: u, token: t}]}", "mirrors.upstreams[0]"),
            ("mirrors: {upstreams: [{url: 'https://a.b'}, {url: 'https://a.b'}]}", "mirrors.upstreams"),
        ] {
            let problems = config(wrong).unwrap_err();
            assert!(problems.iter().any(|problem| problem.key == key), "{wrong}: {problems}");
        }
    }

    #[test]
    fn the_mirror_needs_no_configuration() {
        let environment = || [("HOME".to_owned(), "/home/ada".to_owned())].into_iter();
        let config = crate::load_mirror(None, environment()).unwrap().config;
        let upstreams = config.mirrors.unwrap().upstreams;
        assert_eq!((upstreams.len(), upstreams[0].name.as_str()), (7, "docker.io"));
        assert_eq!(
            config.http.listen,
            crate::Listen::Tcp(crate::TcpAddress::parse("127.0.0.1:5001").unwrap())
        );
        let root = config.storage.driver.folder().unwrap();
        assert!(root.ends_with("registry-mirror") && config.storage.read_only);
    }
}
