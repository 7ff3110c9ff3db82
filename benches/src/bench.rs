//! What the scenarios have in common: the folder, the servers, the rounds.

use std::{
    cell::{OnceCell, RefCell},
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{
    image::{Blob, Image, push_to},
    measure::Outcome,
    options::Options,
    random::Random,
    report::{Bound, Report, Unit},
    servers::{Certificate, Kind, OurOptions, Programs, Protocol, Server, target_directory},
};

/// Where the image lies that is pulled.
pub(crate) const HOT_REPOSITORY: &str = "bench/hot";
pub(crate) const HOT_TAG: &str = "v1";

/// A run.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) programs: Programs,
    pub(crate) certificate: Certificate,
    /// An image whose first layer is large; every server has it.
    pub(crate) hot: Image,
    pub(crate) report: RefCell<Report>,
    directory: TempDir,
    ours: OnceCell<Server>,
    ours_with_tls: OnceCell<Server>,
    docker_registry: OnceCell<Option<Server>>,
    nginx: OnceCell<Option<Server>>,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Result<Bench> {
        let mut programs = Programs::find()?;
        if options.is_alone {
            (programs.docker_registry, programs.nginx) = (None, None);
        }
        for (program, found) in [("docker-registry", &programs.docker_registry), ("nginx", &programs.nginx)] {
            if found.is_none() && !options.is_alone {
                eprintln!("{program} is not installed: nothing is compared with it");
            }
        }
        let parent = target_directory().join("bench");
        fs::create_dir_all(&parent).with_context(|| format!("create {}", parent.display()))?;
        let directory = tempfile::tempdir_in(fs::canonicalize(parent)?)?;
        let certificate = Certificate::new(directory.path())?;
        let hot = Image::random(&mut Random::new(), &[16 << 20, 10_000, 10_000, 10_000, 10_000], &[]);
        Ok(Bench {
            options,
            programs,
            certificate,
            hot,
            report: RefCell::default(),
            directory,
            ours: OnceCell::new(),
            ours_with_tls: OnceCell::new(),
            docker_registry: OnceCell::new(),
            nginx: OnceCell::new(),
        })
    }

    /// The large layer of the hot image.
    pub(crate) fn hot_blob(&self) -> &Blob {
        &self.hot.layers[0]
    }

    pub(crate) fn hot_blob_path(&self) -> String {
        format!("/v2/{HOT_REPOSITORY}/blobs/{}", self.hot_blob().digest)
    }

    /// Where everything lies.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A new folder. It goes when the run ends, or before, if the caller removes it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.directory.path().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    pub(crate) fn ours(&self) -> Result<&Server> {
        started(&self.ours, || {
            let server = Server::ours(&self.programs, &self.folder("ours")?, OurOptions::default())?;
            push_to(&server.plain()?, &self.hot, HOT_REPOSITORY, HOT_TAG)?;
            Ok(server)
        })
    }

    pub(crate) fn ours_with_tls(&self) -> Result<&Server> {
        started(&self.ours_with_tls, || {
            let options = OurOptions { certificate: Some(&self.certificate), ..OurOptions::default() };
            let server = Server::ours(&self.programs, &self.folder("ours-tls")?, options)?;
            let endpoint = server.endpoint(Protocol::Tls, &self.certificate)?;
            push_to(&endpoint, &self.hot, HOT_REPOSITORY, HOT_TAG)?;
            Ok(server)
        })
    }

    /// None: it is not installed.
    pub(crate) fn docker_registry(&self) -> Result<Option<&Server>> {
        let server = started(&self.docker_registry, || {
            let folder = self.folder("docker-registry")?;
            let server = Server::docker_registry(&self.programs, &folder, None, false)?;
            if let Some(server) = &server {
                push_to(&server.plain()?, &self.hot, HOT_REPOSITORY, HOT_TAG)?;
            }
            Ok(server)
        })?;
        Ok(server.as_ref())
    }

    /// With the hot layer as `/blob` and its manifest as `/manifest`. None: it is not installed.
    pub(crate) fn nginx(&self) -> Result<Option<&Server>> {
        let server = started(&self.nginx, || self.new_nginx("nginx"))?;
        Ok(server.as_ref())
    }

    pub(crate) fn new_nginx(&self, name: &str) -> Result<Option<Server>> {
        let files = [("blob", &self.hot_blob().bytes[..]), ("manifest", &self.hot.manifest[..])];
        Server::nginx(&self.programs, &self.folder(name)?, &self.certificate, &files)
    }

    /// The peak memory of those of ours that serve the loads, if any were started.
    pub(crate) fn our_peak_bytes(&self) -> Result<Option<u64>> {
        let servers = [&self.ours, &self.ours_with_tls].into_iter().filter_map(OnceCell::get);
        let peaks: Result<Vec<u64>> = servers.map(|server| server.process.peak_bytes()).collect();
        Ok(peaks?.into_iter().max())
    }

    /// Ours and docker-registry, as far as they are installed.
    pub(crate) fn registries(&self) -> Result<Vec<&Server>> {
        Ok([Some(self.ours()?), self.docker_registry()?].into_iter().flatten().collect())
    }

    /// Lets every server do the same in turn, round after round, and keeps the best round of each.
    pub(crate) fn contest(
        &self,
        scenario: &str,
        unit: Unit,
        servers: &[&Server],
        run: impl Fn(&Server) -> Result<Outcome>,
    ) -> Result<Outcomes> {
        let mut best: Vec<(Kind, Outcome)> = Vec::new();
        let servers = if scenario.contains(&self.options.case) { servers } else { &[] };
        for round in 1..=self.options.rounds {
            for &server in servers {
                let kind = server.kind;
                let outcome = run(server).with_context(|| format!("{scenario}: {kind}"))?;
                anyhow::ensure!(outcome.requests > 0 || outcome.bytes > 0, "{scenario}: {kind} did nothing");
                eprintln!("{scenario}: round {round}: {kind}: {}", short(unit, &outcome));
                match best.iter_mut().find(|(known, _)| *known == kind) {
                    Some((_, known)) if unit.rate(known) < unit.rate(&outcome) => *known = outcome,
                    Some(_) => {}
                    None => best.push((kind, outcome)),
                }
            }
        }
        self.report.borrow_mut().contest(scenario, unit, &best);
        Ok(Outcomes { scenario: scenario.to_owned(), unit, best })
    }

    /// Sets a figure of ours against the same of another. Nothing, if the other is not here.
    pub(crate) fn goal(&self, outcomes: &Outcomes, figure: Figure, other: Kind, bound: Bound) {
        let (Some(ours), Some(theirs)) = (outcomes.of(Kind::Ours), outcomes.of(other)) else { return };
        let (what, of): (_, fn(Unit, &Outcome) -> f64) = match figure {
            Figure::Rate => ("rate", Unit::rate),
            Figure::Cpu => ("CPU", Unit::cpu),
        };
        let unit = match other {
            Kind::Nginx => "× nginx",
            Kind::DockerRegistry => "× docker-registry",
            Kind::Ours | Kind::Unjournalled => "× itself",
        };
        let reached = of(outcomes.unit, ours) / of(outcomes.unit, theirs);
        self.report.borrow_mut().goal(format!("{}: {what}", outcomes.scenario), bound, unit, reached);
    }

    /// So that no one pays for what another left to be written.
    pub(crate) fn settle(&self) -> Result<()> {
        Ok(rustix::fs::syncfs(File::open(self.directory.path())?)?)
    }
}

/// What is compared.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    Rate,
    Cpu,
}

/// The best rounds of a scenario.
pub(crate) struct Outcomes {
    pub(crate) scenario: String,
    pub(crate) unit: Unit,
    best: Vec<(Kind, Outcome)>,
}

impl Outcomes {
    pub(crate) fn of(&self, kind: Kind) -> Option<&Outcome> {
        self.best.iter().find(|(known, _)| *known == kind).map(|(_, outcome)| outcome)
    }
}

fn started<T>(cell: &OnceCell<T>, start: impl FnOnce() -> Result<T>) -> Result<&T> {
    if cell.get().is_none() {
        let _ = cell.set(start()?);
    }
    cell.get().context("what was started is there")
}

fn short(unit: Unit, outcome: &Outcome) -> String {
    match unit {
        Unit::Bytes => format!(
            "{:.0} MB/s, {:.2} CPU s/GB",
            outcome.bytes_per_second() / 1e6,
            outcome.cpu_seconds_per_gigabyte()
        ),
        Unit::Each(name) => format!(
            "{:.1} {name}/s, {:.1} CPU µs each",
            outcome.requests_per_second(),
            outcome.cpu_seconds_per_request() * 1e6
        ),
    }
}

/// Removes what a scenario left on the disk.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))
}
