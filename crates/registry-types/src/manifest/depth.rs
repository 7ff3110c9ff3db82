/// Whether lists and objects lie in each other deeper than `limit`, as far as the text is JSON at all.
///
/// The JSON parser has a limit of its own only for what is kept, not for what is skipped. Skipping costs us nothing at
/// any depth, but whoever pulls the manifest may have a parser that recurses.
pub(super) fn is_deeper(text: &str, limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = skip_string(rest),
            b'[' | b'{' if depth == limit => return true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// What follows the end of the string whose beginning `rest` follows.
pub(super) fn skip_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        if rest[at] == b'"' {
            return &rest[at + 1..];
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_count() {
        for (text, depth) in [
            ("", 0),
            ("1", 0),
            ("{}", 1),
            ("[[],[{}]]", 3),
            (r#"{"[[[":"]"}"#, 1),
            (r#"["\"[[","\\",[]]"#, 2),
            (r#"["\\\"[[["]"#, 1),
            (r#"["[["#, 1),
            (r#"["\"#, 1),
            ("]]][", 1),
        ] {
            assert!(!is_deeper(text, depth), "{text}");
            assert!(depth == 0 || is_deeper(text, depth - 1), "{text}");
        }
    }
}
