use super::*;
use http::{HeaderValue, Request};

fn hosts_with(allowed_origins: &[HeaderValue], unknown: UnknownHosts) -> Hosts {
    Hosts::new(Some("https://hub.example/registry"), &["registry.lan".into()], allowed_origins, unknown)
}

fn parts(method: &str, pairs: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri("/v2/a/blobs/uploads/");
    for (name, value) in pairs {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn hosts_that_no_page_can_have_are_known() {
    let hosts = hosts_with(&[], UnknownHosts::Refuse);
    let cases = [
        ("127.0.0.1", true),
        ("127.0.0.1:5000", true),
        ("10.1.2.3", true),
        ("[::1]:5000", true),
        ("[2001:db8::1]", true),
        ("localhost", true),
        ("LOCALHOST:5000", true),
        ("localhost.:5000", true),
        ("registry.localhost:5000", true),
        ("registry.lan", true),
        ("Registry.LAN.:5000", true),
        ("hub.example", true),
        ("hub.example:8443", true),
        ("", true),
        ("evil.example", false),
        ("evil.example:5000", false),
        ("notlocalhost", false),
        ("localhost.evil.example", false),
        ("127.0.0.1.evil.example", false),
        ("registry.lan.evil.example", false),
        ("x@127.0.0.1", false),
        ("a b", false),
    ];
    for (host, is_known) in cases {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
        assert_eq!(hosts.check(None, &headers).is_ok(), is_known, "{host}");
        // HTTP/2, and the absolute form of HTTP/1.1, which goes before the header.
        if let Ok(authority) = host.parse::<Authority>() {
            let local = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
            assert_eq!(hosts.check(Some(&authority), &local).is_ok(), is_known, "{host}");
        }
    }
}

#[test]
fn hosts_that_are_not_known_are_named_once_and_not_without_end() {
    let hosts = hosts_with(&[], UnknownHosts::Warn);
    for number in 0..10 * NAMED_MAX {
        for _ in 0..2 {
            let host = HeaderValue::from_str(&format!("h{number}.example")).unwrap();
            hosts.check(None, &HeaderMap::from_iter([(header::HOST, host)])).unwrap();
        }
    }
    assert_eq!(hosts.named.lock().len(), NAMED_MAX);
}

#[test]
fn pages_change_nothing_but_where_they_are_the_registrys_own() {
    let allowing =
        |origin: &'static str| hosts_with(&[HeaderValue::from_static(origin)], UnknownHosts::Serve);
    let hosts = allowing("https://ui.example");
    let cases: [(&[(&str, &str)], bool); 27] = [
        (&[("host", "evil.example")], true),
        (&[("host", "127.0.0.1:5000")], true),
        (&[("host", "127.0.0.1:5000"), ("origin", "http://127.0.0.1:5000")], true),
        (&[("host", "127.0.0.1:5000"), ("origin", "http://127.0.0.1:8080")], false),
        (&[("host", "127.0.0.1:5000"), ("origin", "http://127.0.0.1")], false),
        (&[("host", "127.0.0.1:5000"), ("origin", "http://evil.example")], false),
        (&[("host", "127.0.0.1:5000"), ("origin", "null")], false),
        (&[("host", "127.0.0.1:5000"), ("origin", "")], false),
        (&[("host", "127.0.0.1:5000"), ("origin", "file://127.0.0.1:5000")], false),
        (&[("host", "127.0.0.1"), ("origin", "http://127.0.0.1"), ("origin", "http://evil.example")], false),
        // The page made its name lead here.
        (&[("host", "evil.example"), ("origin", "http://evil.example")], false),
        (&[("host", "evil.example"), ("sec-fetch-site", "same-origin")], false),
        (
            &[("host", "evil.example"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")],
            false,
        ),
        (&[("host", "evil.example"), ("sec-fetch-site", "none")], false),
        (&[("host", "127.0.0.1:5000"), ("sec-fetch-site", "same-origin")], true),
        (&[("host", "127.0.0.1:5000"), ("sec-fetch-site", "none")], true),
        (&[("host", "127.0.0.1:5000"), ("sec-fetch-site", "same-site")], false),
        (&[("host", "127.0.0.1:5000"), ("sec-fetch-site", "cross-site")], false),
        (&[("host", "127.0.0.1:5000"), ("sec-fetch-site", "")], false),
        (
            &[
                ("host", "127.0.0.1:5000"),
                ("origin", "http://127.0.0.1:5000"),
                ("sec-fetch-site", "cross-site"),
            ],
            false,
        ),
        (&[("host", "localhost:5000"), ("origin", "http://localhost:5000")], true),
        (&[("host", "registry.lan"), ("origin", "http://registry.lan")], true),
        (&[("host", "registry.lan"), ("origin", "https://registry.lan:443")], true),
        (&[("host", "registry.lan:443"), ("origin", "https://registry.lan")], true),
        // A proxy put another host into the request.
        (
            &[
                ("host", "127.0.0.1:5000"),
                ("origin", "https://hub.example"),
                ("sec-fetch-site", "same-origin"),
            ],
            true,
        ),
        (&[("host", "127.0.0.1:5000"), ("origin", "https://hub.example")], true),
        // What the configuration lets ask.
        (&[("host", "127.0.0.1"), ("origin", "https://ui.example"), ("sec-fetch-site", "cross-site")], true),
    ];
    for (pairs, is_allowed) in cases {
        for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
            let answer = hosts.check_page(&parts(method, pairs));
            assert_eq!(answer.is_ok(), is_allowed, "{method} {pairs:?}");
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(hosts.check_page(&parts(method, pairs)).is_ok(), "{method} {pairs:?}");
        }
    }
    let foreign = parts("POST", &[("host", "127.0.0.1"), ("origin", "http://evil.example")]);
    assert!(allowing("*").check_page(&foreign).is_ok());
    assert!(hosts_with(&[], UnknownHosts::Serve).check_page(&foreign).is_err());
}
