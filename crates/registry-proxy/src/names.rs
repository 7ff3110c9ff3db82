//! Which repository of which upstream a request means.

use registry_types::{NameRange, RepositoryName};

use crate::SetUpError;

/// The names of all upstreams. What a name means is decided here and nowhere else.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    upstreams: Vec<String>,
    default_upstream: Option<usize>,
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A repository of the upstream with this number, under this name here.
    Mirrored(RepositoryName),
    /// The same, unless repositories of this registry begin with the same component.
    UnlessHosted(RepositoryName),
    /// A repository of this registry.
    Hosted,
    /// No upstream has the name that `ns` gives.
    Unknown,
}

impl Names {
    /// Of these upstreams, in this order.
    ///
    /// # Errors
    /// [`SetUpError`] for a name that can not begin that of a repository, or is there twice.
    pub(crate) fn new(upstreams: Vec<String>, default_upstream: Option<&str>) -> Result<Names, SetUpError> {
        for (index, name) in upstreams.iter().enumerate() {
            if name.contains('/') || name.parse::<RepositoryName>().is_err() {
                return Err(SetUpError::Name { name: name.clone() });
            }
            if upstreams[..index].contains(name) {
                return Err(SetUpError::Twice { name: name.clone() });
            }
        }
        let position = |name: &str| upstreams.iter().position(|known| known == name);
        let absent = |name: &str| SetUpError::Absent { name: name.to_owned() };
        let default_upstream =
            default_upstream.map(|name| position(name).ok_or_else(|| absent(name))).transpose()?;
        Ok(Names { upstreams, default_upstream })
    }

    /// What a name means: by the upstream that `ns` gives, by the one that it begins with, or by the one that is meant without either.
    pub(crate) fn meaning(&self, name: &RepositoryName, ns: Option<&str>) -> Meaning {
        if let Some(ns) = ns.filter(|ns| !ns.is_empty()) {
            let known = self.upstreams.iter().find(|known| *known == ns);
            // A mirror may be configured with the upstream's name as its path.
            if known.is_some() && name.as_str().split_once('/').is_some_and(|(first, _)| first == ns) {
                return Meaning::Mirrored(name.clone());
            }
            return known
                .and_then(|upstream| below(upstream, name))
                .map_or(Meaning::Unknown, Meaning::Mirrored);
        }
        if self.split(name).is_some() {
            return Meaning::Mirrored(name.clone());
        }
        let default_upstream = self.default_upstream.and_then(|index| below(&self.upstreams[index], name));
        default_upstream.map_or(Meaning::Hosted, Meaning::UnlessHosted)
    }

    /// The number of the upstream that a repository's name here belongs to, and its name there.
    pub(crate) fn split<'a>(&self, name: &'a RepositoryName) -> Option<(usize, &'a str)> {
        let (first, rest) = name.as_str().split_once('/')?;
        let index = self.upstreams.iter().position(|known| known == first)?;
        Some((index, rest))
    }

    /// The names of all mirrored repositories.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = NameRange> {
        self.upstreams.iter().map(|name| NameRange::beginning_with(&format!("{name}/")))
    }
}

fn below(upstream: &str, name: &RepositoryName) -> Option<RepositoryName> {
    format!("{upstream}/{name}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_means_one_repository() {
        let upstreams = vec!["docker.io".to_owned(), "localhost-5000".to_owned()];
        let with_default = Names::new(upstreams.clone(), Some("docker.io")).unwrap();
        let without = Names::new(upstreams, None).unwrap();
        let mirrored = |text| Meaning::Mirrored(name(text));
        for (text, ns, meant, meant_without) in [
            (
                "docker.io/library/alpine",
                None,
                mirrored("docker.io/library/alpine"),
                mirrored("docker.io/library/alpine"),
            ),
            (
                "library/alpine",
                Some("docker.io"),
                mirrored("docker.io/library/alpine"),
                mirrored("docker.io/library/alpine"),
            ),
            (
                "docker.io/library/alpine",
                Some("docker.io"),
                mirrored("docker.io/library/alpine"),
                mirrored("docker.io/library/alpine"),
            ),
            ("library/alpine", Some("quay.io"), Meaning::Unknown, Meaning::Unknown),
            (
                "library/alpine",
                None,
                Meaning::UnlessHosted(name("docker.io/library/alpine")),
                Meaning::Hosted,
            ),
            ("docker.io", None, Meaning::UnlessHosted(name("docker.io/docker.io")), Meaning::Hosted),
            ("localhost-5000/a", Some(""), mirrored("localhost-5000/a"), mirrored("localhost-5000/a")),
        ] {
            assert_eq!(with_default.meaning(&name(text), ns), meant, "{text} {ns:?}");
            assert_eq!(without.meaning(&name(text), ns), meant_without, "{text} {ns:?}");
        }
        assert_eq!(with_default.split(&name("localhost-5000/a/b")), Some((1, "a/b")));
        assert_eq!(with_default.split(&name("localhost-5000")), None);
    }

    #[test]
    fn names_that_can_not_be_told_apart_are_refused() {
        for names in [vec!["a/b"], vec!["UPPER"], vec!["a", "a"]] {
            let names = names.into_iter().map(str::to_owned).collect();
            assert!(Names::new(names, None).is_err());
        }
        assert!(Names::new(vec!["a".into()], Some("b")).is_err());
    }
}
