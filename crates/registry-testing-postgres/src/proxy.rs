//! A way to a PostgreSQL server that breaks where a test wants it to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// When the way breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The client's text reaches the server; the server's answer is lost, and so is the connection.
    AfterSending(&'static str),
    /// The text does not reach the server any more.
    BeforeSending(&'static str),
    /// Neither does it, and nobody is told: from then on the way is [silent](Proxy::silence).
    SilentBefore(&'static str),
}

/// Passes on what comes. It ends with the runtime that it was made in.
#[derive(Clone, Debug)]
pub struct Proxy {
    port: u16,
    breaks: Arc<Mutex<Option<Break>>>,
    /// Whether nothing is passed on, and nobody is told.
    is_silent: Arc<AtomicBool>,
}

impl Proxy {
    /// Before the server at a port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port can be had");
        let proxy = Proxy {
            port: listener.local_addr().expect("a listener has an address").port(),
            breaks: Arc::default(),
            is_silent: Arc::default(),
        };
        let passing = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let passing = passing.clone();
                tokio::spawn(async move { passing.pass(client, port).await });
            }
        });
        proxy
    }

    /// The port of 127.0.0.1 that stands for the server's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks once.
    pub fn break_once(&self, at: Break) {
        *self.breaks.lock() = Some(at);
    }

    /// Whether it has.
    pub fn has_broken(&self) -> bool {
        self.breaks.lock().is_none()
    }

    /// Whether nothing comes through any more, in either direction, and nobody is told.
    pub fn silence(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }

    async fn pass(&self, client: TcpStream, port: u16) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let (silent, loses) = (self.is_silent.clone(), Arc::new(AtomicBool::new(false)));
        let has_lost = loses.clone();
        let back = tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                if silent.load(Ordering::SeqCst) {
                    loses.store(true, Ordering::SeqCst);
                } else if to_client.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        });
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let bytes = &buffer[..count];
            if self.is_silent.load(Ordering::SeqCst) {
                has_lost.store(true, Ordering::SeqCst);
                continue;
            }
            // Nothing may come after a gap.
            if has_lost.load(Ordering::SeqCst) {
                break;
            }
            let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            let breaks = *self.breaks.lock();
            match breaks {
                Some(Break::SilentBefore(text)) if has(text) => {
                    *self.breaks.lock() = None;
                    self.silence(true);
                    has_lost.store(true, Ordering::SeqCst);
                    continue;
                }
                Some(Break::BeforeSending(text)) if has(text) => {
                    *self.breaks.lock() = None;
                    break;
                }
                Some(Break::AfterSending(text)) if has(text) => {
                    *self.breaks.lock() = None;
                    back.abort();
                    let _ = back.await;
                    let _ = to_server.write_all(bytes).await;
                    // The server reads it before it sees that nobody listens any more.
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    return;
                }
                _ => {}
            }
            if to_server.write_all(bytes).await.is_err() {
                break;
            }
        }
        back.abort();
    }
}
