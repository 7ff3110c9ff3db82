//! Names of repositories in order: sets as ranges of names, and names of what was set aside.

use registry_types::RepositoryName;

/// Sorts after every text that begins with what stands before it: names are ASCII.
const HIGHEST: char = char::MAX;

/// Sorts after every name that begins with `prefix`.
pub(crate) fn range_end(prefix: &str) -> String {
    format!("{prefix}{HIGHEST}")
}

/// In order, and without those that another one begins: what is left does not overlap.
pub(crate) fn outermost(prefixes: &[String]) -> Vec<&str> {
    let mut sorted: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup_by(|longer, shorter| longer.starts_with(*shorter));
    sorted
}

/// Begins the name of what was set aside. No name has it.
const ASIDE: char = '~';

/// The name that is none of a repository that was deleted.
pub(crate) fn name_aside(id: i64, repository: &RepositoryName) -> String {
    format!("{ASIDE}{id}{ASIDE}{repository}")
}

/// The name that a repository had which was set aside.
pub(crate) fn former_name(aside: &str) -> Option<&str> {
    Some(aside.strip_prefix(ASIDE)?.split_once(ASIDE)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_within_others_are_left_out() {
        let prefixes = ["b/", "a/x/", "a/", "b/", "a/y"].map(str::to_owned);
        assert_eq!(outermost(&prefixes), ["a/", "b/"]);
        assert_eq!(outermost(&["z".to_owned(), String::new()]), [""]);
    }
}
