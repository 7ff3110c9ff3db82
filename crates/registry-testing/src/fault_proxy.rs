//! A proxy before a server of objects that makes trouble.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::Random;

const OVERLOADED: &[u8] = b"HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\nconnection: close\r\n\
    content-length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>";

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    /// The first request is answered with 503.
    Overloaded,
    /// What the client sends is cut after so many bytes.
    CutRequest(u64),
    /// What the server answers is cut after so many bytes: with none of them, an answer is lost after success.
    CutAnswer(u64),
    /// Everything comes late.
    Slow,
    /// It ends after a while, in the middle of whatever.
    Brief(Duration),
}

/// A running proxy. It ends with the test's runtime.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: u16,
    random: Mutex<Random>,
    is_evil: AtomicBool,
    is_down: AtomicBool,
    troubles: AtomicU64,
    /// Ends the connections from before the trouble.
    trouble: Notify,
}

impl FaultProxy {
    /// Before the server at a port of 127.0.0.1; what it does then follows from the seed and the order of connections.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn to(server: u16, seed: u64) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let port = listener.local_addr().expect("a listener has an address").port();
        let shared = Arc::new(Shared {
            server,
            random: Mutex::new(Random::seeded(seed)),
            is_evil: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
            troubles: AtomicU64::new(0),
            trouble: Notify::new(),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = serving.clone();
                tokio::spawn(async move { shared.serve(client).await });
            }
        });
        FaultProxy { port, shared }
    }

    /// The port of 127.0.0.1 that stands for the server's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether new connections meet trouble; old ones end.
    pub fn be_evil(&self, is_evil: bool) {
        self.shared.is_evil.store(is_evil, Ordering::SeqCst);
        self.shared.trouble.notify_waiters();
    }

    /// Whether every request is answered with 503; old connections end.
    pub fn be_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::SeqCst);
        self.shared.trouble.notify_waiters();
    }

    /// How many connections met trouble.
    pub fn troubles(&self) -> u64 {
        self.shared.troubles.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn fate(&self) -> Fate {
        let is_down = self.is_down.load(Ordering::SeqCst);
        if !is_down && !self.is_evil.load(Ordering::SeqCst) {
            return Fate::Good;
        }
        self.troubles.fetch_add(1, Ordering::SeqCst);
        if is_down {
            return Fate::Overloaded;
        }
        let mut random = self.random.lock();
        let far = random.within(0..3_000_000);
        match random.within(0..10) {
            0 => Fate::Overloaded,
            1 => Fate::CutRequest(far),
            2 => Fate::CutAnswer(0),
            3 => Fate::CutAnswer(far),
            4 => Fate::Slow,
            _ => Fate::Brief(Duration::from_millis(random.within(0..300))),
        }
    }

    async fn serve(&self, mut client: TcpStream) {
        let fate = self.fate();
        if let Fate::Overloaded = fate {
            // All that comes is taken, since a reset would hide the answer.
            let mut buffer = vec![0; 64 * 1024];
            let _ = client.read(&mut buffer).await;
            let _ = client.write_all(OVERLOADED).await;
            let _ = client.shutdown().await;
            let drain = async { while matches!(client.read(&mut buffer).await, Ok(1..)) {} };
            let _ = tokio::time::timeout(Duration::from_secs(2), drain).await;
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)).await else { return };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (requests_max, answers_max) = match fate {
            Fate::CutRequest(most) => (most, u64::MAX),
            Fate::CutAnswer(most) => (u64::MAX, most),
            _ => (u64::MAX, u64::MAX),
        };
        let is_slow = matches!(fate, Fate::Slow);
        let life = match fate {
            Fate::Brief(life) => life,
            _ => Duration::from_secs(3600),
        };
        tokio::select! {
            () = copy(&mut from_client, &mut to_server, requests_max, is_slow) => {}
            () = copy(&mut from_server, &mut to_client, answers_max, is_slow) => {}
            () = self.trouble.notified() => {}
            () = tokio::time::sleep(life) => {}
        }
    }
}

async fn copy(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut most: u64,
    is_slow: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if is_slow {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let length = length.min(usize::try_from(most).unwrap_or(usize::MAX));
        if to.write_all(&buffer[..length]).await.is_err() || length == 0 {
            return;
        }
        most -= length as u64;
    }
}
