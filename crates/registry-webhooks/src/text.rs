//! Texts of others, before they are kept.

/// Cuts a text to so many bytes, between two characters, and leaves out what a database of PostgreSQL takes in no text.
pub(crate) fn kept(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_has_no_nul() {
        for (text, bytes, expected) in
            [("abc", 3, "abc"), ("abc", 2, "ab"), ("éé", 3, "é"), ("é", 1, ""), ("a\0b", 3, "a b")]
        {
            assert_eq!(kept(text, bytes), expected);
        }
    }
}
