//! Small answers: what a request costs.

use anyhow::Result;

use crate::{
    bench::{Bench, Figure, HOT_REPOSITORY, HOT_TAG},
    http::load::{Expected, Load},
    image::digest,
    report::{Bound, Unit},
    servers::{Kind, Server},
};

const CONNECTIONS: usize = 8;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let manifests = format!("/v2/{HOT_REPOSITORY}/manifests");
    let manifest = Expected::Bytes(bench.hot.manifest.clone());
    let by_tag = format!("{manifests}/{HOT_TAG}");
    let by_digest = format!("{manifests}/{}", digest(&bench.hot.manifest));
    let blob = Expected::Nothing { length: bench.hot_blob().bytes.len() as u64 };
    for (scenario, method, path, nginx_path, expected) in [
        ("manifest by tag", "GET", &by_tag, "/manifest", &manifest),
        ("manifest by digest", "GET", &by_digest, "/manifest", &manifest),
        ("HEAD blob", "HEAD", &bench.hot_blob_path(), "/blob", &blob),
    ] {
        let mut servers = bench.registries()?;
        servers.extend(bench.nginx()?);
        let outcomes = bench.contest(scenario, Unit::Each("request"), &servers, |server: &Server| {
            let path = if server.kind == Kind::Nginx { nginx_path } else { path }.to_owned();
            let load = Load { method, path, connections: CONNECTIONS, expected: expected.clone() };
            load.run(&server.plain()?, &server.process, bench.options.window)
        })?;
        bench.goal(&outcomes, Figure::Rate, Kind::Nginx, Bound::AtLeast(0.5));
    }
    Ok(())
}
