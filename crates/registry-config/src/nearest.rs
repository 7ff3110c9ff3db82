//! Which known word somebody may have meant.

/// Words longer than this are not compared.
const WORD_BYTES_MAX: usize = 64;

/// Words of other programs, with what is called so here.
const SYNONYMS: [(&str, &str); 16] = [
    ("address", "addr"),
    ("port", "addr"),
    ("listen", "addr"),
    ("bind", "addr"),
    ("hostname", "host"),
    ("url", "host"),
    ("cert", "certificate"),
    ("crt", "certificate"),
    ("privatekey", "key"),
    ("ca", "clientcas"),
    ("root", "rootdirectory"),
    ("path", "rootdirectory"),
    ("directory", "rootdirectory"),
    ("endpoint", "regionendpoint"),
    ("pathstyle", "forcepathstyle"),
    ("file", "path"),
];

/// A candidate that is another word for `word`, or the one that needs the fewest edits to become `word`, if that is at most a third of its letters, and at least one.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let meant = SYNONYMS.iter().filter(|(other, _)| other.eq_ignore_ascii_case(word));
    if let Some((_, known)) = meant.clone().find(|(_, known)| candidates.contains(known)) {
        return Some(known);
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .map(|candidate| (edits(word.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.len() / 3).max(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours, ASCII case aside.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let same = from[i - 1].eq_ignore_ascii_case(&to[j - 1]);
            let mut least =
                (rows[i - 1][j - 1] + usize::from(!same)).min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word() {
        let known = ["certificate", "key", "clientcas", "minimumtls", "addr"];
        for (word, found) in [
            ("certifcate", Some("certificate")),
            ("cretificate", Some("certificate")),
            ("Key", Some("key")),
            ("kye", Some("key")),
            ("adr", Some("addr")),
            ("clientca", Some("clientcas")),
            ("port", Some("addr")),
            ("ADDRESS", Some("addr")),
            ("cert", Some("certificate")),
            ("file", None),
            ("", None),
            ("something quite different", None),
        ] {
            assert_eq!(nearest(word, known), found, "{word}");
        }
        assert_eq!(nearest(&"k".repeat(1000), known), None);
    }
}
