//! What the way to another machine gives away.

use registry_config::{Driver, Storage};

/// What others on the way to the object store could do, in a sentence for each reason.
pub(crate) fn warnings(storage: &Storage) -> Vec<String> {
    let ways = match &storage.driver {
        Driver::S3(s3) => {
            let endpoint = s3.endpoint.as_deref();
            // An endpoint without a scheme follows `secure`.
            let is_plain = endpoint.map_or(!s3.is_secure, |endpoint| is_plain(endpoint, !s3.is_secure));
            [
                is_plain.then_some((
                    endpoint,
                    "storage.s3: the endpoint is spoken to over plain HTTP",
                    PLAIN,
                )),
                s3.skip_verify.then_some((endpoint, "storage.s3.skipverify", UNVERIFIED)),
            ]
        }
        Driver::Gcs(gcs) => {
            let endpoint = gcs.endpoint.as_deref();
            let is_plain = endpoint.is_some_and(|endpoint| is_plain(endpoint, false));
            [is_plain.then_some((endpoint, "storage.gcs.endpoint is plain HTTP", PLAIN)), None]
        }
        Driver::Azure(azure) => {
            let endpoint = azure.endpoint.as_deref();
            let is_plain = endpoint.is_some_and(|endpoint| is_plain(endpoint, false));
            [
                is_plain.then_some((endpoint, "storage.azure.serviceurl is plain HTTP", PLAIN)),
                azure.skip_verify.then_some((endpoint, "storage.azure.skipverify", UNVERIFIED)),
            ]
        }
        Driver::Filesystem { .. } | Driver::InMemory => [None, None],
    };
    let leaves = |endpoint: Option<&str>| !endpoint.is_some_and(is_loopback);
    let told = |(_, what, risk): (_, &str, &str)| format!("{what}: {risk}");
    ways.into_iter().flatten().filter(|(endpoint, ..)| leaves(*endpoint)).map(told).collect()
}

const PLAIN: &str =
    "others on the way to the store can read and change images, and use the signatures that they see";

const UNVERIFIED: &str =
    "the store may be whatever answers, and others on the way can read and change images";

fn is_plain(endpoint: &str, otherwise: bool) -> bool {
    match endpoint.split_once("://") {
        Some((scheme, _)) => scheme.eq_ignore_ascii_case("http"),
        None => otherwise,
    }
}

/// Whether what is sent there stays on the machine. Names but `localhost` may lead anywhere.
fn is_loopback(endpoint: &str) -> bool {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(host) => host.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_loopback = |address: std::net::IpAddr| address.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings_of(storage: &str) -> Vec<String> {
        let text = format!("version: 0.1\nmetadata: {{sqlite: {{path: /db}}}}\nstorage: {storage}\n");
        let loaded = registry_config::parse(&text, std::iter::empty()).unwrap();
        warnings(&loaded.config.storage)
    }

    #[test]
    fn what_leaves_the_machine_unprotected_is_warned_about() {
        let s3 = |more: &str| format!("{{s3: {{bucket: b, region: r, accesskey: a, secretkey: s, {more}}}}}");
        let azure =
            |more: &str| format!("{{azure: {{accountname: a, accountkey: a2V5, container: c, {more}}}}}");
        for (storage, expected) in [
            (s3(""), 0),
            (s3("regionendpoint: 'https://minio:9000'"), 0),
            (s3("regionendpoint: 'http://minio:9000'"), 1),
            (s3("regionendpoint: 'http://127.0.0.1:9000'"), 0),
            (s3("regionendpoint: 'http://localhost:9000/'"), 0),
            (s3("regionendpoint: 'http://[::1]:9000'"), 0),
            (s3("regionendpoint: 'http://localhost.example.com'"), 1),
            (s3("secure: false"), 1),
            (s3("regionendpoint: 'minio:9000', secure: false"), 1),
            (s3("regionendpoint: '127.0.0.1:9000', secure: false, skipverify: true"), 0),
            (s3("skipverify: true"), 1),
            (s3("regionendpoint: 'https://minio', skipverify: true"), 1),
            (azure("serviceurl: 'http://azurite:10000/a'"), 1),
            (azure("serviceurl: 'http://127.0.0.1:10000/a'"), 0),
            (azure("serviceurl: 'https://azurite/a', skipverify: true"), 1),
            ("{gcs: {bucket: b, endpoint: 'http://fake-gcs'}}".to_owned(), 1),
            ("{gcs: {bucket: b}}".to_owned(), 0),
            ("{filesystem: {rootdirectory: /data}}".to_owned(), 0),
        ] {
            let found = warnings_of(&storage);
            assert_eq!(found.len(), expected, "{storage}: {found:?}");
        }
    }
}
