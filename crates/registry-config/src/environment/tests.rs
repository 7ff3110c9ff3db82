use super::*;

/// The tree that variables make of a document, with what was noted.
fn overlay(yaml: &str, variables: &[(&str, &str)]) -> (Node, Vec<String>, Vec<String>) {
    let mut tree = yaml::parse(yaml).unwrap();
    let (mut warnings, mut problems) = (Vec::new(), Vec::new());
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    apply(&mut tree, variables, &mut warnings, &mut problems);
    let text = |warning: &Warning| warning.to_string();
    (tree, warnings.iter().map(text).collect(), problems.iter().map(ToString::to_string).collect())
}

/// The tree in YAML's flow style, without nulls' and variables' marks.
fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "~".to_owned(),
        Value::Scalar(text) => text.clone(),
        Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Mapping(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(name, node)| format!("{name}: {}", show(node))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

#[test]
fn variables_set_what_they_name() {
    for (name, yaml, variables, expected) in [
        ("a new key", "", vec![("REGISTRY_HTTP_TLS_KEY", "/k")], "{http: {tls: {key: /k}}}"),
        ("an old key", "http: {addr: a}", vec![("REGISTRY_HTTP_ADDR", ":5000")], "{http: {addr: :5000}}"),
        (
            "the rest stays",
            "http: {addr: a, net: b}",
            vec![("REGISTRY_HTTP_NET", "c")],
            "{http: {addr: a, net: c}}",
        ),
        (
            "a section replaces, and is filled after",
            "storage: {inmemory: , delete: {enabled: true}}",
            vec![("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/r"), ("REGISTRY_STORAGE", "filesystem")],
            "{storage: {filesystem: {rootdirectory: /r}}}",
        ),
        (
            "a bare name in the file is a section too",
            "storage: filesystem",
            vec![("REGISTRY_STORAGE_DELETE_ENABLED", "true")],
            "{storage: {filesystem: ~, delete: {enabled: true}}}",
        ),
        (
            "htpasswd as everybody sets it",
            "",
            vec![
                ("REGISTRY_AUTH_HTPASSWD_REALM", "Registry Realm"),
                ("REGISTRY_AUTH_HTPASSWD_PATH", "/auth/htpasswd"),
                ("REGISTRY_AUTH", "htpasswd"),
            ],
            "{auth: {htpasswd: {path: /auth/htpasswd, realm: Registry Realm}}}",
        ),
        (
            "read only, in both forms",
            "",
            vec![("REGISTRY_STORAGE_MAINTENANCE_READONLY", r#"{"enabled":true}"#)],
            "{storage: {maintenance: {readonly: {enabled: true}}}}",
        ),
        (
            "read only, in both forms",
            "",
            vec![("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
            "{storage: {maintenance: {readonly: {enabled: true}}}}",
        ),
        (
            "an unknown driver, in lower case",
            "",
            vec![("REGISTRY_STORAGE_NEWSTORE_BUCKET", "b")],
            "{storage: {newstore: {bucket: b}}}",
        ),
        (
            "a map keeps the case of a key that is there",
            "http: {headers: {X-Frame-Options: [a]}}",
            vec![("REGISTRY_HTTP_HEADERS_X-FRAME-OPTIONS", "[b]"), ("REGISTRY_HTTP_HEADERS_X-Other", "[c]")],
            "{http: {headers: {X-Frame-Options: [b], x-other: [c]}}}",
        ),
        (
            "a key with an underscore",
            "",
            vec![("REGISTRY_GC_UNDELETE_WINDOW", "0s")],
            "{gc: {undelete_window: 0s}}",
        ),
        (
            "an empty value takes back",
            "http: {host: a}",
            vec![("REGISTRY_HTTP_HOST", "")],
            "{http: {host: ~}}",
        ),
        (
            "a place that is null",
            "http: {tls: }\nlog:",
            vec![("REGISTRY_HTTP_TLS_KEY", "k"), ("REGISTRY_LOG_LEVEL", "warn")],
            "{http: {tls: {key: k}}, log: {level: warn}}",
        ),
    ] {
        let (tree, warnings, problems) = overlay(yaml, &variables);
        assert_eq!(show(&tree), expected, "{name}");
        assert_eq!((warnings, problems), (vec![], vec![]), "{name}");
    }
}

#[test]
fn lists_take_an_index_or_the_whole() {
    let cas = "http: {tls: {clientcas: [a, b]}}";
    for (yaml, variables, expected) in [
        (cas, vec![("REGISTRY_HTTP_TLS_CLIENTCAS_1", "c")], "{http: {tls: {clientcas: [a, c]}}}"),
        (cas, vec![("REGISTRY_HTTP_TLS_CLIENTCAS_2", "c")], "{http: {tls: {clientcas: [a, b, c]}}}"),
        (cas, vec![("REGISTRY_HTTP_TLS_CLIENTCAS", "[c]")], "{http: {tls: {clientcas: [c]}}}"),
        (
            "",
            vec![("REGISTRY_HTTP_HEADERS_X_0", "*"), ("REGISTRY_HTTP_HEADERS_X_1", "b")],
            "{http: {headers: {x: [*, b]}}}",
        ),
        ("", vec![("REGISTRY_HTTP_TLS_CLIENTCAS_0", "c")], "{http: {tls: {clientcas: [c]}}}"),
        (
            "",
            vec![("REGISTRY_HEALTH_TCP_0_ADDR", "a:1"), ("REGISTRY_HEALTH_TCP_0_TIMEOUT", "1s")],
            "{health: {tcp: [{addr: a:1, timeout: 1s}]}}",
        ),
        ("", vec![("REGISTRY_HEALTH_TCPCHECKERS_0_ADDR", "a:1")], "{health: {tcp: [{addr: a:1}]}}"),
        ("", vec![("REGISTRY_HEALTH_HTTPCHECKERS_0_URI", "u")], "{health: {http: [{uri: u}]}}"),
        (
            "",
            vec![("REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES", "true")],
            "{notifications: {events: {includereferences: true}}}",
        ),
        ("", vec![("REGISTRY_HEALTH_FILECHECKERS_0_FILE", "f")], "{health: {file: [{file: f}]}}"),
        (
            "notifications: {endpoints: [{url: a}]}",
            vec![
                ("REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL", "b"),
                ("REGISTRY_NOTIFICATIONS_ENDPOINTS_1", "{url: c}"),
            ],
            "{notifications: {endpoints: [{url: b}, {url: c}]}}",
        ),
    ] {
        let (tree, warnings, problems) = overlay(yaml, &variables);
        assert_eq!(show(&tree), expected);
        assert_eq!((warnings, problems), (vec![], vec![]), "{expected}");
    }

    let (_, _, problems) = overlay(cas, &[("REGISTRY_HTTP_TLS_CLIENTCAS_3", "c")]);
    assert_eq!(
        problems,
        ["http.tls.clientcas (from REGISTRY_HTTP_TLS_CLIENTCAS_3): there is no item 3 in a list of 2; \
          expected an index of at most 2, which appends"]
    );
}

#[test]
fn the_tenth_item_comes_after_the_second() {
    let names: Vec<String> = (0..12).map(|index| format!("REGISTRY_HTTP_TLS_CLIENTCAS_{index}")).collect();
    let variables: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let (tree, _, problems) = overlay("", &variables);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(show(&tree).matches('x').count(), 12);
}

#[test]
fn single_values_may_look_like_yaml_of_another_kind() {
    for (value, kept) in [
        ("a: b", "a: b"),
        ("[a", "[a"),
        ("@x", "@x"),
        ("%x", "%x"),
        ("*x", "*x"),
        ("#x", "#x"),
        ("[a, b]", "[a, b]"),
        ("'q'", "q"),
        (" \"a \\\"b\\\" \" ", "a \"b\" "),
        ("'q' #", "'q' #"),
        ("'it's'", "'it's'"),
        ("'a' 'b'", "'a' 'b'"),
        ("\"a\" # \"", "\"a\" # \""),
        ("1e5", "1e5"),
        ("p#w", "p#w"),
        ("a #b", "a #b"),
        ("&a b", "&a b"),
        ("*", "*"),
        ("!!str 5", "!!str 5"),
        ("!a", "!a"),
        ("> a", "> a"),
        ("- a", "- a"),
        ("a\nb", "a\nb"),
        ("a\r\n", "a"),
        (" a ", " a "),
        ("null", "null"),
        ("~", "~"),
        ("", "~"),
    ] {
        let (tree, _, problems) = overlay("", &[("REGISTRY_HTTP_SECRET", value)]);
        assert_eq!(show(&tree), format!("{{http: {{secret: {kept}}}}}"));
        assert_eq!(problems, Vec::<String>::new());
    }
}

proptest::proptest! {
    #[test]
    fn single_values_arrive_as_they_stand(value in "[^\0]{0,20}[^\0'\"\r\n]", with_quotes in proptest::prelude::any::<bool>()) {
        for variable in ["REGISTRY_HTTP_SECRET", "REGISTRY_STORAGE_S3_SECRETKEY", "REGISTRY_AUTH_HTPASSWD_REALM"] {
            let (tree, warnings, problems) = overlay("", &[(variable, &value)]);
            proptest::prop_assert!(show(&tree).contains(&format!(": {value}}}")), "{:?}", tree);
            proptest::prop_assert_eq!((warnings.len(), problems.len()), (0, 0));
        }
        // In quotes, as a text with quotes of its own.
        let quoted = if with_quotes {
            format!("'{}'", value.replace('\'', "''"))
        } else {
            double_quoted(&value)
        };
        let is_plain = !value.chars().any(|c| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}'));
        let (tree, _, _) = overlay("", &[("REGISTRY_HTTP_SECRET", &quoted)]);
        if is_plain && !value.contains("  ") {
            proptest::prop_assert_eq!(show(&tree), format!("{{http: {{secret: {value}}}}}"));
        }
    }

    #[test]
    fn values_of_a_map_arrive_as_they_stand_unless_they_are_lists(value in "[^\0\\[ '\"\r\n-][^\0\r\n]{0,20}") {
        let (tree, _, problems) = overlay("", &[("REGISTRY_LOG_FIELDS_X", &value)]);
        proptest::prop_assert_eq!(show(&tree), format!("{{log: {{fields: {{x: {value}}}}}}}"));
        proptest::prop_assert_eq!(problems.len(), 0);
    }
}

/// In double quotes.
fn double_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[test]
fn values_of_a_map_are_texts_or_lists() {
    for (value, kept) in [
        ("*", "*"),
        ("a #b", "a #b"),
        ("default-src 'self'; img-src: *", "default-src 'self'; img-src: *"),
        ("['*']", "[*]"),
        ("[\"GET\", \"PUT\"]", "[GET, PUT]"),
        ("- a\n- b", "[a, b]"),
        ("[a", "[a"),
        ("'[a]'", "[a]"),
        ("", "~"),
    ] {
        let (tree, _, problems) = overlay("", &[("REGISTRY_HTTP_HEADERS_X", value)]);
        assert_eq!(show(&tree), format!("{{http: {{headers: {{x: {kept}}}}}}}"));
        assert_eq!(problems, Vec::<String>::new());
    }
    // What is below a section that is not looked into keeps its kind, and its single values their text.
    for (value, kept) in [("a #b", "a #b"), ("{a: b}", "{a: b}"), ("true", "true"), ("~", "~")] {
        let (tree, _, _) = overlay("", &[("REGISTRY_COMPATIBILITY_X", value)]);
        assert_eq!(show(&tree), format!("{{compatibility: {{x: {kept}}}}}"));
    }
}

#[test]
fn unknown_names_only_warn_and_change_nothing() {
    for (variable, nearest) in [
        ("REGISTRY_HTPP_ADDR", Some("REGISTRY_HTTP_ADDR")),
        ("REGISTRY_HTTP_TLS_CERTIFCATE", Some("REGISTRY_HTTP_TLS_CERTIFICATE")),
        ("REGISTRY_http_addr", Some("REGISTRY_HTTP_addr")),
        ("REGISTRY_HTTP_HEADERS_ACCESS_CONTROL_ALLOW_ORIGIN", None),
        ("REGISTRY_HTTP_ADDRESS", Some("REGISTRY_HTTP_ADDR")),
        ("REGISTRY_HTTP_PORT", Some("REGISTRY_HTTP_ADDR")),
        ("REGISTRY_PORT", Some("REGISTRY_HTTP_ADDR")),
        ("REGISTRY_HTTP_TLS_CERT", Some("REGISTRY_HTTP_TLS_CERTIFICATE")),
        ("REGISTRY_STORAGE_S3_ENDPOINT", Some("REGISTRY_STORAGE_S3_REGIONENDPOINT")),
        ("REGISTRY_HTTP_ADDR_FOO", None),
        ("REGISTRY_STORAGE_FILESYSTEM_WHATEVER", None),
        ("REGISTRY_IMAGE", None),
        ("REGISTRY_", None),
        ("REGISTRY__HTTP", None),
        ("REGISTRY_HEALTH_TCP_FIRST_ADDR", None),
        ("REGISTRY_HEALTH_TCP_99999999999999999999999_ADDR", None),
    ] {
        let (tree, warnings, problems) = overlay("", &[(variable, "x")]);
        let meant = nearest.map(|name| format!("; was {name} meant?")).unwrap_or_default();
        let expected = format!("{variable}: environment variable that names no key, ignored{meant}");
        assert_eq!((warnings, problems), (vec![expected], vec![]));
        assert_eq!(tree.value, Value::Null, "{variable}");
    }
}

#[test]
fn what_kubernetes_and_the_start_script_set_is_left_alone() {
    let variables = [
        ("REGISTRY_PORT", "tcp://10.0.0.1:5000"),
        ("REGISTRY_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
        ("REGISTRY_PORT_5000_TCP_PROTO", "tcp"),
        ("REGISTRY_PORT_5000_TCP_PORT", "5000"),
        ("REGISTRY_PORT_5000_TCP_ADDR", "10.0.0.1"),
        ("REGISTRY_SERVICE_HOST", "10.0.0.1"),
        ("REGISTRY_SERVICE_PORT", "5000"),
        ("REGISTRY_SERVICE_PORT_HTTP_V2", "5000"),
        ("REGISTRY_AUTH_SERVICE_HOST", "10.0.0.2"),
        ("REGISTRY_AUTH_SERVICE_PORT", "80"),
        ("REGISTRY_AUTH_PORT", "tcp://10.0.0.2:80"),
        ("REGISTRY_AUTH_PORT_80_TCP_ADDR", "10.0.0.2"),
        ("REGISTRY_CONFIGURATION_PATH", "/config.yml"),
        ("REGISTRYCTL_URL", "http://x"),
        ("PATH", "/bin"),
    ];
    let (tree, warnings, problems) = overlay("", &variables);
    assert_eq!((warnings, problems, tree.value), (vec![], vec![], Value::Null));
}

#[test]
fn a_value_in_the_way_and_broken_yaml_are_problems() {
    let (_, _, problems) = overlay(
        "http: 5",
        &[("REGISTRY_HTTP_ADDR", "a:1"), ("REGISTRY_HEALTH", "{"), ("REGISTRY_HTTP_HEADERS", "[")],
    );
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("health (from REGISTRY_HEALTH): cannot be read"), "{problems:?}");
    assert_eq!(
        problems[1],
        "http (from REGISTRY_HTTP_ADDR): there is a single value already; expected a section or nothing"
    );
}
