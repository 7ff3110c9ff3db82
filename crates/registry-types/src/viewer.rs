use crate::RepositoryName;

/// Sorts after every name that begins with what stands before it: names are ASCII letters, digits, `.`, `_`, `-` and `/`.
const AFTER_EVERY_LETTER: char = '~';

/// Sorts before everything that may follow in a name.
const BEFORE_EVERY_LETTER: char = '!';

/// The repositories that a caller may see: ranges of names, sorted and disjoint, and those that are public where the caller may
/// see those. A list for it reads the index of names where the ranges are, so that it costs at most
/// a page of each range, and not what the caller may not see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Viewer {
    sees_public: bool,
    ranges: Vec<NameRange>,
}

/// Names from the first text, which belongs to it, up to the second, which does not. Compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameRange {
    low: String,
    high: String,
}

impl NameRange {
    /// The one name.
    pub fn exactly(name: &RepositoryName) -> NameRange {
        NameRange { low: name.to_string(), high: format!("{name}{BEFORE_EVERY_LETTER}") }
    }

    /// Every name that begins with a text. `team/` has `team/app`, and neither `team` nor `teams/app`; the empty text has all.
    pub fn beginning_with(prefix: &str) -> NameRange {
        NameRange { low: prefix.to_owned(), high: format!("{prefix}{AFTER_EVERY_LETTER}") }
    }

    /// The first text, which belongs to the range.
    pub fn low(&self) -> &str {
        &self.low
    }

    /// The text that all names of the range come before.
    pub fn high(&self) -> &str {
        &self.high
    }

    fn contains(&self, name: &str) -> bool {
        self.low.as_str() <= name && name < self.high.as_str()
    }
}

impl Viewer {
    /// Sees nothing.
    pub fn nothing() -> Viewer {
        Viewer::default()
    }

    /// Sees every repository.
    pub fn everything() -> Viewer {
        Viewer::of([NameRange::beginning_with("")])
    }

    /// Sees what public repositories there are.
    pub fn public() -> Viewer {
        Viewer { sees_public: true, ranges: Vec::new() }
    }

    /// Sees these ranges, which may overlap and come in any order.
    pub fn of(ranges: impl IntoIterator<Item = NameRange>) -> Viewer {
        let mut sorted: Vec<NameRange> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut ranges: Vec<NameRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match ranges.last_mut() {
                Some(last) if range.low <= last.high => {
                    if last.high < range.high {
                        last.high = range.high;
                    }
                }
                _ => ranges.push(range),
            }
        }
        Viewer { sees_public: false, ranges }
    }

    /// The same, and what is public.
    #[must_use]
    pub fn and_public(self) -> Viewer {
        Viewer { sees_public: true, ..self }
    }

    /// Whether public repositories are seen beside the ranges.
    pub fn sees_public(&self) -> bool {
        self.sees_public
    }

    /// The ranges, in order, without overlap.
    pub fn ranges(&self) -> &[NameRange] {
        &self.ranges
    }

    /// Whether every repository is seen.
    pub fn sees_everything(&self) -> bool {
        matches!(&self.ranges[..], [range] if *range == NameRange::beginning_with(""))
    }

    /// Whether a repository of this name is seen.
    pub fn sees(&self, name: &RepositoryName, is_public: bool) -> bool {
        let name = name.as_str();
        let at = self.ranges.partition_point(|range| range.high.as_str() <= name);
        self.sees_public && is_public || self.ranges.get(at).is_some_and(|range| range.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    fn prefixes(texts: &[&str]) -> Viewer {
        Viewer::of(texts.iter().map(|text| NameRange::beginning_with(text)))
    }

    #[test]
    fn a_viewer_sees_its_ranges() {
        let names = Viewer::of(["team/app", "other"].map(|text| NameRange::exactly(&name(text))));
        for (viewer, inside, outside) in [
            (
                &prefixes(&["team/", "x"]),
                &["team/app", "team/a/b", "x", "xy/z", "x-y"][..],
                &["team", "teams/app"][..],
            ),
            (
                &names,
                &["team/app", "other"],
                &["team", "team/app/x", "team/app-x", "team/app.x", "team/ap", "others"],
            ),
            (&Viewer::everything(), &["a", "0", "z", "team/app"], &[]),
            (&Viewer::nothing(), &[], &["a", "team/app"]),
            (&Viewer::public(), &[], &["a"]),
        ] {
            assert!(inside.iter().all(|text| viewer.sees(&name(text), false)), "{viewer:?}");
            assert!(!outside.iter().any(|text| viewer.sees(&name(text), false)), "{viewer:?}");
        }
        assert!(Viewer::public().sees(&name("a"), true) && names.clone().and_public().sees(&name("a"), true));
        assert!(!names.sees(&name("a"), true));
    }

    #[test]
    fn ranges_are_sorted_and_disjoint() {
        assert_eq!(prefixes(&["b/", "a/x/", "a/", "b/", "a/y"]), prefixes(&["a/", "b/"]));
        assert_eq!(prefixes(&["z", ""]), Viewer::everything());
        assert!(prefixes(&["z", ""]).sees_everything() && !prefixes(&["z"]).sees_everything());
        let within = Viewer::of([NameRange::exactly(&name("a/b")), NameRange::beginning_with("a/")]);
        assert_eq!(within, prefixes(&["a/"]));
        let beside = Viewer::of(["a", "a-b", "a/b"].map(|text| NameRange::exactly(&name(text))));
        assert_eq!(beside.ranges().len(), 3);
    }
}
