//! One `GET` over and over on a number of streams of one TLS connection, spoken as Go's client does, docker's and containerd's:
//! windows of 4 MiB for a stream and 1 GiB for the connection, frames of 16 KiB.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    Endpoint,
    load::{Answer, Expected},
    tls::Session,
};
use crate::{
    measure::{Lane, Outcome, Window, windowed},
    process::Process,
};

const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;
const WINDOW_BYTES_AT_START: u32 = 65_535;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Of `SETTINGS` and `PING`.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// The longest payload of a frame that is kept whole. Those of `DATA` are not.
const CONTROL_BYTES_MAX: usize = 16 << 10;

/// `:status: 200` in HPACK's static table.
const STATUS_200: u8 = 0x88;

/// What is asked for, and what has to come.
#[derive(Clone, Debug)]
pub(crate) struct StreamLoad {
    pub(crate) path: String,
    pub(crate) streams: usize,
    pub(crate) expected: Expected,
}

impl StreamLoad {
    pub(crate) fn run(&self, endpoint: &Endpoint, process: &Process, window: Window) -> Result<Outcome> {
        windowed(process, window, 1, |lane| self.drive(endpoint, lane))
            .with_context(|| format!("GET {} over HTTP/2", self.path))
    }

    fn drive(&self, endpoint: &Endpoint, lane: &mut Lane<'_>) -> Result<()> {
        let mut socket = TcpStream::connect(endpoint.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let config = endpoint.tls.clone().context("HTTP/2 goes over TLS")?;
        let mut session = Session::connect(config, &mut socket)?;
        let mut connection = Connection::new(request(&endpoint.address.to_string(), &self.path));
        if !lane.ready() {
            return Ok(());
        }
        (0..self.streams).for_each(|_| connection.open_stream());
        while !lane.is_over() {
            if !connection.outgoing.is_empty() {
                session.write(&mut socket, &connection.outgoing)?;
                connection.outgoing.clear();
            }
            let mut sink = |bytes: &[u8]| connection.feed(bytes, &self.expected, lane);
            if session.read(&mut socket, &mut sink)? == 0 {
                bail!("the server closed the connection");
            }
        }
        Ok(())
    }
}

/// A header block with literals that are not to be remembered.
fn request(authority: &str, path: &str) -> Vec<u8> {
    const GET: u8 = 0x82;
    const HTTPS: u8 = 0x87;
    const NAME_AUTHORITY: u8 = 1;
    const NAME_PATH: u8 = 4;
    let mut block = vec![GET, HTTPS];
    for (name, value) in [(NAME_AUTHORITY, authority), (NAME_PATH, path)] {
        block.push(name);
        hpack_length(&mut block, value.len());
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// HPACK's integer with a prefix of 7 bits.
fn hpack_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

struct Connection {
    request: Vec<u8>,
    streams: Vec<Stream>,
    next_stream: u32,
    /// What goes out before the next read.
    outgoing: Vec<u8>,
    /// What was received of a frame's head, and of its payload if it is not `DATA`.
    header: Vec<u8>,
    payload: Vec<u8>,
    frame: Option<Frame>,
    /// Received on the whole connection and not yet granted again.
    ungranted: u32,
}

#[derive(Clone, Copy)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    left: usize,
}

struct Stream {
    id: u32,
    answer: Answer,
    begun: Instant,
    ungranted: u32,
    received: u64,
}

impl Connection {
    fn new(request: Vec<u8>) -> Connection {
        const ENABLE_PUSH: u16 = 2;
        const INITIAL_WINDOW_SIZE: u16 = 4;
        let mut outgoing = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut settings = Vec::new();
        for (setting, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES)] {
            settings.extend_from_slice(&setting.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        push_frame(&mut outgoing, SETTINGS, 0, 0, &settings);
        let more = CONNECTION_WINDOW_BYTES - WINDOW_BYTES_AT_START;
        push_frame(&mut outgoing, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        Connection {
            request,
            streams: Vec::new(),
            next_stream: 1,
            outgoing,
            header: Vec::new(),
            payload: Vec::new(),
            frame: None,
            ungranted: 0,
        }
    }

    fn open_stream(&mut self) {
        let id = self.next_stream;
        self.next_stream += 2;
        push_frame(&mut self.outgoing, HEADERS, END_STREAM | END_HEADERS, id, &self.request);
        let answer = Answer::default();
        self.streams.push(Stream { id, answer, begun: Instant::now(), ungranted: 0, received: 0 });
    }

    /// Takes what came, wherever it is cut.
    fn feed(&mut self, mut bytes: &[u8], expected: &Expected, lane: &mut Lane<'_>) -> Result<()> {
        while !bytes.is_empty() {
            let Some(mut frame) = self.frame else {
                bytes = self.begin_frame(bytes)?;
                if let Some(frame) = self.frame.filter(|frame| frame.left == 0) {
                    self.end_frame(frame, expected, lane)?;
                }
                continue;
            };
            let (now, later) = bytes.split_at(frame.left.min(bytes.len()));
            frame.left -= now.len();
            self.frame = Some(frame);
            if frame.kind == DATA {
                self.data(frame.stream, now, expected, lane)?;
            } else {
                self.payload.extend_from_slice(now);
            }
            if frame.left == 0 {
                self.end_frame(frame, expected, lane)?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn begin_frame<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let (now, later) = bytes.split_at((9 - self.header.len()).min(bytes.len()));
        self.header.extend_from_slice(now);
        if let [a, b, c, kind, flags, stream @ ..] = &self.header[..]
            && let Ok(stream) = <[u8; 4]>::try_from(stream)
        {
            let left = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let (kind, flags) = (*kind, *flags);
            if kind != DATA && left > CONTROL_BYTES_MAX || kind == DATA && flags & PADDED != 0 {
                bail!("a frame of kind {kind} with {left} bytes and flags {flags:#x}");
            }
            self.frame = Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), left });
            self.header.clear();
            self.payload.clear();
        }
        Ok(later)
    }

    fn data(&mut self, id: u32, bytes: &[u8], expected: &Expected, lane: &Lane<'_>) -> Result<()> {
        let length = bytes.len() as u32;
        let stream = self.streams.iter_mut().find(|stream| stream.id == id);
        let stream = stream.with_context(|| format!("data on stream {id}, which is not open"))?;
        stream.answer.body(bytes, expected, lane)?;
        stream.received += u64::from(length);
        stream.ungranted += length;
        self.ungranted += length;
        if stream.ungranted >= STREAM_WINDOW_BYTES / 2 && stream.received < expected.length() {
            push_frame(&mut self.outgoing, WINDOW_UPDATE, 0, id, &stream.ungranted.to_be_bytes());
            stream.ungranted = 0;
        }
        if self.ungranted >= CONNECTION_WINDOW_BYTES / 2 {
            push_frame(&mut self.outgoing, WINDOW_UPDATE, 0, 0, &self.ungranted.to_be_bytes());
            self.ungranted = 0;
        }
        Ok(())
    }

    fn end_frame(&mut self, frame: Frame, expected: &Expected, lane: &mut Lane<'_>) -> Result<()> {
        self.frame = None;
        match frame.kind {
            HEADERS => {
                // A change of the dynamic table's size may come first.
                let status = self.payload.iter().find(|&&byte| byte & 0xe0 != 0x20);
                if frame.flags & (END_HEADERS | PADDED) != END_HEADERS || status != Some(&STATUS_200) {
                    bail!("an answer that does not begin with 200: {:02x?}", self.payload);
                }
            }
            SETTINGS if frame.flags & ACK == 0 => push_frame(&mut self.outgoing, SETTINGS, ACK, 0, &[]),
            PING if frame.flags & ACK == 0 => push_frame(&mut self.outgoing, PING, ACK, 0, &self.payload),
            RST_STREAM | GOAWAY | CONTINUATION => {
                bail!("a frame of kind {}: {:02x?}", frame.kind, self.payload)
            }
            _ => {}
        }
        if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
            self.end_stream(frame.stream, expected, lane)?;
        }
        Ok(())
    }

    fn end_stream(&mut self, id: u32, expected: &Expected, lane: &mut Lane<'_>) -> Result<()> {
        let index = self.streams.iter().position(|stream| stream.id == id);
        let stream = self.streams.swap_remove(index.context("a stream ended that was not open")?);
        if stream.received != expected.length() {
            bail!("a body of {} bytes instead of {}", stream.received, expected.length());
        }
        lane.done(stream.begun);
        self.open_stream();
        Ok(())
    }
}

fn push_frame(outgoing: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    outgoing.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    outgoing.extend_from_slice(&[kind, flags]);
    outgoing.extend_from_slice(&stream.to_be_bytes());
    outgoing.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_encoded_as_hpack_has_them() {
        for (length, encoded) in [
            (0, vec![0]),
            (126, vec![126]),
            (127, vec![127, 0]),
            (254, vec![127, 127]),
            (1337, vec![127, 186, 9]),
        ] {
            let mut block = Vec::new();
            hpack_length(&mut block, length);
            assert_eq!(block, encoded, "{length}");
        }
    }

    #[test]
    fn a_frame_is_nine_bytes_and_its_payload() {
        let mut bytes = Vec::new();
        push_frame(&mut bytes, PING, ACK, 3, b"12345678");
        assert_eq!(bytes, b"\0\0\x08\x06\x01\0\0\0\x0312345678");
    }
}
