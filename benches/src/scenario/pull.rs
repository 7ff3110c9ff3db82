//! One hot layer: what serving bytes costs.

use anyhow::Result;

use crate::{
    bench::{Bench, Figure},
    http::{
        http2::StreamLoad,
        load::{Expected, Load},
    },
    measure::Outcome,
    report::{Bound, Unit},
    servers::{Kind, Protocol, Server},
};

/// Of one connection with HTTP/2.
const STREAMS: usize = 8;

struct Case {
    scenario: &'static str,
    protocol: Protocol,
    connections: usize,
    /// Of nginx's, at least.
    rate: f64,
    /// Of nginx's, at most.
    cpu: Option<f64>,
}

const CASES: [Case; 5] = [
    Case {
        scenario: "pull, 8 connections",
        protocol: Protocol::Plain,
        connections: 8,
        rate: 0.95,
        cpu: Some(1.2),
    },
    Case { scenario: "pull, 1 connection", protocol: Protocol::Plain, connections: 1, rate: 0.9, cpu: None },
    Case {
        scenario: "pull, TLS, 8 connections",
        protocol: Protocol::Tls,
        connections: 8,
        rate: 1.0,
        cpu: Some(1.1),
    },
    Case {
        scenario: "pull, TLS, 1 connection",
        protocol: Protocol::Tls,
        connections: 1,
        rate: 1.0,
        cpu: Some(1.1),
    },
    Case {
        scenario: "pull, HTTP/2, 8 streams",
        protocol: Protocol::Http2,
        connections: 1,
        rate: 1.0,
        cpu: Some(1.2),
    },
];

pub(crate) fn run(bench: &Bench) -> Result<()> {
    CASES.iter().try_for_each(|case| case.run(bench))
}

impl Case {
    fn run(&self, bench: &Bench) -> Result<()> {
        let nginx = bench.nginx()?;
        let servers = match self.protocol {
            Protocol::Plain => [Some(bench.ours()?), nginx, bench.docker_registry()?],
            Protocol::Tls | Protocol::Http2 => [Some(bench.ours_with_tls()?), nginx, None],
        };
        let servers: Vec<&Server> = servers.into_iter().flatten().collect();
        let outcomes =
            bench.contest(self.scenario, Unit::Bytes, &servers, |server| self.load(bench, server))?;
        bench.goal(&outcomes, Figure::Rate, Kind::Nginx, Bound::AtLeast(self.rate));
        if let Some(cpu) = self.cpu {
            bench.goal(&outcomes, Figure::Cpu, Kind::Nginx, Bound::AtMost(cpu));
        }
        Ok(())
    }

    fn load(&self, bench: &Bench, server: &Server) -> Result<Outcome> {
        let endpoint = server.endpoint(self.protocol, &bench.certificate)?;
        let path = match server.kind {
            Kind::Nginx => "/blob".to_owned(),
            Kind::Ours | Kind::Unjournalled | Kind::DockerRegistry => bench.hot_blob_path(),
        };
        let blob = bench.hot_blob();
        // Hashing is most of the client's work, so that bodies are hashed only in the short form.
        let digest = bench.options.is_short.then(|| blob.hash());
        let expected = Expected::Length { length: blob.bytes.len() as u64, digest };
        let (process, window) = (&server.process, bench.options.window);
        match self.protocol {
            Protocol::Http2 => {
                StreamLoad { path, streams: STREAMS, expected }.run(&endpoint, process, window)
            }
            Protocol::Plain | Protocol::Tls => {
                let connections = self.connections;
                Load { method: "GET", path, connections, expected }.run(&endpoint, process, window)
            }
        }
    }
}
