use std::time::Duration;

use crate::address::TcpAddress;
use crate::field::Field;
use crate::http::{address, headers, is_web_url};

/// What is looked at to say whether the registry is well. Key `health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether and how the store is looked at.
    pub storage: StorageCheck,
    /// Files that must not exist.
    pub files: Vec<FileCheck>,
    /// URLs that must answer.
    pub http: Vec<HttpCheck>,
    /// Addresses that must accept connections.
    pub tcp: Vec<TcpCheck>,
}

/// How the store is looked at. Key `health.storagedriver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageCheck {
    /// Whether it is.
    pub enabled: bool,
    /// How often, and how many failures count.
    pub rhythm: Rhythm,
}

/// How often something is looked at, and how many failures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// 10 seconds by default.
    pub interval: Duration,
    /// How many failures in a row make it unwell. Zero, the default, is one.
    pub threshold: u32,
}

/// A file that must not exist. Key `health.file[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCheck {
    /// Its path.
    pub file: String,
    /// How often, and how many failures count.
    pub rhythm: Rhythm,
}

/// A URL that must answer HEAD. Key `health.http[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// The URL, of `http` or `https`.
    pub uri: String,
    /// What the request says in addition.
    pub headers: Vec<(String, Vec<String>)>,
    /// How long it may take; 5 seconds by default.
    pub timeout: Duration,
    /// The status that is well; 200 by default.
    pub status: u16,
    /// How often, and how many failures count.
    pub rhythm: Rhythm,
}

/// An address that must accept connections. Key `health.tcp[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpCheck {
    /// The address.
    pub address: TcpAddress,
    /// How long it may take; 5 seconds by default.
    pub timeout: Duration,
    /// How often, and how many failures count.
    pub rhythm: Rhythm,
}

/// The longest URL that can be asked, in bytes.
const URL_BYTES_MAX: usize = 2048;

impl Health {
    pub(crate) fn read(health: &Field<'_>) -> Health {
        let storage = health.get("storagedriver");
        Health {
            storage: StorageCheck {
                enabled: storage.get("enabled").flag(false),
                rhythm: Rhythm::read(&storage),
            },
            files: health.get("file").items().iter().filter_map(file).collect(),
            http: health.get("http").items().iter().filter_map(http).collect(),
            tcp: health.get("tcp").items().iter().filter_map(tcp).collect(),
        }
    }
}

impl Rhythm {
    fn read(check: &Field<'_>) -> Rhythm {
        let threshold = check.get("threshold").integer(0, 0..=1_000);
        Rhythm {
            interval: check.get("interval").duration(Duration::from_secs(10), Duration::from_millis(100)),
            threshold: u32::try_from(threshold).unwrap_or(u32::MAX),
        }
    }
}

fn file(check: &Field<'_>) -> Option<FileCheck> {
    let file = check.get("file").required("the path of a file whose existence means unwell");
    Some(FileCheck { rhythm: Rhythm::read(check), file: file? })
}

fn http(check: &Field<'_>) -> Option<HttpCheck> {
    let uri = check.get("uri").required("a URL").and_then(|_| {
        let is_url = |text: &str| {
            let fits =
                text.len() <= URL_BYTES_MAX && !text.contains('#') && is_web_url(text.split('?').next()?);
            fits.then(|| text.to_owned())
        };
        check.get("uri").parse("a URL that begins with http:// or https:// and has no part after #", is_url)
    });
    let headers = headers(&check.get("headers"));
    let (timeout, rhythm) = (timeout(check), Rhythm::read(check));
    let status = check.get("statuscode").integer(200, 100..=599);
    Some(HttpCheck { uri: uri?, headers, timeout, rhythm, status: u16::try_from(status).ok()? })
}

fn tcp(check: &Field<'_>) -> Option<TcpCheck> {
    let addr = check.get("addr");
    let address = addr.required("host:port").and_then(|_| address(&addr));
    let (timeout, rhythm) = (timeout(check), Rhythm::read(check));
    Some(TcpCheck { address: address?, timeout, rhythm })
}

fn timeout(check: &Field<'_>) -> Duration {
    check.get("timeout").duration(Duration::from_secs(5), Duration::from_millis(1))
}
