use registry_types::{Platform, RequiredChildren};

use crate::field::Field;

/// What is asked of manifests that are pushed. Key `validation`.
///
/// It is what counts in the end: with `validation.disabled: true` every URL is allowed, and an index may name manifests that
/// are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// Which URLs a layer that lies elsewhere may name. Key `manifests.urls`.
    pub urls: UrlRules,
    /// Which manifests of an index must be here. Key `manifests.indexes`.
    pub indexes: RequiredChildren,
    /// Whether the layers and the config of an image must be here. Key `manifests.images.layers`: `all` or `none`.
    pub image_layers_required: bool,
}

/// Which URLs a layer that lies elsewhere may name: those that one of `allow` matches and none of `deny`. So two empty lists
/// allow none.
///
/// The patterns are regular expressions that the crate `regex_lite` has compiled. They match anywhere in a URL. Where only
/// `deny` is given, `allow` holds an empty pattern, which matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlRules {
    /// One of these must match.
    pub allow: Vec<String>,
    /// None of these may match.
    pub deny: Vec<String>,
}

const EVERYTHING: &str = "";

impl Validation {
    pub(crate) fn read(validation: &Field<'_>) -> Validation {
        let manifests = validation.get("manifests");
        let urls = urls(&manifests.get("urls"));
        let indexes = indexes(&manifests.get("indexes"));
        let layers = manifests.get("images").get("layers").choice(&[("all", true), ("none", false)]);
        if validation.get("disabled").flag(false) {
            let urls = UrlRules { allow: vec![EVERYTHING.to_owned()], deny: Vec::new() };
            return Validation {
                urls,
                indexes: RequiredChildren::None,
                image_layers_required: layers.unwrap_or(true),
            };
        }
        Validation { urls, indexes, image_layers_required: layers.unwrap_or(true) }
    }
}

fn urls(field: &Field<'_>) -> UrlRules {
    let (mut allow, deny) = (patterns(&field.get("allow")), patterns(&field.get("deny")));
    if allow.is_empty() && !deny.is_empty() && !field.get("allow").is_set() {
        allow.push(EVERYTHING.to_owned());
    }
    UrlRules { allow, deny }
}

fn patterns(field: &Field<'_>) -> Vec<String> {
    let pattern = |item: &Field<'_>| {
        let text = item.text()?;
        match regex_lite::Regex::new(&text) {
            Ok(_) => Some(text),
            Err(error) => {
                item.problem(
                    format!("cannot be used: {error}"),
                    "a regular expression without Unicode classes",
                );
                None
            }
        }
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
