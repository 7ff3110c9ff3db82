use registry_types::Allowed;

use crate::field::Field;
use crate::http::web_url;

/// How connections to others are opened. Key `outbound`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// The proxy that every request to a receiver goes through: `http://proxy:3128`. No variable such as `HTTP_PROXY` is looked at.
    pub proxy: Option<String>,
    /// Hosts that users may name although their addresses are not public.
    pub allow: Vec<Allowed>,
}

impl Outbound {
    pub(crate) fn read(outbound: &Field<'_>) -> Outbound {
        let expected = "a network such as 10.0.0.0/8, or a name such as ci.internal or *.internal";
        let allowed = |item: &Field<'_>| item.parse(expected, |text| text.parse().ok());
        Outbound {
            proxy: web_url(&outbound.get("proxy"), "a URL such as http://proxy:3128"),
            allow: outbound.get("allow").items().iter().filter_map(allowed).collect(),
        }
    }
}
