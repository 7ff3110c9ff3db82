//! The access log: a line for each request, in the combined format that log analysers know.

mod sink;

use std::{cell::RefCell, fmt::Write as _, net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use self::sink::Sink;
use crate::{
    metrics::method_label,
    receive,
    request_id::{RequestId, copied},
};

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

/// Where the lines go. A line is written within some ten milliseconds; what waits when the process is killed is lost.
#[derive(Clone, Debug, Default)]
pub struct AccessLog(Option<Arc<Sink>>);

impl AccessLog {
    /// Writes nothing.
    pub fn off() -> AccessLog {
        AccessLog::default()
    }

    /// Writes to standard output, from a thread of its own. Dropping the last clone writes what still waits.
    pub fn stdout() -> std::io::Result<AccessLog> {
        Ok(AccessLog(Some(Arc::new(Sink::start(std::io::stdout())?))))
    }

    pub(crate) fn write(&self, entry: &Entry, sent_bytes: u64, took: Duration) {
        thread_local! {
            static LINE: RefCell<String> = const { RefCell::new(String::new()) };
        }
        let Some(sink) = &self.0 else { return };
        LINE.with_borrow_mut(|line| {
            line.clear();
            entry.write(line, sent_bytes, took);
            sink.put(line);
        });
    }
}

/// What a line says of one request. What came with the request is shared with it and not copied.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) request_id: RequestId,
    pub(crate) request_bytes: u64,
    remote: Option<IpAddr>,
    user: Option<String>,
    method: Method,
    uri: Uri,
    version: &'static str,
    status: StatusCode,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl Entry {
    pub(crate) fn begin<B>(request: &Request<B>, client: Option<IpAddr>, request_id: RequestId) -> Entry {
        let headers = request.headers();
        Entry {
            request_id,
            request_bytes: receive::declared_length(headers).unwrap_or(0),
            remote: client,
            user: None,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: match request.version() {
                http::Version::HTTP_2 => "HTTP/2.0",
                http::Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            status: StatusCode::OK,
            referer: headers.get(header::REFERER).cloned(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
        }
    }

    pub(crate) fn set_outcome(&mut self, user: Option<String>, status: StatusCode) {
        self.user = user;
        self.status = status;
    }

    /// Copies what is shared with the request, which otherwise keeps the whole buffer that the request was read into.
    pub(crate) fn let_go_of_request(&mut self) {
        self.request_id.copy();
        self.uri = self.uri.to_string().parse().unwrap_or_default();
        for header in [&mut self.referer, &mut self.user_agent].into_iter().flatten() {
            *header = copied(header);
        }
    }

    /// What was asked for, without its query.
    pub(crate) fn request_line(&self) -> String {
        format!("{} {}", self.method, self.uri.path())
    }

    pub(crate) fn method_label(&self) -> &'static str {
        method_label(&self.method)
    }

    pub(crate) fn code(&self) -> u16 {
        self.status.as_u16()
    }

    /// The combined format, and after it the time that it took in milliseconds and the request's id.
    fn write(&self, line: &mut String, sent_bytes: u64, took: Duration) {
        match self.remote {
            Some(address) => _ = write!(line, "{address}"),
            None => line.push('-'),
        }
        line.push_str(" - ");
        push_user(line, self.user.as_deref());
        line.push_str(" [");
        push_now(line);
        line.push_str("] \"");
        line.push_str(self.method.as_str());
        line.push(' ');
        push_escaped(line, self.uri.path_and_query().map_or(self.uri.path(), |target| target.as_str()));
        _ = write!(line, " {}\" {} {sent_bytes} \"", self.version, self.status.as_u16());
        push_header(line, self.referer.as_ref());
        line.push_str("\" \"");
        push_header(line, self.user_agent.as_ref());
        let took_us = took.as_micros();
        _ = writeln!(line, "\" {}.{:03} {}", took_us / 1000, took_us % 1000, self.request_id);
    }
}

/// The time, which is put into words once a second.
fn push_now(line: &mut String) {
    thread_local! {
        static WORDS: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let now = OffsetDateTime::now_utc();
    WORDS.with_borrow_mut(|(second, words)| {
        if *second != now.unix_timestamp() {
            *words = now.format(TIME).unwrap_or_default();
            *second = now.unix_timestamp();
        }
        line.push_str(words);
    });
}

fn push_header(line: &mut String, value: Option<&HeaderValue>) {
    match value {
        None => line.push('-'),
        Some(value) => push_escaped(line, &String::from_utf8_lossy(value.as_bytes())),
    }
}

/// Without what separates the fields of a line.
fn push_user(line: &mut String, user: Option<&str>) {
    match user {
        None => line.push('-'),
        Some(user) => push_escaped(line, &user.replace(char::is_whitespace, "?")),
    }
}

/// Keeps a line one line, and its quotes its own.
fn push_escaped(line: &mut String, text: &str) {
    const SHOWN_CHARS_MAX: usize = 512;
    let is_harmful = |c: char| c.is_control() || c == '"' || c == '\\';
    if text.len() <= SHOWN_CHARS_MAX && !text.contains(is_harmful) {
        return line.push_str(text);
    }
    line.extend(text.chars().take(SHOWN_CHARS_MAX).map(|c| if is_harmful(c) { '?' } else { c }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_combined_format() {
        let request = Request::builder()
            .method("PUT")
            .uri("/v2/a/manifests/x?tag=1")
            .header("user-agent", "docker \"quoted\"")
            .header("x-request-id", "some-id")
            .body(())
            .unwrap();
        let mut entry = Entry::begin(
            &request,
            "192.0.2.7".parse().ok(),
            crate::request_id::RequestIds::default().of(request.headers()),
        );
        entry.set_outcome(Some("ann".into()), StatusCode::CREATED);
        entry.let_go_of_request();
        let mut line = String::new();
        entry.write(&mut line, 12, Duration::from_micros(5012));
        assert!(line.starts_with("192.0.2.7 - ann ["), "{line}");
        assert!(
            line.contains("\"PUT /v2/a/manifests/x?tag=1 HTTP/1.1\" 201 12 \"-\" \"docker ?quoted?\""),
            "{line}"
        );
        assert!(line.ends_with(" 5.012 some-id\n"), "{line}");
    }

    #[test]
    fn a_user_is_one_field_of_one_line() {
        for (user, shown) in [
            (None, "-"),
            (Some("ann"), "ann"),
            (Some("ann \"x\" [y]"), "ann??x??[y]"),
            (Some("ann\n192.0.2.1 - bob"), "ann?192.0.2.1?-?bob"),
            (Some("a\tb\u{1b}[2J\\"), "a?b?[2J?"),
        ] {
            let mut line = String::new();
            push_user(&mut line, user);
            assert_eq!(line, shown);
        }
    }
}
