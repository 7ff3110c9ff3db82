//! Repositories that somebody may see.

use registry_types::{Cause, NameRange, RepositoryName, Viewer};

use super::{
    Backend,
    fixture::{Fixture, repo},
    open,
};

/// The catalog has what has a manifest and may be seen, in order.
pub async fn all(backend: &dyn Backend) {
    a_repository_is_listed_while_it_has_a_manifest(backend).await;
    pages_are_in_the_order_of_bytes(backend).await;
    a_page_has_only_what_may_be_seen(backend).await;
    public_repositories_are_listed_beside_what_a_viewer_sees(backend).await;
    pages_of_a_filtered_catalog_are_the_filtered_pages(backend).await;
}

const NAMES: [&str; 9] = ["a", "a-b", "a/b", "a/c", "ab", "b", "b/c/d", "team/app", "team/app2"];

async fn with_names(backend: &dyn Backend) -> Fixture {
    let f = open(backend).await;
    for name in NAMES {
        f.push_image(name, "content", &[]).await;
    }
    f
}

async fn page(f: &Fixture, viewer: &Viewer, after: Option<&str>, limit: usize) -> Vec<String> {
    let page = f.store().repositories(viewer, after, limit).await.unwrap();
    page.iter().map(RepositoryName::to_string).collect()
}

async fn a_repository_is_listed_while_it_has_a_manifest(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_blob("a", "content").await;
    assert!(page(&f, &Viewer::everything(), None, 10).await.is_empty());
    let first = f.push_image("a", "one", &["v1"]).await;
    let second = f.push_image("a", "two", &[]).await;
    for deleted in [first, second] {
        assert_eq!(page(&f, &Viewer::everything(), None, 10).await, ["a"]);
        f.store().delete_manifest(&repo("a"), &deleted, &Cause::UNKNOWN).await.unwrap();
    }
    assert!(page(&f, &Viewer::everything(), None, 10).await.is_empty());
    f.push_image("a", "one", &[]).await;
    assert_eq!(page(&f, &Viewer::everything(), None, 10).await, ["a"]);
}

async fn pages_are_in_the_order_of_bytes(backend: &dyn Backend) {
    let f = with_names(backend).await;
    assert_eq!(page(&f, &Viewer::everything(), None, 100).await, NAMES);
    assert_eq!(page(&f, &Viewer::everything(), Some("a/b"), 2).await, ["a/c", "ab"]);
    assert_eq!(page(&f, &Viewer::everything(), Some("a/b0"), 1).await, ["a/c"], "need not be there");
    assert!(page(&f, &Viewer::everything(), Some("z"), 2).await.is_empty());
    assert!(page(&f, &Viewer::everything(), None, 0).await.is_empty());
}

async fn a_page_has_only_what_may_be_seen(backend: &dyn Backend) {
    let f = with_names(backend).await;
    let prefixes =
        |prefixes: &[&str]| Viewer::of(prefixes.iter().map(|prefix| NameRange::beginning_with(prefix)));
    let names = |names: &[&str]| Viewer::of(names.iter().map(|name| NameRange::exactly(&repo(name))));
    let cases = [
        (prefixes(&["team/", "a/"]), vec!["a/b", "a/c", "team/app", "team/app2"]),
        (prefixes(&["a/b", "a/", "a/"]), vec!["a/b", "a/c"]),
        (prefixes(&["a"]), vec!["a", "a-b", "a/b", "a/c", "ab"]),
        (prefixes(&[""]), NAMES.to_vec()),
        (prefixes(&["none/"]), vec![]),
        (prefixes(&[]), vec![]),
        (names(&["b", "a/b", "unknown", "b"]), vec!["a/b", "b"]),
        (Viewer::nothing(), vec![]),
    ];
    for (visible, expected) in cases {
        assert_eq!(page(&f, &visible, None, 100).await, expected, "{visible:?}");
    }
}

async fn public_repositories_are_listed_beside_what_a_viewer_sees(backend: &dyn Backend) {
    let f = with_names(backend).await;
    f.run("UPDATE repositories SET public = 1 WHERE name IN ('a/c', 'b', 'team/app')").await;
    let team = Viewer::of([NameRange::beginning_with("team/")]);
    assert_eq!(page(&f, &Viewer::public(), None, 100).await, ["a/c", "b", "team/app"]);
    assert_eq!(page(&f, &team, None, 100).await, ["team/app", "team/app2"]);
    let both = team.and_public();
    assert_eq!(page(&f, &both, None, 100).await, ["a/c", "b", "team/app", "team/app2"]);
    assert_eq!(page(&f, &both, None, 3).await, ["a/c", "b", "team/app"]);
    assert_eq!(page(&f, &both, Some("b"), 1).await, ["team/app"]);
    assert_eq!(page(&f, &both, Some("team/app"), 10).await, ["team/app2"]);
    assert_eq!(page(&f, &Viewer::nothing(), None, 100).await, [] as [&str; 0]);
}

/// Whatever the set, the limit and the place: a page is what a filter over everything would give.
async fn pages_of_a_filtered_catalog_are_the_filtered_pages(backend: &dyn Backend) {
    let f = with_names(backend).await;
    // More ranges than one statement is asked about, most of them without a name.
    let many = (0..400).map(|n| NameRange::exactly(&repo(&format!("a/b{n}"))));
    let some = ["a/c", "b", "team/app2"].map(|name| NameRange::exactly(&repo(name)));
    let sets = [
        Viewer::of(many.chain(some)),
        Viewer::everything(),
        Viewer::of(["a/", "team/app", "b"].map(NameRange::beginning_with)),
        Viewer::of(["team/app", "a", "b"].map(|name| NameRange::exactly(&repo(name)))),
    ];
    let everywhere = NAMES.into_iter().chain(["", "a.", "a/zz", "team/", "~"]);
    for after in everywhere {
        for visible in &sets {
            let filtered = NAMES.into_iter().filter(|name| *name > after && visible.sees(&repo(name), false));
            let filtered: Vec<&str> = filtered.collect();
            for limit in 0..4 {
                let expected = &filtered[..limit.min(filtered.len())];
                assert_eq!(page(&f, visible, Some(after), limit).await, expected, "{after} {visible:?}");
            }
        }
    }
}
