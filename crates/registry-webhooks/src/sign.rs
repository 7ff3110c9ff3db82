use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use crate::{MessageId, WebhookSecret};

/// The header with the message's id.
pub const ID_HEADER: HeaderName = HeaderName::from_static("webhook-id");

/// The header with the time of the attempt, in seconds since 1970.
pub const TIMESTAMP_HEADER: HeaderName = HeaderName::from_static("webhook-timestamp");

/// The header with a signature for each secret, with a space between two.
pub const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("webhook-signature");

/// The header with a signature as GitHub's webhooks have it.
pub const HUB_SIGNATURE_HEADER: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// Headers of one attempt: the message's id, the time, and the signatures by each of the secrets that are good now, the newest
/// first. Without a secret only id and time.
///
/// `webhook-signature` is the HMAC-SHA-256 of `id.timestamp.body`, keyed by the secret's bytes; `X-Hub-Signature-256` is the one
/// of the body, keyed by the text of the newest secret, with `whsec_`.
///
/// Source: Standard Webhooks, "Webhook headers".
pub fn sign(id: MessageId, at_seconds: i64, body: &[u8], secrets: &[&WebhookSecret]) -> HeaderMap {
    let id = id.to_string();
    let mut headers = HeaderMap::new();
    let signatures: Vec<_> = secrets.iter().map(|secret| standard(&id, at_seconds, body, secret)).collect();
    for (name, value) in [
        (ID_HEADER, Some(id)),
        (TIMESTAMP_HEADER, Some(at_seconds.to_string())),
        (SIGNATURE_HEADER, (!signatures.is_empty()).then(|| signatures.join(" "))),
        (HUB_SIGNATURE_HEADER, secrets.first().map(|secret| hub(body, secret))),
    ] {
        // All of these texts are letters, digits and signs of base64.
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

fn standard(id: &str, at_seconds: i64, body: &[u8], secret: &WebhookSecret) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.bytes()));
    context.update(format!("{id}.{at_seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

fn hub(body: &[u8], secret: &WebhookSecret) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
        headers[name].to_str().unwrap()
    }

    /// Examples of the project's libraries.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        for (id, at, body, secret, signature) in [
            (
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1614265330,
                r#"{"test": 2432232314}"#,
                SECRET,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "msg_loFOjxBNrRLzqYUf",
                1731705121,
                r#"{"event_type":"ping","data":{"success":true}}"#,
                "whsec_plJ3nmyCDGBKInavdOK15jsl",
                "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
            ),
        ] {
            let bytes = STANDARD.decode(&secret[6..]).unwrap();
            // The second example's key is shorter than those that we take.
            let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
            let signed = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
            assert_eq!(format!("v1,{}", STANDARD.encode(signed)), signature);
            if let Ok(secret) = secret.parse() {
                assert_eq!(standard(id, at, body.as_bytes(), &secret), signature);
            }
        }
    }

    #[test]
    fn each_secret_that_is_good_signs_and_the_newest_signs_as_github_does() {
        let id: MessageId = "msg_00112233445566778899aabbccddeeff".parse().unwrap();
        let (new, former): (WebhookSecret, WebhookSecret) =
            (SECRET.parse().unwrap(), WebhookSecret::generate().unwrap());
        let headers = sign(id, 1614265330, b"{}", &[&new, &former]);
        assert_eq!(header(&headers, &ID_HEADER), id.to_string());
        assert_eq!(header(&headers, &TIMESTAMP_HEADER), "1614265330");
        let expected = [&new, &former].map(|secret| standard(&id.to_string(), 1614265330, b"{}", secret));
        assert_eq!(header(&headers, &SIGNATURE_HEADER), expected.join(" "));
        // printf '{}' | openssl dgst -sha256 -hmac whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
        assert_eq!(
            header(&headers, &HUB_SIGNATURE_HEADER),
            "sha256=6cbbcdf2c8016ca85b50543b19e8e121ef16137967bdfa3ce660972922bafaeb"
        );
    }

    #[test]
    fn without_a_secret_there_is_no_signature() {
        let headers = sign(MessageId::generate().unwrap(), 1, b"{}", &[]);
        assert!(headers.contains_key(ID_HEADER) && headers.contains_key(TIMESTAMP_HEADER));
        assert!(!headers.contains_key(SIGNATURE_HEADER) && !headers.contains_key(HUB_SIGNATURE_HEADER));
    }
}
