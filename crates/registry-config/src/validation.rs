use registry_types::{Platform, ReferencePolicy, RequiredChildren, UrlPattern, UrlPolicy};

use crate::field::Field;

/// What is asked of manifests that are pushed. Key `validation`.
///
/// It is what counts in the end: with `validation.disabled: true` every URL is allowed, and an index may name manifests that
/// are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// Which URLs a layer that lies elsewhere may name. Key `manifests.urls`. Where only `deny` is given, everything else is allowed.
    pub urls: UrlPolicy,
    /// What of an image and of an index must be here. Keys `manifests.images.layers` and `manifests.indexes`.
    pub references: ReferencePolicy,
}

const EVERYTHING: &str = "";

impl Validation {
    pub(crate) fn read(validation: &Field<'_>) -> Validation {
        let manifests = validation.get("manifests");
        let (urls, children) = (urls(&manifests.get("urls")), indexes(&manifests.get("indexes")));
        let layers = manifests.get("images").get("layers").choice(&[("all", false), ("none", true)]);
        let references = ReferencePolicy::default().layers_optional(layers.unwrap_or_default());
        match validation.get("disabled").flag(false) {
            true => Validation {
                urls: UrlPolicy::default().allow(everything()),
                references: references.children(RequiredChildren::None),
            },
            false => Validation { urls, references: references.children(children) },
        }
    }
}

fn everything() -> Vec<UrlPattern> {
    EVERYTHING.parse().into_iter().collect()
}

fn urls(field: &Field<'_>) -> UrlPolicy {
    let (mut allow, deny) = (patterns(&field.get("allow")), patterns(&field.get("deny")));
    if allow.is_empty() && !deny.is_empty() && !field.get("allow").is_set() {
        allow = everything();
    }
    UrlPolicy::default().allow(allow).deny(deny)
}

fn patterns(field: &Field<'_>) -> Vec<UrlPattern> {
    let pattern = |item: &Field<'_>| {
        let parsed = item.text()?.parse();
        parsed
            .inspect_err(|error| {
                item.problem(
                    format!("cannot be used: {error}"),
                    "a regular expression without Unicode classes",
                );
            })
            .ok()
    };
    field.items().iter().filter_map(pattern).collect()
}

fn indexes(field: &Field<'_>) -> RequiredChildren {
    let listed: Vec<Platform> = field.get("platformlist").items().iter().filter_map(platform).collect();
    let words = [
        ("all", RequiredChildren::All),
        ("none", RequiredChildren::None),
        ("list", RequiredChildren::Platforms(listed)),
    ];
    field.get("platforms").choice(&words).unwrap_or_default()
}

fn platform(item: &Field<'_>) -> Option<Platform> {
    let architecture = item.get("architecture").required("an architecture such as amd64");
    let os = item.get("os").required("an operating system such as linux");
    Some(Platform { architecture: architecture?, os: os?, ..Platform::default() })
}
