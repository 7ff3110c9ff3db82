//! Thousands of connections that do nothing, or next to nothing: what each costs in memory.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{self, AddressFamily, SocketAddrV4, SocketType, sockopt};

use crate::bench::{HOT_REPOSITORY, HOT_TAG};
use crate::{
    bench::{Bench, remove},
    http::{Endpoint, Head},
    image::push_to,
    report::Bound,
    servers::{Kind, OurOptions, Server},
};

/// docker-registry takes about a megabyte for each slow reader.
const DOCKER_SLOW_MAX: usize = 500;

/// As small as the kernel has it, so that a server must wait for its reader and not for the kernel.
const RECEIVE_BUFFER_BYTES: usize = 4096;

/// How many connections ask at once before the memory is looked at for the first time.
const BURST: usize = 100;

/// How long a server may take to settle after the last connection.
const REST: Duration = Duration::from_millis(500);

/// What the connections do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    /// One small request, then nothing.
    Idle,
    /// The hot layer, a byte a second.
    Slow,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    for behaviour in [Behaviour::Idle, Behaviour::Slow] {
        for kind in [Kind::Ours, Kind::Nginx, Kind::DockerRegistry] {
            measure(bench, kind, behaviour)?;
        }
    }
    Ok(())
}

/// On a server of its own, whose memory nothing else has stretched.
fn measure(bench: &Bench, kind: Kind, behaviour: Behaviour) -> Result<()> {
    let folder = bench.folder("connections")?;
    let server = match kind {
        Kind::Ours | Kind::Unjournalled => {
            Some(Server::ours(&bench.programs, &folder, OurOptions::default())?)
        }
        Kind::Nginx => bench.new_nginx("connections")?,
        Kind::DockerRegistry => Server::docker_registry(&bench.programs, &folder, None, false)?,
    };
    let Some(server) = server else { return Ok(()) };
    if kind != Kind::Nginx {
        push_to(&server.plain()?, &bench.hot, HOT_REPOSITORY, HOT_TAG)?;
    }
    let mut count = bench.options.scale.connections;
    if kind == Kind::DockerRegistry && behaviour == Behaviour::Slow {
        count = count.min(DOCKER_SLOW_MAX);
    }
    let each = memory_of_each(bench, &server, behaviour, count).with_context(|| format!("{kind}"))?;
    let scenario = match behaviour {
        Behaviour::Idle => "idle connections",
        Behaviour::Slow => "slow connections",
    };
    let kilobytes = each / 1e3;
    let mut report = bench.report.borrow_mut();
    report.fact(scenario, kind, format!("{kilobytes:.1} kB each, of {count}"));
    if kind == Kind::Ours {
        report.goal(format!("{scenario}: memory of each"), Bound::AtMost(12.0), "kB", kilobytes);
    }
    drop(server);
    remove(&folder)
}

fn memory_of_each(bench: &Bench, server: &Server, behaviour: Behaviour, count: usize) -> Result<f64> {
    let endpoint = server.plain()?;
    let path = match (behaviour, server.kind) {
        (Behaviour::Idle, Kind::Nginx) => "/ready".to_owned(),
        (Behaviour::Idle, _) => "/v2/".to_owned(),
        (Behaviour::Slow, Kind::Nginx) => "/blob".to_owned(),
        (Behaviour::Slow, _) => bench.hot_blob_path(),
    };
    // What a burst of connections costs once is not what each costs: the allocator keeps the buffers that were in use at once. The
    // first ones stay, so that those after them do not take their place.
    let first = open(&endpoint, &path, count.min(BURST), behaviour)?;
    thread::sleep(REST);
    let before = server.process.memory()?.resident_bytes;
    let mut connections = open(&endpoint, &path, count, behaviour)?;
    if behaviour == Behaviour::Slow {
        read_slowly(&mut connections, bench.options.scale.slow)?;
    }
    thread::sleep(REST);
    let after = server.process.memory()?.resident_bytes;
    ensure!(connections.len() == count, "{} connections", connections.len());
    drop(first);
    Ok(after.saturating_sub(before) as f64 / count as f64)
}

/// Connections whose answer has begun; that of an idle one is over.
fn open(endpoint: &Endpoint, path: &str, count: usize, behaviour: Behaviour) -> Result<Vec<TcpStream>> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\naccept: */*\r\n\r\n", endpoint.address);
    let mut connections = Vec::with_capacity(count);
    for index in 0..count {
        let mut socket = connect(endpoint).with_context(|| format!("connection {index}"))?;
        socket.write_all(request.as_bytes())?;
        connections.push(socket);
    }
    for socket in &mut connections {
        read_head(socket, behaviour)?;
    }
    Ok(connections)
}

fn connect(endpoint: &Endpoint) -> Result<TcpStream> {
    let std::net::SocketAddr::V4(address) = endpoint.address else { bail!("only IPv4 is spoken here") };
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES)?;
    net::connect(&socket, &SocketAddrV4::new(*address.ip(), address.port()))?;
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(socket)
}

/// Reads up to the body of a slow answer, and with the body of the other one.
fn read_head(socket: &mut TcpStream, behaviour: Behaviour) -> Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 512];
    let (head, length) = loop {
        let read = socket.read(&mut buffer)?;
        ensure!(read > 0, "a connection was closed");
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(parsed) = Head::parse(&bytes)? {
            break parsed;
        }
    };
    ensure!(head.status == 200, "answered {}", head.status);
    if behaviour == Behaviour::Idle {
        let body_bytes = head.content_length.unwrap_or(0) as usize;
        let mut rest = vec![0; (length + body_bytes).saturating_sub(bytes.len())];
        socket.read_exact(&mut rest)?;
    }
    Ok(())
}

/// A byte a second from each.
fn read_slowly(connections: &mut [TcpStream], time: Duration) -> Result<()> {
    for socket in &*connections {
        socket.set_nonblocking(true)?;
    }
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        let next = Instant::now() + Duration::from_secs(1);
        for socket in &mut *connections {
            match socket.read(&mut [0]) {
                Ok(0) => bail!("a connection was closed"),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
