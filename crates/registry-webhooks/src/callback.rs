//! What a receiver of Docker Hub's format reports to the URL that it was given.
//!
//! Source: Docker's documentation, "Webhooks", "Validate a webhook callback".

use serde::Deserialize;
use thiserror::Error;

use crate::Callback;

/// The longest body of a report, in bytes.
pub const CALLBACK_BODY_BYTES_MAX: usize = 16 * 1024;

/// What a report may say of the receiver's work.
const STATES: [&str; 3] = ["success", "failure", "error"];

/// Why a body is no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParseCallbackError {
    /// Too long.
    #[error("a report has at most {CALLBACK_BODY_BYTES_MAX} bytes")]
    Long,
    /// No such object.
    #[error(
        "a report is a JSON object with `state`, and perhaps `description`, `context` and `target_url`, which are texts: {0}"
    )]
    Json(#[from] serde_json::Error),
    /// A state that is none.
    #[error("the state of a report is success, failure or error")]
    State,
}

#[derive(Deserialize)]
struct Report {
    state: String,
    description: Option<String>,
    context: Option<String>,
    target_url: Option<String>,
}

impl Callback {
    /// Reads the body of a report. When it came is not in it.
    ///
    /// # Errors
    /// [`ParseCallbackError`].
    pub fn parse(body: &[u8]) -> Result<Callback, ParseCallbackError> {
        if body.len() > CALLBACK_BODY_BYTES_MAX {
            return Err(ParseCallbackError::Long);
        }
        let Report { state, description, context, target_url } = serde_json::from_slice(body)?;
        if !STATES.contains(&state.as_str()) {
            return Err(ParseCallbackError::State);
        }
        Ok(Callback { at_ms: 0, state, description, context, target_url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_docker_hub_takes_it() {
        let read = Callback::parse(
            br#"{"state": "success", "description": "387 tests PASSED", "context": "CI", "target_url": "https://ci.example.com/1"}"#,
        );
        let text = |text: &str| Some(text.to_owned());
        let expected = Callback {
            at_ms: 0,
            state: "success".to_owned(),
            description: text("387 tests PASSED"),
            context: text("CI"),
            target_url: text("https://ci.example.com/1"),
        };
        assert_eq!(read.unwrap(), expected);
        let bare = Callback::parse(br#"{"state": "error", "description": null, "more": 1}"#).unwrap();
        assert_eq!((bare.state.as_str(), bare.description), ("error", None));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for body in ["", "[]", "{}", r#"{"state": 1}"#, r#"{"state": "success", "context": {}}"#] {
            assert!(matches!(Callback::parse(body.as_bytes()), Err(ParseCallbackError::Json(_))), "{body}");
        }
        let unknown = Callback::parse(br#"{"state": "done"}"#);
        assert!(matches!(unknown, Err(ParseCallbackError::State)));
        let long = " ".repeat(CALLBACK_BODY_BYTES_MAX) + "{}";
        assert!(matches!(Callback::parse(long.as_bytes()), Err(ParseCallbackError::Long)));
    }
}
