//! Lists of tags and repositories, page by page.

use std::sync::Arc;

use registry_core::{
    api::App,
    digest::Algorithm,
    metadata::{Options, PutManifest, SqliteStore, SystemClock, traits::Content as _},
    types::{Cause, ErrorCode, Manifest, MediaType, RepositoryName, Tag},
};
use registry_testing::{Client, Content, Image, Server, TestRegistry};
use serde_json::{Value, json};

#[tokio::test]
async fn tags_come_in_order_page_by_page() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let tags = tagged(&registry, "app", 25).await;
    for n in [1, 7, 24, 25] {
        let (pages, seen) = follow(&client, &format!("/v2/app/tags/list?n={n}"), "tags").await;
        assert_eq!(seen, tags, "n={n}");
        assert_eq!(pages, 25usize.div_ceil(n), "n={n}");
    }
    let all = client.get("/v2/app/tags/list").expect(200).await;
    assert_eq!(all.json(), json!({ "name": "app", "tags": tags }));
    assert_eq!(all.next_page(), None);
}

#[tokio::test]
async fn the_next_page_is_a_path_of_the_registry() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    tagged(&registry, "team/app", 3).await;
    let page = client.get("/v2/team/app/tags/list?n=2&other=1").expect(200).await;
    assert_eq!(page.next_page().as_deref(), Some("/v2/team/app/tags/list?last=t00001&n=2"));
}

#[tokio::test]
async fn a_page_begins_after_a_tag_that_need_not_exist() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    tagged(&registry, "app", 5).await;
    for (query, expected) in [
        ("?last=t00002", json!(["t00003", "t00004"])),
        ("?last=t00002x", json!(["t00003", "t00004"])),
        ("?last=zzz", json!([])),
        ("?last=A&n=1", json!(["t00000"])),
        ("?last=", json!(["t00000", "t00001", "t00002", "t00003", "t00004"])),
    ] {
        let page = client.get(&format!("/v2/app/tags/list{query}")).expect(200).await;
        assert_eq!(page.json()["tags"], expected, "{query}");
    }
}

#[tokio::test]
async fn pages_of_no_size_and_of_any_size() {
    let settings = TestRegistry::settings().tags_entries_max(10).catalog_entries_max(10);
    let registry = TestRegistry::with_settings(settings).await;
    let client = registry.client();
    let tags = tagged(&registry, "app", 25).await;
    for number in 0..25 {
        tagged(&registry, &format!("repository/{number:05}"), 1).await;
    }
    for (path, entries) in [("/v2/app/tags/list", "tags"), ("/v2/_catalog", "repositories")] {
        let none = client.get(&format!("{path}?n=0")).expect(200).await;
        assert_eq!(none.json()[entries], json!([]));
        assert_eq!(none.next_page(), None);
        for n in ["1000", "99999999999999999999999"] {
            let (pages, _) = follow(&client, &format!("{path}?n={n}"), entries).await;
            assert_eq!(pages, 3, "{path}?n={n}");
        }
        for n in ["-1", "abc", "1.5", "0x10", "+1", "%20"] {
            let response = client.get(&format!("{path}?n={n}")).expect(400).await;
            assert_eq!(response.error_code(), ErrorCode::PaginationNumberInvalid, "{path}?n={n}");
        }
    }
    let (_, seen) = follow(&client, "/v2/app/tags/list?n=1000", "tags").await;
    assert_eq!(seen, tags);
}

#[tokio::test]
async fn repositories_come_in_order_page_by_page() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let names: Vec<String> = (0..250).map(|number| format!("team/r{number:05}")).collect();
    for name in &names {
        tagged(&registry, name, 1).await;
    }
    for n in [1, 99, 250] {
        let (pages, seen) = follow(&client, &format!("/v2/_catalog?n={n}"), "repositories").await;
        assert_eq!(seen, names, "n={n}");
        assert_eq!(pages, 250usize.div_ceil(n), "n={n}");
    }
    let first = client.get("/v2/_catalog").expect(200).await;
    assert_eq!(first.json()["repositories"].as_array().unwrap().len(), 100);
    assert_eq!(first.next_page().as_deref(), Some("/v2/_catalog?last=team/r00099&n=100"));
}

#[tokio::test]
async fn the_catalog_holds_repositories_with_something_in_them() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    assert_eq!(client.get("/v2/_catalog").expect(200).await.json(), json!({ "repositories": [] }));
    let image = Image::random(1);
    client.push_blob("only/blobs", &image.blobs[0]).await.unwrap();
    client.begin_upload("only/uploads").await.unwrap();
    client.push("full", "latest", &image).await.unwrap();
    client.push("untagged", &image.manifest.digest.to_string(), &image).await.unwrap();
    assert_eq!(
        client.get("/v2/_catalog").expect(200).await.json()["repositories"],
        json!(["full", "untagged"])
    );

    client.delete(&format!("/v2/full/manifests/{}", image.manifest.digest)).expect(202).await;
    assert_eq!(client.get("/v2/_catalog").expect(200).await.json()["repositories"], json!(["untagged"]));
}

#[tokio::test]
async fn a_repository_without_tags_has_none() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(2);
    client.push("app", &image.manifest.digest.to_string(), &image).await.unwrap();
    for query in ["", "?n=10", "?n=0"] {
        let list = client.get(&format!("/v2/app/tags/list{query}")).expect(200).await;
        assert_eq!(list.json(), json!({ "name": "app", "tags": [] }), "{query}");
        let unknown = client.get(&format!("/v2/absent/tags/list{query}")).expect(404).await;
        assert_eq!(unknown.error_code(), ErrorCode::NameUnknown, "{query}");
    }
}

#[tokio::test]
async fn pages_stay_whole_while_tags_come_and_go() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let tags = tagged(&registry, "app", 30).await;
    let mut next = Some("/v2/app/tags/list?n=10".to_owned());
    let mut seen = Vec::new();
    while let Some(path) = next {
        let page = client.get(&path).expect(200).await;
        seen.extend(texts(&page.json()["tags"]));
        next = page.next_page();
        // The last one seen goes, and one before it comes.
        client.delete(&format!("/v2/app/manifests/{}", seen.last().unwrap())).expect(202).await;
        let new = format!("t{:05}a", seen.len() - 5);
        put(registry.app(), "app", &[new.parse().unwrap()]).await;
    }
    assert_eq!(seen, tags);
}

#[tokio::test]
async fn a_hundred_thousand_tags_cost_no_memory() {
    const TAGS: usize = 100_000;
    const GROWTH_BYTES_MAX: u64 = 12 * 1024 * 1024;
    let mut server = Server::start().await;
    let image = Image::random(3);
    server.client().push("many", "t", &image).await.unwrap();
    server.kill().await;
    seed_tags(&server, &image, TAGS).await;

    let server = server.restart().await;
    let client = server.client();
    client.get("/v2/many/tags/list?n=1000").expect(200).await;
    let before = server.memory_bytes();
    let all = client.get("/v2/many/tags/list").expect(200).await.json();
    let growth = server.memory_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "a list of {TAGS} tags took {growth} bytes");
    let all = texts(&all["tags"]);
    assert_eq!(all.len(), TAGS + 1);
    assert!(all.is_sorted());

    let (pages, seen) = follow(&client, "/v2/many/tags/list?n=1000", "tags").await;
    assert_eq!(pages, TAGS / 1000 + 1);
    assert_eq!(seen, all);
}

/// Writes tags into the database of a server that does not run.
async fn seed_tags(server: &Server, image: &Image, tags: usize) {
    let path = server.data().join("metadata.sqlite");
    let database = SqliteStore::open(&path, Options::default(), Arc::new(SystemClock)).unwrap();
    let manifest = Manifest::parse(None, image.manifest.bytes.clone()).unwrap();
    let repository: RepositoryName = "many".parse().unwrap();
    let tags: Vec<Tag> = (0..tags).map(|number| format!("t{number:06}").parse().unwrap()).collect();
    for some in tags.chunks(2000) {
        let put = PutManifest {
            repository: &repository,
            digest: image.manifest.digest,
            manifest: &manifest,
            tags: some,
            required: &[],
            required_children: &[],
            cause: &Cause::UNKNOWN,
        };
        database.put_manifest(&put).await.unwrap();
    }
}

/// Puts a small artifact with so many tags into a repository, past HTTP. Returns the tags in order.
async fn tagged(registry: &TestRegistry, repository: &str, count: usize) -> Vec<String> {
    let tags: Vec<Tag> = (0..count).map(|number| format!("t{number:05}").parse().unwrap()).collect();
    // From the last to the first, so that order is not that of arrival.
    let reversed: Vec<Tag> = tags.iter().rev().cloned().collect();
    put(registry.app(), repository, &reversed).await;
    tags.iter().map(Tag::to_string).collect()
}

async fn put(app: &Arc<App>, repository: &str, tags: &[Tag]) {
    let document = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [] });
    let content = Content::new(MediaType::OCI_INDEX, document.to_string());
    let manifest = Manifest::parse(None, content.bytes.clone()).unwrap();
    let put = PutManifest {
        repository: &repository.parse().unwrap(),
        digest: manifest.digest(Algorithm::Sha256),
        manifest: &manifest,
        tags,
        required: &[],
        required_children: &[],
        cause: &Cause::UNKNOWN,
    };
    app.metadata.put_manifest(&put).await.unwrap();
}

/// Follows `Link` headers to the end. Returns the number of pages, and all entries.
async fn follow(client: &Client, path: &str, entries: &str) -> (usize, Vec<String>) {
    let (mut pages, mut seen, mut next) = (0, Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = client.get(&path).expect(200).await;
        seen.extend(texts(&page.json()[entries]));
        pages += 1;
        next = page.next_page();
    }
    (pages, seen)
}

fn texts(array: &Value) -> Vec<String> {
    array.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_page_after_nonsense_is_a_page() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    tagged(&registry, "app", 3).await;
    for last in ["%ff", "%00", "'%20OR%201=1", "%22", "a%2Fb", &"x".repeat(5000)] {
        for path in ["/v2/app/tags/list", "/v2/_catalog"] {
            client.get(&format!("{path}?last={last}")).expect(200).await;
            client.get(&format!("{path}?n=2&last={last}")).expect(200).await;
        }
    }
}
