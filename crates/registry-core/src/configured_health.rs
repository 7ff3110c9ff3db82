//! The health checks that a configuration names.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderMap, Method};
use registry_config as config;
use registry_outbound::{Ask, Destination, Outbound, OutboundOptions};
use registry_server::{Check, CheckKind, Probe};

use crate::{OpenError, configured::headers, error::causes};

/// Nothing of an answer's body is looked at.
const ANSWER_BYTES_MAX: usize = 0;

/// All checks, in the order in which they are written.
pub(crate) fn checks(health: &config::Health) -> Result<Vec<Check>, OpenError> {
    let mut checks = Vec::new();
    let mut add = |kind, rhythm: &config::Rhythm| {
        checks.push(Check { kind, interval: rhythm.interval, threshold: rhythm.threshold });
    };
    if health.storage.enabled {
        add(CheckKind::Storage, &health.storage.rhythm);
    }
    for file in &health.files {
        add(CheckKind::FileAbsent(PathBuf::from(&file.file)), &file.rhythm);
    }
    if health.tcp.is_empty() && health.http.is_empty() {
        return Ok(checks);
    }
    let mut options = OutboundOptions::default();
    options.idle_max = 0;
    let outbound = Outbound::new(options)?;
    for tcp in &health.tcp {
        let probe = TcpProbe { outbound: outbound.clone(), check: tcp.clone() };
        add(CheckKind::Probe { name: tcp.address.to_string(), probe: Arc::new(probe) }, &tcp.rhythm);
    }
    for http in &health.http {
        let probe = HttpProbe::new(outbound.clone(), http)?;
        add(CheckKind::Probe { name: http.uri.clone(), probe: Arc::new(probe) }, &http.rhythm);
    }
    Ok(checks)
}

/// `HEAD` of a URL is answered with the status, within the time.
#[derive(Debug)]
struct HttpProbe {
    outbound: Outbound,
    url: Destination,
    headers: HeaderMap,
    status: u16,
    within: Duration,
}

impl HttpProbe {
    fn new(outbound: Outbound, check: &config::HttpCheck) -> Result<HttpProbe, OpenError> {
        let url = check.uri.parse().map_err(registry_outbound::OutboundError::from)?;
        let headers = headers(&check.headers);
        Ok(HttpProbe { outbound, url, headers, status: check.status, within: check.timeout })
    }
}

#[async_trait]
impl Probe for HttpProbe {
    async fn check(&self) -> Result<(), String> {
        let ask = Ask {
            method: Method::HEAD,
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: Vec::new().into(),
            within: self.within,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.outbound.operators().send(ask).await.map_err(|error| causes(&error))?;
        match answer.status.as_u16() {
            got if got == self.status => Ok(()),
            got => Err(format!("the status is {got}, not {}", self.status)),
        }
    }
}

/// A connection to an address can be made within the time.
#[derive(Debug)]
struct TcpProbe {
    outbound: Outbound,
    check: config::TcpCheck,
}

#[async_trait]
impl Probe for TcpProbe {
    async fn check(&self) -> Result<(), String> {
        let config::TcpCheck { address, timeout, .. } = &self.check;
        // An address without a host means this machine, as it does for a listener.
        let host = if address.host.is_empty() { "localhost" } else { &address.host };
        let connected = self.outbound.operators().connect(host, address.port, *timeout).await;
        connected.map(drop).map_err(|error| causes(&error))
    }
}
