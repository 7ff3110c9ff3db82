use super::*;

fn tree(text: &str) -> Node {
    parse(text).unwrap()
}

fn text_at<'a>(node: &'a Node, keys: &[&str]) -> &'a str {
    let node = keys.iter().try_fold(node, |node, key| node.get(key)).expect("the key is there");
    match &node.value {
        Value::Scalar(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn scalars_stay_as_they_were_written() {
    for (written, kept) in [
        ("1.10", "1.10"),
        ("0755", "0755"),
        ("1e3", "1e3"),
        ("0x1F", "0x1F"),
        ("yes", "yes"),
        ("True", "True"),
        ("'~'", "~"),
        ("\"a b\"", "a b"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("!!str 5", "5"),
        (":5000", ":5000"),
        ("\"\"", ""),
        (".inf", ".inf"),
    ] {
        assert_eq!(text_at(&tree(&format!("a: {written}")), &["a"]), kept, "{written}");
    }
}

#[test]
fn nothing_is_null_however_it_is_written() {
    for written in ["a:", "a: ~", "a: null", "a: Null", "a: # comment"] {
        assert_eq!(tree(written).get("a").unwrap().value, Value::Null, "{written}");
    }
    for document in ["", "---", "# only a comment\n", "\u{feff}"] {
        assert_eq!(tree(document).value, Value::Null, "{document:?}");
    }
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    let node = tree("base: &b {x: 1.0, y: 2}\nmore: {<<: *b, y: 3}\nboth: {<<: [*b, {z: 4}]}\nsame: *b");
    assert_eq!(text_at(&node, &["more", "x"]), "1.0");
    assert_eq!(text_at(&node, &["more", "y"]), "3");
    assert_eq!(text_at(&node, &["both", "z"]), "4");
    assert_eq!(text_at(&node, &["same", "y"]), "2");
}

#[test]
fn what_cannot_be_read_is_a_problem_and_never_a_panic() {
    let deep = "{a: ".repeat(50_000);
    let nested = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let many = format!("[{}]", "1,".repeat(CONFIG_NODES_MAX + 1));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let large = "x".repeat(CONFIG_BYTES_MAX + 1);
    for text in [deep.as_str(), &nested, &many, &bomb, &large, "a: [", "a: b: c", "a: &a [*a]", "? [a]\n: b"]
    {
        let start: String = text.chars().take(30).collect();
        assert!(parse(text).is_err(), "{start}");
    }
    for text in ["a: *missing", "a: !mine x", "a: 1\n---\nb: 2", "\0", "a: \"\u{1}\"", "{"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

/// As long as they may be, of what parsers look far ahead or back for.
#[test]
fn long_documents_of_one_kind_are_read_or_refused() {
    for piece in [
        "[",
        "{",
        "[[]",
        "{a: ",
        "[a, ",
        "- ",
        "? ",
        "a: ",
        "a:\n",
        "&a ",
        "*a ",
        "!a ",
        "'",
        "\"",
        "|\n",
        ">\n ",
        "# ",
        "\n",
        "a\n",
        "\r\n",
        "---\n",
        "%",
        "%TAG ! !\n",
        "\t",
        ": ",
        ", ",
        "<<: ",
        "\\",
        "-\n ",
        "? [",
        "a\n ",
        "[\n",
        "\u{85}",
    ] {
        let text = piece.repeat(CONFIG_BYTES_MAX / piece.len());
        for text in [format!("a: {}", &text[..text.len() - piece.len() * 4]), text] {
            drop(parse(&text));
        }
    }
}

#[test]
fn problems_name_their_line() {
    for (text, line) in [
        ("a: 1\nb: [\nc: {", "configuration (line "),
        ("a: 1\n\nb: 2\nb: 3", "b (line 4): given twice"),
        ("a: 1\r\nb: 2\r\nb: 3", "b (line 3): given twice"),
        ("a: 1\n---\nb: 2", "configuration (line 2): cannot be read: there is a second document"),
        ("a: 1\nb: \0", "configuration (line 2): has the control character '\\0'"),
    ] {
        let problems = parse(text).unwrap_err();
        assert!(problems[0].to_string().starts_with(line), "{}", problems[0]);
    }
    assert_eq!(tree("a:\n  b: c").get("a").unwrap().get("b").unwrap().line, Some(2));
}

#[test]
fn files_of_windows_are_read_as_others() {
    let unix =
        "version: 0.1\nhttp:\n  addr: ':5000'\n  headers:\n    X-A:\n      - b\n# c\nlog: {level: info}\n";
    let windows = format!("\u{feff}{}", unix.replace('\n', "\r\n"));
    assert_eq!(tree(&windows), tree(unix));
}

#[test]
fn aliases_can_not_multiply_texts() {
    let key = "k".repeat(100_000);
    let aliases = "*a, ".repeat(1000);
    assert!(parse(&format!("a: &a {{{key}: 1}}\nb: [{aliases}]")).is_err());
    assert!(parse(&format!("a: &a {key}\nb: [{aliases}]")).is_err());
    let mut deep = "x0: &x0 [1]\n".to_owned();
    for level in 1..40 {
        deep.push_str(&format!("x{level}: &x{level} [*x{}]\n", level - 1));
    }
    assert!(parse(&deep).unwrap_err()[0].wrong.contains("levels of nesting"));
}

#[test]
fn a_key_that_is_given_twice_is_named_with_its_path() {
    let problems = parse("http: {addr: a, addr: b}\nlog: 1\nlog: 2").unwrap_err();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 2);
    assert!(text[0].starts_with("http.addr (line 1): given twice"), "{text:?}");
    assert!(text[1].starts_with("log (line 3): given twice"), "{text:?}");
}
