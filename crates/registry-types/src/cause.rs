//! What caused a change.

use crate::text::excerpt;

/// The longest id of a request that is kept, in bytes; what is longer is cut.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

/// The longest address of a client that is kept, in bytes.
pub const REQUEST_ADDRESS_BYTES_MAX: usize = 64;

/// The longest host that is kept, in bytes.
pub const REQUEST_HOST_BYTES_MAX: usize = 255;

/// The longest method that is kept, in bytes.
pub const REQUEST_METHOD_BYTES_MAX: usize = 16;

/// The longest user agent that is kept, in bytes.
pub const REQUEST_USER_AGENT_BYTES_MAX: usize = 256;

/// What caused a change: an actor, a request, both, or nothing that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The user, or what acts by itself: `retention`, `expired`, `gc`, `command line`. None for an anonymous client.
    pub actor: Option<String>,
    /// The request that asked for the change; none for what acts by itself.
    pub request: Option<RequestSource>,
}

impl Cause {
    /// Nothing is known of what caused a change.
    pub const UNKNOWN: Cause = Cause { actor: None, request: None };

    /// A change that an actor makes without a request.
    pub fn by(actor: impl Into<String>) -> Cause {
        Cause { actor: Some(actor.into()), request: None }
    }

    /// The actor, if there is one.
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_deref()
    }
}

/// Which request caused a change. [`new`](Self::new) cuts each text to its limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestSource {
    /// The id under which the request stands in the logs: at most [`REQUEST_ID_BYTES_MAX`] bytes.
    pub id: String,
    /// The address of the client, as far as trusted proxies tell it: at most [`REQUEST_ADDRESS_BYTES_MAX`] bytes.
    pub address: Option<String>,
    /// The host by which the client called the registry, perhaps with a port: at most [`REQUEST_HOST_BYTES_MAX`] bytes.
    pub host: Option<String>,
    /// The method of the request: at most [`REQUEST_METHOD_BYTES_MAX`] bytes.
    pub method: String,
    /// What the client calls itself: at most [`REQUEST_USER_AGENT_BYTES_MAX`] bytes.
    pub user_agent: Option<String>,
}

impl RequestSource {
    /// A request with these texts. Each is cut to its limit, between two characters.
    pub fn new(
        id: &str,
        address: Option<&str>,
        host: Option<&str>,
        method: &str,
        user_agent: Option<&str>,
    ) -> RequestSource {
        RequestSource {
            id: excerpt(id, REQUEST_ID_BYTES_MAX),
            address: address.map(|address| excerpt(address, REQUEST_ADDRESS_BYTES_MAX)),
            host: host.map(|host| excerpt(host, REQUEST_HOST_BYTES_MAX)),
            method: excerpt(method, REQUEST_METHOD_BYTES_MAX),
            user_agent: user_agent.map(|agent| excerpt(agent, REQUEST_USER_AGENT_BYTES_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_cut_to_its_limit() {
        let long = "é".repeat(1000);
        let text = Some(long.as_str());
        let source = RequestSource::new(&long, text, text, &long, text);
        let lengths = [
            source.id.len(),
            source.address.unwrap().len(),
            source.host.unwrap().len(),
            source.method.len(),
            source.user_agent.unwrap().len(),
        ];
        assert_eq!(lengths, [64, 64, 254, 16, 256]);
    }
}
