//! Certificates that are ordered from an authority.

use std::{fmt, future::pending, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts, uri::Authority};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};
use registry_acme::{Acme, Certificates, Challenge};
use registry_database::Database;
use registry_outbound::Outbound;
use registry_secrets::Secrets;
use registry_server::{
    Body, BoxFuture, CertificateSource, Context, Endpoint, Listener, Metrics, Refused, Reply, ServeOptions,
    Server, ServerBody, Site, TlsOptions,
};

use crate::{OpenError, registry::Task};

/// Below which path an authority asks over plain HTTP. Spec: RFC 8555, section 8.3.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

registry_server::options! {
    /// What orders certificates.
    #[derive(Debug)]
    pub struct AcmeSettings {
        /// What seals private keys in the database.
        pub secrets: Secrets,
        /// What asks the authority.
        pub outbound: Outbound,
        /// The URL of the authority's directory.
        pub directory: String,
        /// The hosts: names of DNS with a dot.
        pub hosts: Vec<String>,
        /// Whom the authority may write to.
        pub email: Option<String>,
        /// Where the authority is answered over plain HTTP, on port 80 as it sees it. Other requests are sent on to `https:`. Without it
        /// the authority is answered by the registry's own listener, on port 443 as it sees it.
        pub http: Option<Listener>,
        /// What TLS shows.
        pub certificates: Certificates,
    }
}

impl AcmeSettings {
    /// From this directory, for these hosts.
    pub fn new(secrets: Secrets, outbound: Outbound, directory: String, hosts: Vec<String>) -> AcmeSettings {
        let (email, http, certificates) = (None, None, Certificates::default());
        AcmeSettings { secrets, outbound, directory, hosts, email, http, certificates }
    }

    /// TLS that shows the certificates.
    pub fn tls(&self) -> TlsOptions {
        TlsOptions::of(CertificateSource::Resolver(Arc::new(self.certificates.clone())))
    }

    /// Reads what certificates there are; what is to be done while the registry is served.
    pub(crate) async fn start(self, database: &Database, metrics: &Metrics) -> Result<Vec<Task>, OpenError> {
        let good = Box::new(Good(self.certificates.clone()));
        metrics.add(|registry| registry.register_collector(good));
        self.secrets.check_sealed(database, &crate::sealed()).await?;
        let answers = self.http.map(|listener| Task {
            name: "answers to the ACME authority",
            work: Box::pin(answer(
                listener,
                Answers { certificates: self.certificates.clone(), hosts: self.hosts.clone() },
            )),
        });
        let mut options = registry_acme::Options::new(
            database.clone(),
            self.secrets,
            self.outbound,
            self.directory,
            self.hosts,
        );
        options.email = self.email;
        options.challenge = if answers.is_some() { Challenge::Http } else { Challenge::TlsAlpn };
        let acme = Acme::load(options, self.certificates).await?;
        let order = Task { name: "certificates", work: Box::pin(acme.run()) };
        Ok([Some(order), answers].into_iter().flatten().collect())
    }
}

/// Shows until when certificates are good.
#[derive(Debug)]
struct Good(Certificates);

impl Collector for Good {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Until when the certificate of a host is good, in seconds since 1970";
        let gauge = ConstGauge::new(0_i64);
        let mut family = encoder.encode_descriptor(
            "registry_certificate_not_after_seconds",
            help,
            None,
            gauge.metric_type(),
        )?;
        for (host, until_ms) in self.0.good_until_ms() {
            ConstGauge::new(until_ms / 1000).encode(family.encode_family(&[("host", host.as_str())])?)?;
        }
        Ok(())
    }
}

async fn answer(listener: Listener, answers: Answers) {
    let server = Arc::new(Server::new(Site::of(Arc::new(answers))));
    registry_server::serve(listener, server, ServeOptions::default(), pending()).await;
}

/// Answers the authority, and sends other clients on to `https:`.
#[derive(Debug)]
struct Answers {
    certificates: Certificates,
    hosts: Vec<String>,
}

impl Endpoint for Answers {
    fn respond<'a>(&'a self, request: Request<ServerBody>, context: &'a Context) -> BoxFuture<'a, Reply> {
        context.set_route("acme");
        let (request, _) = request.into_parts();
        Box::pin(async move { self.answer(&request).into() })
    }

    fn refuse(&self, _: &Parts, refused: Refused) -> Response<Body> {
        refused.into_response()
    }
}

impl Answers {
    fn answer(&self, request: &Parts) -> Response<Body> {
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        match request.uri.path().strip_prefix(CHALLENGES).filter(|_| is_read) {
            Some(token) => self.challenge(token),
            None if is_read => self.send_on(request).unwrap_or_else(absent),
            None => absent(),
        }
    }

    fn challenge(&self, token: &str) -> Response<Body> {
        let Some(answer) = self.certificates.challenge(token) else { return absent() };
        let mut response = Response::new(Body::full(answer.into()));
        let kind = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    /// To a host of ours only.
    fn send_on(&self, request: &Parts) -> Option<Response<Body>> {
        let named = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority: Authority = named?.parse().ok()?;
        let host = self.hosts.iter().find(|host| host.eq_ignore_ascii_case(authority.host()))?;
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        let to = HeaderValue::from_str(&format!("https://{host}{path}")).ok()?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(header::LOCATION, to);
        Some(response)
    }
}

fn absent() -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::from_static(b"there is nothing here\n")));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
