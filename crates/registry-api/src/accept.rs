//! Which manifests a client says it understands.

use http::{HeaderMap, header};
use registry_types::{ManifestKind, MediaType};

/// A request's `Accept` headers, without weights.
pub(crate) struct Accept {
    types: Vec<MediaType>,
    /// Whether it names a whole family of types, such as `*/*`.
    is_open: bool,
}

/// The most media ranges that are looked at.
const ACCEPTED_MAX: usize = 64;

impl Accept {
    pub(crate) fn of(headers: &HeaderMap) -> Accept {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges: Vec<&str> = values.flat_map(|value| value.split(',')).take(ACCEPTED_MAX).collect();
        Accept {
            types: ranges.iter().filter_map(|range| range.trim().parse().ok()).collect(),
            is_open: ranges.iter().any(|range| range.contains("/*")),
        }
    }

    /// Whether it names manifests of images and nothing that could be an index: a client from before there were any.
    /// Everybody else gets what is stored, whatever they say: a client that can not read it says so better than a 404.
    pub(crate) fn is_for_images_only(&self) -> bool {
        let kinds: Vec<_> = self.types.iter().map(MediaType::kind).collect();
        !self.is_open
            && kinds.contains(&Some(ManifestKind::Image))
            && !kinds.contains(&Some(ManifestKind::Index))
    }

    /// Whether it names this type.
    pub(crate) fn names(&self, media_type: &MediaType) -> bool {
        self.types.contains(media_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Accept {
        Accept::of(&HeaderMap::from_iter([(header::ACCEPT, value.parse().unwrap())]))
    }

    #[test]
    fn only_clients_from_before_indexes_are_for_images_only() {
        let image = "application/vnd.docker.distribution.manifest.v2+json";
        let list = "application/vnd.docker.distribution.manifest.list.v2+json";
        assert!(accept(image).is_for_images_only());
        assert!(accept(&format!("{image};q=0.5, text/plain")).is_for_images_only());
        assert!(!accept(&format!("{image}, {list}")).is_for_images_only());
        assert!(!accept(&format!("{image}, */*")).is_for_images_only());
        assert!(!accept("*/*").is_for_images_only());
        assert!(!Accept::of(&HeaderMap::new()).is_for_images_only());
    }
}
