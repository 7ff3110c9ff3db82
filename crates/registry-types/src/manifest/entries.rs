//! How many entries the maps of a document have, annotations mostly, and how many texts its lists have, as of URLs. An entry of a
//! few bytes becomes two texts in a tree, and a text of three bytes becomes one that takes 24.

use super::depth::skip_string;

/// So many entries of each object or list are not counted: a descriptor has no more fields.
const FREE: usize = 8;

/// Whether the objects of a text have more than `limit` entries together, and its lists texts, beyond the first eight of each, as
/// far as the text is JSON at all. Looks no deeper than `depth_max`.
pub(super) fn are_more(text: &str, limit: usize, depth_max: usize) -> bool {
    let mut counted = 0_usize;
    // Each list or object that is open: whether it is a list, and its entries.
    let mut open: Vec<(bool, usize)> = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = skip_string(rest),
            b'[' | b'{' if open.len() < depth_max => open.push((*byte == b'[', 0)),
            b']' | b'}' => drop(open.pop()),
            _ => {}
        }
        if let Some((is_list, entries)) = open.last_mut()
            && *byte == if *is_list { b'"' } else { b':' }
        {
            *entries += 1;
            counted += usize::from(*entries > FREE);
            if counted > limit {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_all_objects_count_together() {
        let object = |entries: usize| {
            let entries: Vec<String> = (0..entries).map(|number| format!("\"{number}:\":\"::\"")).collect();
            format!("{{{}}}", entries.join(","))
        };
        for (text, counted) in [
            (String::new(), 0),
            (object(FREE), 0),
            (object(FREE + 5), 5),
            (format!("[{},{},[{}]]", object(FREE + 2), object(3), object(FREE + 1)), 3),
            (format!("{{\"a\":{},\"b\":1}}", object(FREE + 2)), 2),
            (format!("{{\"urls\":[{}],\"layers\":[{}]}}", "\"\",".repeat(FREE + 4), "{},".repeat(100)), 4),
            ("}}:::".to_owned(), 0),
            ("{\"a\":\"\\\":::::::::::::".to_owned(), 0),
        ] {
            assert!(!are_more(&text, counted, 64), "{text}");
            assert!(counted == 0 || are_more(&text, counted - 1, 64), "{text}");
        }
    }
}
