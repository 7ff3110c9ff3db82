//! What is open to others, and what a strict configuration says of it.

use super::*;

const TLS: &str = "tls: {certificate: c, key: k}";

const VERIFIED: &str = "tls: {certificate: c, key: k, clientcas: [ca]}";

const ASKED: &str = "tls: {certificate: c, key: k, clientcas: [ca], clientauth: request-client-cert}";

const USERS: &str = "auth: {htpasswd: {realm: r, path: p}}";

/// What is open: keys of `http`, others, and whether every client may change everything, and whether others can listen.
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
