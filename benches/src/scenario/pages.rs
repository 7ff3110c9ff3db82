//! Pages of a hundred tags and repositories, from anywhere in the list: what they cost must not grow with the list.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::{
    bench::Bench,
    http::Client,
    measure::{Outcome, windowed},
    random::Random,
    report::{Bound, Unit},
    seed::{self, Amount, TAGS_REPOSITORY, repository_name, tag_name},
    servers::{Kind, OurOptions, Server},
};

const CLIENTS: usize = 4;
const PAGE_ENTRIES: u64 = 100;

/// What many is compared with.
const FEW: Amount = Amount { tags: 1000, repositories: 1000, blobs: 0 };

/// Which list.
#[derive(Clone, Copy)]
enum List {
    Tags,
    Catalog,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let scale = bench.options.scale;
    let many = Amount { tags: scale.tags, repositories: scale.repositories, blobs: 0 };
    let few_folder = bench.folder("pages-few")?;
    let many_folder = bench.folder("pages-many")?;
    seed::ours(bench, &few_folder, FEW)?;
    seed::ours(bench, &many_folder, many)?;
    let ours_few = Server::ours(&bench.programs, &few_folder, OurOptions::default())?;
    let ours_many = Server::ours(&bench.programs, &many_folder, OurOptions::default())?;
    let docker_folder = bench.folder("pages-docker")?;
    seed::docker_registry(&docker_folder.join("data"), FEW)?;
    let docker = Server::docker_registry(&bench.programs, &docker_folder, None, false)?;
    for list in [List::Tags, List::Catalog] {
        let of_few: Vec<&Server> = [&ours_few].into_iter().chain(&docker).collect();
        let few = contest(bench, list, list.count(FEW), &of_few)?;
        let many = contest(bench, list, list.count(many), &[&ours_many])?;
        if few.requests == 0 || many.requests == 0 {
            continue;
        }
        let what = list.name();
        for (figure, reached) in [
            ("CPU", many.cpu_seconds_per_request() / few.cpu_seconds_per_request()),
            ("time", few.requests_per_second() / many.requests_per_second()),
        ] {
            let what = format!("{what}: {figure} among many");
            bench.report.borrow_mut().goal(what, Bound::AtMost(1.3), "× among few", reached);
        }
    }
    drop((ours_few, ours_many, docker));
    [few_folder, many_folder, docker_folder].iter().try_for_each(|folder| seed::clear(folder))
}

impl List {
    fn name(self) -> &'static str {
        match self {
            List::Tags => "tags page",
            List::Catalog => "catalog page",
        }
    }

    fn count(self, amount: Amount) -> u64 {
        match self {
            List::Tags => amount.tags,
            List::Catalog => amount.repositories,
        }
    }

    fn path(self) -> String {
        match self {
            List::Tags => format!("/v2/{TAGS_REPOSITORY}/tags/list"),
            List::Catalog => "/v2/_catalog".to_owned(),
        }
    }

    fn entry(self, number: u64) -> String {
        match self {
            List::Tags => tag_name(number),
            List::Catalog => repository_name(number),
        }
    }
}

/// What ours came to.
fn contest(bench: &Bench, list: List, count: u64, servers: &[&Server]) -> Result<Outcome> {
    let scenario = format!("{} among {count}", list.name());
    let outcomes =
        bench.contest(&scenario, Unit::Each("page"), servers, |server| load(bench, server, list, count))?;
    Ok(outcomes.of(Kind::Ours).cloned().unwrap_or_default())
}

fn load(bench: &Bench, server: &Server, list: List, count: u64) -> Result<Outcome> {
    windowed(&server.process, bench.options.window, CLIENTS, |lane| {
        let mut random = Random::new();
        let mut client = Client::connect(&server.plain()?)?;
        lane.ready();
        while !lane.is_over() {
            let last = random.below(count - PAGE_ENTRIES);
            let path = format!("{}?n={PAGE_ENTRIES}&last={}", list.path(), list.entry(last));
            let begun = Instant::now();
            let answer = client.get(&path)?.expect(200)?;
            lane.moved(answer.body.len() as u64);
            lane.done(begun);
            let body = String::from_utf8(answer.body)?;
            for number in [last + 1, last + PAGE_ENTRIES] {
                ensure!(
                    body.contains(&format!("\"{}\"", list.entry(number))),
                    "{path}: {number} is missing: {body}"
                );
            }
            let entries = body.matches('"').count() / 2;
            // docker-registry 2.8 knows no pages of tags and gives all.
            ensure!(
                server.kind != Kind::Ours || entries as u64 <= PAGE_ENTRIES + 3,
                "{path}: {entries} entries"
            );
        }
        Ok(())
    })
}
