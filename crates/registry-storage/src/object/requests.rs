use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;

/// How many requests were sent to a store, attempts that failed included.
#[derive(Debug, Default)]
pub struct Requests {
    get: AtomicU64,
    head: AtomicU64,
    put: AtomicU64,
    post: AtomicU64,
    delete: AtomicU64,
}

impl Requests {
    pub(super) fn count(&self, method: &Method) {
        let counter = match *method {
            Method::GET => &self.get,
            Method::HEAD => &self.head,
            Method::PUT => &self.put,
            Method::POST => &self.post,
            _ => &self.delete,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// By method: `GET` (listings are among them), `HEAD`, `PUT`, `POST`, `DELETE`.
    pub fn by_method(&self) -> [(&'static str, u64); 5] {
        [
            ("GET", self.get.load(Ordering::Relaxed)),
            ("HEAD", self.head.load(Ordering::Relaxed)),
            ("PUT", self.put.load(Ordering::Relaxed)),
            ("POST", self.post.load(Ordering::Relaxed)),
            ("DELETE", self.delete.load(Ordering::Relaxed)),
        ]
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_method().iter().map(|(_, count)| count).sum()
    }
}
