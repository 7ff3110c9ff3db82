//! The access log: a line for each request, in the combined format that log analysers know.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::{metrics::method_label, receive};

/// How many lines may wait to be written. More are dropped and counted: requests do not wait for a terminal.
const LINES_WAITING_MAX: usize = 8192;

/// How much is written at once.
const WRITE_BYTES: usize = 64 * 1024;

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

/// Where the lines go.
#[derive(Clone, Debug, Default)]
pub struct AccessLog {
    lines: Option<SyncSender<String>>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Writes nothing.
    pub fn off() -> AccessLog {
        AccessLog::default()
    }

    /// Writes to standard output, from a thread of its own.
    pub fn stdout() -> std::io::Result<AccessLog> {
        let (lines, receiver) = sync_channel(LINES_WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let reported = dropped.clone();
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_lines(&receiver, &reported))?;
        Ok(AccessLog { lines: Some(lines), dropped })
    }

    pub(crate) fn write(&self, entry: &Entry, sent_bytes: u64, took: Duration) {
        let Some(lines) = &self.lines else { return };
        if let Err(TrySendError::Full(_)) = lines.try_send(entry.line(sent_bytes, took)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_lines(lines: &Receiver<String>, dropped: &AtomicU64) {
    let mut text = String::with_capacity(WRITE_BYTES);
    while let Ok(line) = lines.recv() {
        text.push_str(&line);
        while text.len() < WRITE_BYTES {
            match lines.try_recv() {
                Ok(line) => text.push_str(&line),
                Err(_) => break,
            }
        }
        // Nobody is left to be told that standard output is gone.
        let _ = std::io::stdout().write_all(text.as_bytes());
        let _ = std::io::stdout().flush();
        text.clear();
        let count = dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            tracing::warn!("dropped {count} lines of the access log: standard output is too slow");
        }
    }
}

/// What a line says of one request.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) request_id: String,
    pub(crate) request_bytes: u64,
    remote: String,
    user: Option<String>,
    method: Method,
    target: String,
    version: &'static str,
    status: StatusCode,
    referer: String,
    user_agent: String,
}

impl Entry {
    pub(crate) fn begin<B>(request: &Request<B>, peer: Option<IpAddr>, request_id: &str) -> Entry {
        let headers = request.headers();
        Entry {
            request_id: request_id.to_owned(),
            request_bytes: receive::declared_length(headers).unwrap_or(0),
            remote: remote(headers, peer),
            user: None,
            method: request.method().clone(),
            target: target(request.uri()),
            version: match request.version() {
                http::Version::HTTP_2 => "HTTP/2.0",
                http::Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            status: StatusCode::OK,
            referer: quotable(headers, header::REFERER),
            user_agent: quotable(headers, header::USER_AGENT),
        }
    }

    pub(crate) fn user(self, user: Option<String>) -> Entry {
        Entry { user, ..self }
    }

    pub(crate) fn status(self, status: StatusCode) -> Entry {
        Entry { status, ..self }
    }

    pub(crate) fn method_label(&self) -> &'static str {
        method_label(&self.method)
    }

    pub(crate) fn code(&self) -> u16 {
        self.status.as_u16()
    }

    /// The combined format, and after it the time that it took in milliseconds and the request's id.
    fn line(&self, sent_bytes: u64, took: Duration) -> String {
        let mut line = String::with_capacity(256);
        let now = OffsetDateTime::now_utc().format(TIME).unwrap_or_default();
        let user = self.user.as_deref().unwrap_or("-");
        let _ = writeln!(
            line,
            "{} - {user} [{now}] \"{} {} {}\" {} {sent_bytes} \"{}\" \"{}\" {:.3} {}",
            self.remote,
            self.method,
            self.target,
            self.version,
            self.status.as_u16(),
            self.referer,
            self.user_agent,
            took.as_secs_f64() * 1000.0,
            self.request_id
        );
        line
    }
}

/// The client as a proxy reports it, otherwise the peer.
fn remote(headers: &HeaderMap, peer: Option<IpAddr>) -> String {
    let first = |name: &str| headers.get(name)?.to_str().ok()?.split(',').next()?.trim().parse().ok();
    let address: Option<IpAddr> = first("x-forwarded-for").or_else(|| first("x-real-ip")).or(peer);
    address.map_or_else(|| "-".to_owned(), |address| address.to_string())
}

/// The request's path and query.
fn target(uri: &http::Uri) -> String {
    escape(uri.path_and_query().map_or(uri.path(), |target| target.as_str()))
}

fn quotable(headers: &HeaderMap, name: HeaderName) -> String {
    headers
        .get(name)
        .map_or_else(|| "-".to_owned(), |value| escape(&String::from_utf8_lossy(value.as_bytes())))
}

/// Keeps a line one line, and its quotes its own.
fn escape(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 512;
    let harmless = |c: char| if c.is_control() || c == '"' || c == '\\' { '?' } else { c };
    text.chars().take(SHOWN_CHARS_MAX).map(harmless).collect()
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
            .header("x-forwarded-for", "192.0.2.7, 10.0.0.1")
            .body(())
            .unwrap();
        let entry = Entry::begin(&request, None, "id").user(Some("ann".into())).status(StatusCode::CREATED);
        let line = entry.line(12, Duration::from_millis(5));
        assert!(line.starts_with("192.0.2.7 - ann ["), "{line}");
        assert!(
            line.contains("\"PUT /v2/a/manifests/x?tag=1 HTTP/1.1\" 201 12 \"-\" \"docker ?quoted?\""),
            "{line}"
        );
        assert!(line.ends_with(" 5.000 id\n"), "{line}");
    }
}
