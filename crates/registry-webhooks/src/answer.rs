use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

use crate::backoff::ATTEMPTS_WITHIN;

/// What the answer of a receiver means for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The receiver has it.
    Delivered,
    /// The receiver wants nothing any more: the webhook is switched off.
    Gone,
    /// To be tried again: after this time, if the receiver said one.
    Failed {
        /// What `Retry-After` says, at most a day.
        retry_after: Option<Duration>,
    },
}

/// Which statuses mean that a receiver has a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accepts {
    /// 200 to 299.
    #[default]
    Success,
    /// 200 to 399 but for 307 and 308, as the Go registry takes them: its receivers may answer with a redirect to a page. It follows 307
    /// and 308 with the body; here they are failures, since a receiver that moved has not got the message.
    SuccessAndRedirects,
}

/// What an answer means. `Retry-After` counts on 429 and 503, in seconds or as a date.
pub fn judge(accepts: Accepts, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Meaning {
    match status.as_u16() {
        200..=299 => Meaning::Delivered,
        307 | 308 => Meaning::Failed { retry_after: None },
        300..=399 if accepts == Accepts::SuccessAndRedirects => Meaning::Delivered,
        // The Go registry takes 410 for a failure as others; its endpoints are configured, and are not switched off by a receiver.
        410 if accepts == Accepts::Success => Meaning::Gone,
        429 | 503 => Meaning::Failed { retry_after: retry_after(headers, now) },
        _ => Meaning::Failed { retry_after: None },
    }
}

fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are longer than a day as well.
        true if !text.is_empty() => Duration::from_secs(text.parse().unwrap_or(u64::MAX)),
        _ => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(ATTEMPTS_WITHIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(accepts: Accepts, status: u16, retry_after: Option<&str>) -> Meaning {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
        }
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784111777);
        judge(accepts, status.try_into().unwrap(), &headers, now)
    }

    #[test]
    fn statuses_mean_one_thing_each() {
        let failed = Meaning::Failed { retry_after: None };
        for (status, ours, theirs) in [
            (200, Meaning::Delivered, Meaning::Delivered),
            (204, Meaning::Delivered, Meaning::Delivered),
            (299, Meaning::Delivered, Meaning::Delivered),
            (301, failed, Meaning::Delivered),
            (303, failed, Meaning::Delivered),
            (307, failed, failed),
            (308, failed, failed),
            (399, failed, Meaning::Delivered),
            (400, failed, failed),
            (404, failed, failed),
            (410, Meaning::Gone, failed),
            (429, failed, failed),
            (500, failed, failed),
            (503, failed, failed),
            (999, failed, failed),
        ] {
            assert_eq!(judged(Accepts::Success, status, None), ours, "{status}");
            assert_eq!(judged(Accepts::SuccessAndRedirects, status, None), theirs, "{status}");
        }
    }

    #[test]
    fn a_receiver_says_when_it_wants_to_be_asked_again() {
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86400", Some(86_400)),
            ("86401", Some(86_400)),
            ("99999999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:48:37 GMT", Some(86_400)),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            let expected = Meaning::Failed { retry_after: seconds.map(Duration::from_secs) };
            assert_eq!(judged(Accepts::Success, 429, Some(text)), expected, "{text}");
            assert_eq!(judged(Accepts::Success, 503, Some(text)), expected, "{text}");
        }
        // Elsewhere it means something else, or nothing.
        assert_eq!(judged(Accepts::Success, 500, Some("7")), Meaning::Failed { retry_after: None });
    }
}
