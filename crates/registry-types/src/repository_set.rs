use crate::RepositoryName;

/// Which repositories somebody may see. Kept in a form that an index can be read by: names and prefixes, never a rule
/// that would have to be tried on every repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositorySet {
    /// Every repository.
    All,
    /// Those whose name begins with one of these texts. `team/` matches `team/app` and not `team` or `teams/app`; the
    /// empty text matches all.
    Prefixes(Vec<String>),
    /// These and no others.
    Names(Vec<RepositoryName>),
}

impl RepositorySet {
    /// The set without a member.
    pub const NONE: RepositorySet = RepositorySet::Names(Vec::new());

    /// Whether `name` is one of them.
    pub fn contains(&self, name: &RepositoryName) -> bool {
        match self {
            RepositorySet::All => true,
            RepositorySet::Prefixes(prefixes) => {
                prefixes.iter().any(|prefix| name.as_str().starts_with(prefix.as_str()))
            }
            RepositorySet::Names(names) => names.contains(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_contains_what_it_says() {
        let name = |text: &str| text.parse::<RepositoryName>().unwrap();
        let prefixes = RepositorySet::Prefixes(vec!["team/".into(), "x".into()]);
        let names = RepositorySet::Names(vec![name("team/app"), name("other")]);
        for (set, inside, outside) in [
            (&prefixes, &["team/app", "team/a/b", "x", "xy/z"][..], &["team", "teams/app"][..]),
            (&names, &["team/app", "other"], &["team", "team/app/x"]),
            (&RepositorySet::All, &["a", "team/app"], &[]),
            (&RepositorySet::NONE, &[], &["a", "team/app"]),
            (&RepositorySet::Prefixes(vec![String::new()]), &["a"], &[]),
        ] {
            assert!(inside.iter().all(|text| set.contains(&name(text))), "{set:?}");
            assert!(!outside.iter().any(|text| set.contains(&name(text))), "{set:?}");
        }
    }
}
