//! One `GET` or `HEAD` over and over on a number of connections, as cheaply as can be: a thread for each core waits for
//! whichever of its connections has something, reads into one buffer, and forgets it.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{Timespec, epoll},
    fd::OwnedFd,
};
use sha2::{Digest, Sha256};

use super::{ACCEPT, Endpoint, Head, tls::Session};
use crate::{
    measure::{Lane, Outcome, Window, windowed},
    process::Process,
};

/// How long nothing may come at all.
const SILENCE_MAX: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// How much is received at once. Fits the second-level cache: what is read must not be fetched from memory again.
const BUFFER_BYTES: usize = 256 << 10;

/// What is asked for, and what has to come.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) connections: usize,
    pub(crate) expected: Expected,
}

/// What the answer's body must be.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// Nothing, though the head says this length: an answer to `HEAD`.
    Nothing { length: u64 },
    /// Exactly this.
    Bytes(Vec<u8>),
    /// So many bytes. Looked into only if `digest` says what they hash to.
    Length { length: u64, digest: Option<[u8; 32]> },
}

impl Expected {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Expected::Nothing { length } | Expected::Length { length, .. } => *length,
            Expected::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

impl Load {
    pub(crate) fn run(&self, endpoint: &Endpoint, process: &Process, window: Window) -> Result<Outcome> {
        let threads = available_parallelism().map_or(1, usize::from).min(self.connections);
        windowed(process, window, threads, |lane| {
            let mine = (lane.index..self.connections).step_by(threads).count();
            self.drive(endpoint, mine, lane)
        })
        .with_context(|| format!("{} {}", self.method, self.path))
    }

    fn drive(&self, endpoint: &Endpoint, connections: usize, lane: &mut Lane<'_>) -> Result<()> {
        let request = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\naccept: {ACCEPT}\r\n\r\n",
            self.method, self.path, endpoint.address
        );
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = (0..connections as u64)
            .map(|index| Connection::open(endpoint, &epoll, index))
            .collect::<Result<Vec<_>>>()?;
        if !lane.ready() {
            return Ok(());
        }
        for connection in &mut connections {
            connection.send(request.as_bytes())?;
        }
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut events = Vec::with_capacity(connections.len());
        while !lane.is_over() {
            epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&SILENCE_MAX))?;
            if events.is_empty() {
                bail!("nothing came for {} s", SILENCE_MAX.tv_sec);
            }
            for event in events.drain(..) {
                let connection = &mut connections[event.data.u64() as usize];
                let finished = connection.advance(&mut buffer, &self.expected, lane)?;
                if finished {
                    connection.send(request.as_bytes())?;
                }
            }
        }
        Ok(())
    }
}

struct Connection {
    socket: TcpStream,
    tls: Option<Session>,
    answer: Answer,
    begun: Instant,
}

impl Connection {
    fn open(endpoint: &Endpoint, epoll: &OwnedFd, index: u64) -> Result<Connection> {
        let mut socket = TcpStream::connect(endpoint.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let tls =
            endpoint.tls.as_ref().map(|config| Session::connect(config.clone(), &mut socket)).transpose()?;
        socket.set_nonblocking(true)?;
        epoll::add(epoll, &socket, epoll::EventData::new_u64(index), epoll::EventFlags::IN)?;
        Ok(Connection { socket, tls, answer: Answer::default(), begun: Instant::now() })
    }

    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.answer = Answer::default();
        self.begun = Instant::now();
        match &mut self.tls {
            None => self.socket.write_all(request)?,
            Some(session) => session.write(&mut self.socket, request)?,
        }
        Ok(())
    }

    /// Reads once. True: the answer is complete, and was right.
    fn advance(&mut self, buffer: &mut [u8], expected: &Expected, lane: &mut Lane<'_>) -> Result<bool> {
        let answer = &mut self.answer;
        let read = match &mut self.tls {
            None => self.socket.read(buffer),
            Some(session) => {
                let mut sink = |bytes: &[u8]| answer.feed(bytes, expected, lane);
                match session.read(&mut self.socket, &mut sink) {
                    Ok(read) => Ok(read),
                    Err(error) => Err(error.downcast::<std::io::Error>()?),
                }
            }
        };
        match read {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) if self.tls.is_none() => answer.feed(&buffer[..read], expected, lane)?,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let is_complete = answer.is_complete(expected);
        if is_complete {
            lane.done(self.begun);
        }
        Ok(is_complete)
    }
}

/// How far an answer has come.
#[derive(Default)]
pub(crate) struct Answer {
    /// What came of a head that is not whole yet. Usually a head comes whole.
    partial_head: Vec<u8>,
    has_head: bool,
    received: u64,
    hasher: Option<Sha256>,
}

impl Answer {
    fn feed(&mut self, bytes: &[u8], expected: &Expected, lane: &Lane<'_>) -> Result<()> {
        if self.has_head {
            return self.body(bytes, expected, lane);
        }
        let before = self.partial_head.len();
        let parsed = if before == 0 {
            Head::parse(bytes)?
        } else {
            self.partial_head.extend_from_slice(bytes);
            Head::parse(&self.partial_head)?
        };
        let Some((head, length)) = parsed else {
            if before == 0 {
                self.partial_head.extend_from_slice(bytes);
            }
            return Ok(());
        };
        self.head(&head, expected)?;
        self.body(&bytes[length - before..], expected, lane)
    }

    fn head(&mut self, head: &Head, expected: &Expected) -> Result<()> {
        if head.status != 200 || head.content_length != Some(expected.length()) || head.is_last {
            bail!("expected a body of {} bytes, got {head:?}", expected.length());
        }
        self.has_head = true;
        Ok(())
    }

    /// Counts and checks a piece of the body.
    pub(crate) fn body(&mut self, bytes: &[u8], expected: &Expected, lane: &Lane<'_>) -> Result<()> {
        let start = self.received;
        self.received += bytes.len() as u64;
        match expected {
            Expected::Nothing { .. } if bytes.is_empty() => return Ok(()),
            Expected::Nothing { .. } => bail!("a body in answer to HEAD"),
            Expected::Bytes(all) => {
                if all.get(start as usize..self.received as usize) != Some(bytes) {
                    bail!("another body than expected");
                }
            }
            Expected::Length { length, .. } if self.received > *length => bail!("a body that is too long"),
            Expected::Length { digest: None, .. } => {}
            Expected::Length { length, digest: Some(digest) } => {
                let hasher = self.hasher.get_or_insert_default();
                hasher.update(bytes);
                if self.received == *length && hasher.finalize_reset()[..] != digest[..] {
                    bail!("a body with another digest");
                }
            }
        }
        lane.moved(bytes.len() as u64);
        Ok(())
    }

    fn is_complete(&self, expected: &Expected) -> bool {
        let is_bodiless = matches!(expected, Expected::Nothing { .. });
        self.has_head && (is_bodiless || self.received == expected.length())
    }
}
