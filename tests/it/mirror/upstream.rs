//! A registry that behaves as a test says: each request is answered by the script of the test.

use std::sync::Arc;

use bytes::Bytes;
use registry_core::digest::{Algorithm, Digest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// What an upstream does with a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// An answer with these headers, and a body of which so many bytes are sent before the connection ends.
    Answer { status: u16, headers: Vec<(String, String)>, body: Bytes, sent: usize },
    /// The same, with a pause after so many bytes until the test lets it go on.
    Halting { body: Bytes, before: usize, gate: Arc<Semaphore> },
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    head: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

type Script = dyn Fn(&Asked) -> Act + Send + Sync;

/// A running upstream. It ends with the test's runtime.
pub(crate) struct Upstream {
    pub(crate) url: String,
    asked: Arc<std::sync::Mutex<Vec<Asked>>>,
    script: Arc<std::sync::Mutex<Arc<Script>>>,
}

impl Upstream {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let script: Arc<std::sync::Mutex<Arc<Script>>> = Arc::new(std::sync::Mutex::new(Arc::new(script)));
        let (all, current) = (asked.clone(), script.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (all, current) = (all.clone(), current.clone());
                tokio::spawn(async move { serve(stream, &all, &current).await });
            }
        });
        Upstream { url, asked, script }
    }

    /// What it does from now on.
    pub(crate) fn behave(&self, script: impl Fn(&Asked) -> Act + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// The requests of a method whose path has a part.
    pub(crate) fn asked(&self, method: &str, part: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.method == method && asked.path.contains(part)).cloned().collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    all: &std::sync::Mutex<Vec<Asked>>,
    script: &std::sync::Mutex<Arc<Script>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let asked = Asked { method, path, head };
    all.lock().unwrap().push(asked.clone());
    let script = script.lock().unwrap().clone();
    let is_head = asked.method == "HEAD";
    match script(&asked) {
        Act::Answer { status, headers, body, sent } => {
            let _ = stream.write_all(&head_of(status, &headers, body.len())).await;
            if !is_head {
                let _ = stream.write_all(&body[..sent.min(body.len())]).await;
            }
        }
        Act::Halting { body, before, gate } => {
            let _ = stream.write_all(&head_of(200, &[], body.len())).await;
            let _ = stream.write_all(&body[..before]).await;
            gate.acquire().await.unwrap().forget();
            let _ = stream.write_all(&body[before..]).await;
        }
    }
    let _ = stream.shutdown().await;
}

fn head_of(status: u16, headers: &[(String, String)], length: usize) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| name == "content-length") {
        text.push_str(&format!("content-length: {length}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// All of a body.
pub(crate) fn whole(body: &Bytes) -> Act {
    Act::Answer { status: 200, headers: Vec::new(), body: body.clone(), sent: body.len() }
}

/// A status without a body, with headers.
pub(crate) fn status(status: u16, headers: &[(&str, &str)]) -> Act {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Act::Answer { status, headers, body: Bytes::new(), sent: 0 }
}

/// A manifest.
pub(crate) fn manifest(content: &registry_testing::Content) -> Act {
    let headers = [
        ("content-type".to_owned(), content.media_type.to_string()),
        ("docker-content-digest".to_owned(), content.digest.to_string()),
    ];
    let (body, sent) = (content.bytes.clone(), content.bytes.len());
    Act::Answer { status: 200, headers: headers.into(), body, sent }
}

/// The answer to a request for a range of a body.
pub(crate) fn part(body: &Bytes, asked: &Asked) -> Act {
    let Some(range) = asked.header("range") else { return whole(body) };
    let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
    let headers = vec![("content-range".to_owned(), format!("bytes {start}-{end}/{}", body.len()))];
    let body = body.slice(start..=end);
    Act::Answer { status: 206, headers, sent: body.len(), body }
}

/// Bytes, and the digest of them.
pub(crate) fn blob(length: usize) -> (Bytes, Digest) {
    let bytes: Bytes = (0..length).map(|index| (index * 7 % 251) as u8).collect();
    let digest = Digest::of(Algorithm::default(), &bytes);
    (bytes, digest)
}
