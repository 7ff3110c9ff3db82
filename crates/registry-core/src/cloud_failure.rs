//! Why an object store can not be opened, in one sentence: which bucket, what happened, and which key to look at.

use std::error::Error;

use registry_storage::StorageError;

use crate::{OpenError, cloud::Cloud};

/// How much of what a store says is repeated.
const REASON_CHARS_MAX: usize = 300;

/// The error of a start. What says enough by itself stays as it is.
pub(crate) fn explain(cloud: &Cloud, error: StorageError) -> OpenError {
    let (reason, look_at) = match &error {
        StorageError::Unavailable { source, .. } | StorageError::Backend { source, .. } => {
            understand(cloud, &innermost(&**source), &all(&**source))
        }
        StorageError::Setup { reason } => (shortened(reason), Key::Section),
        _ => return OpenError::Storage(error),
    };
    OpenError::ObjectStore { place: cloud.place(), reason, look_at: cloud.keys(look_at) }
}

/// What a start is told while it waits.
pub(crate) fn why_not_yet(cloud: &Cloud, error: &StorageError) -> String {
    match error {
        StorageError::Unavailable { source, .. } => {
            understand(cloud, &innermost(&**source), &all(&**source)).0
        }
        other => shortened(&other.to_string()),
    }
}

/// Whether waiting can help. That there are no credentials looks to the client like a server that does not answer.
pub(crate) fn may_pass(error: &StorageError) -> bool {
    match error {
        StorageError::Unavailable { source, .. } => !asks_machine(&all(&**source)),
        _ => false,
    }
}

/// Which keys an operator should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Bucket,
    Credentials,
    Endpoint,
    /// The section as a whole.
    Section,
}

fn understand(cloud: &Cloud, innermost: &str, all: &str) -> (String, Key) {
    let has = |sign: &str| all.contains(sign);
    if asks_machine(all) {
        let reason = "there are no credentials: none are configured, the environment has none, and this machine has \
                      no role that would give some";
        return (reason.to_owned(), Key::Credentials);
    }
    if has("NoSuchBucket") || has("ContainerNotFound") {
        return (format!("there is no such {}", cloud.bucket_word()), Key::Bucket);
    }
    let said = said_by_store(all).unwrap_or_else(|| shortened(innermost));
    match () {
        () if has("status code: 401") || has("status code: 403") => {
            (format!("it refuses the credentials, or they lack rights: {said}"), Key::Credentials)
        }
        () if has("status code: 301") || has("PermanentRedirect") || has("AuthorizationHeaderMalformed") => {
            (format!("the bucket is in another region: {said}"), Key::Bucket)
        }
        () if has("dns error") || has("failed to lookup address") => {
            ("the name of its host is not known".to_owned(), Key::Endpoint)
        }
        () if has("InvalidContentType") || has("corrupt message") => {
            ("it does not speak TLS there: the endpoint should begin with http://".to_owned(), Key::Endpoint)
        }
        () if has("certificate") => {
            (format!("its certificate is not trusted: {}", shortened(innermost)), Key::Endpoint)
        }
        () if has("tcp connect error") || has("Connect") || has("timed out") => {
            (format!("it can not be reached: {}", shortened(innermost)), Key::Endpoint)
        }
        () => (said, Key::Section),
    }
}

/// Where the clients of the clouds ask for a role of the machine or of the container.
fn asks_machine(all: &str) -> bool {
    ["169.254.169.254", "169.254.170.2", "metadata.google.internal"]
        .iter()
        .any(|address| all.contains(address))
}

/// `<Code>` and `<Message>` of an answer.
fn said_by_store(all: &str) -> Option<String> {
    let element = |name: &str| {
        let after = all.split_once(&format!("<{name}>"))?.1;
        Some(after.split_once(&format!("</{name}>"))?.0.trim().to_owned())
    };
    let code = element("Code")?;
    let text = match element("Message").filter(|message| !message.is_empty() && *message != code) {
        Some(message) => format!("{code}, {message}"),
        None => code,
    };
    Some(shortened(&text))
}

/// The texts of an error and of its causes, one below the other.
fn all(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}\n{cause}");
        next = cause.source();
    }
    text
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    match error.source() {
        Some(cause) => innermost(cause),
        None => error.to_string(),
    }
}

/// In one line, and not longer than a sentence.
fn shortened(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut start: String = words.chars().take(REASON_CHARS_MAX).collect();
    if start.len() < words.len() {
        start.push('…');
    }
    start.trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
#[cfg(feature = "s3")]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Chain(Vec<&'static str>, Option<Box<Chain>>);

    impl std::fmt::Display for Chain {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0[0])
        }
    }

    impl Error for Chain {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|chain| chain as _)
        }
    }

    fn chain(texts: &[&'static str]) -> Chain {
        let rest = (texts.len() > 1).then(|| Box::new(chain(&texts[1..])));
        Chain(texts.to_vec(), rest)
    }

    fn sentence(texts: &[&'static str]) -> String {
        let cloud = Cloud::S3(registry_storage::S3Options {
            bucket: "docker".into(),
            endpoint: Some("http://127.0.0.1:9000".into()),
            ..registry_storage::S3Options::default()
        });
        let error = StorageError::Unavailable { operation: "read an object", source: chain(texts).into() };
        explain(&cloud, error).to_string()
    }

    #[test]
    fn a_start_fails_with_one_sentence_that_says_each_thing_once() {
        for (texts, reason, key) in [
            (
                &[
                    "Generic S3 error",
                    "error sending request",
                    "client error (Connect)",
                    "tcp connect error",
                    "Connection refused (os error 111)",
                ][..],
                "it can not be reached: Connection refused (os error 111)",
                "regionendpoint",
            ),
            (
                &[
                    "Generic S3 error: Error performing GET http://169.254.169.254/latest/api/token in 3s",
                    "error sending request for url (http://169.254.169.254/latest/api/token)",
                    "No route to host",
                ],
                "there are no credentials",
                "accesskey",
            ),
            (
                &[
                    "Server returned non-2xx status code: 403 Forbidden: <Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>",
                ],
                "it refuses the credentials, or they lack rights: InvalidAccessKeyId, No such key",
                "accesskey",
            ),
            (
                &["status code: 404 Not Found: <Error><Code>NoSuchBucket</Code><Message>m</Message></Error>"],
                "there is no such bucket",
                "storage.s3.bucket",
            ),
            (
                &["a", "received corrupt message of type InvalidContentType"],
                "it does not speak TLS there",
                "secure",
            ),
            (
                &["client error (Connect)", "dns error: failed to lookup address information"],
                "the name of its host is not known",
                "regionendpoint",
            ),
        ] {
            let text = sentence(texts);
            assert!(text.contains(reason) && text.contains(key), "{text}");
            assert!(text.contains("`docker`") && text.contains("http://127.0.0.1:9000"), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
            assert_eq!(text.matches(reason).count(), 1, "{text}");
            assert!(!text.contains("169.254"), "{text}");
        }
    }
}
