//! Names of what was set aside.

use registry_types::RepositoryName;

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
