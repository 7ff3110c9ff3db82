//! Receivers that answer 204 to everything, at once.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use anyhow::{Context, Result};

/// Each has a port of its own, as if it were another machine. They end with the process.
pub(super) struct Receivers {
    addresses: Vec<SocketAddr>,
    count: Arc<AtomicU64>,
}

impl Receivers {
    pub(super) fn start(number: usize) -> Result<Receivers> {
        let (mut addresses, count) = (Vec::new(), Arc::new(AtomicU64::new(0)));
        for _ in 0..number {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            addresses.push(listener.local_addr()?);
            let counted = count.clone();
            thread::spawn(move || serve(&listener, &counted));
        }
        Ok(Receivers { addresses, count })
    }

    /// Where the first of them are.
    pub(super) fn addresses(&self, number: usize) -> &[SocketAddr] {
        &self.addresses[..number]
    }

    /// How many messages all of them got.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

/// A thread for each connection: the server keeps few.
fn serve(listener: &TcpListener, count: &Arc<AtomicU64>) {
    for stream in listener.incoming().flatten() {
        let counted = count.clone();
        thread::spawn(move || answer(&stream, &counted));
    }
}

fn answer(stream: &TcpStream, count: &AtomicU64) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().context("a length is a number")?;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        count.fetch_add(1, Relaxed);
        (&*stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
