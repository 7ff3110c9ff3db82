use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ID: &str = "0b0f4f7a-3c63-4b0e-9d0a-0a0b0c0d0e0f";

fn parse(method: Method, path: &str) -> Result<Route, RouteError> {
    Route::parse(&method, &path.parse::<Uri>().unwrap())
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

#[test]
fn every_endpoint_is_found() {
    let digest: Digest = DIGEST.parse().unwrap();
    let id: UploadId = ID.parse().unwrap();
    let repository = name("library/alpine");
    let cases: Vec<(Method, String, Route)> = vec![
        (Method::GET, "/".into(), Route::Alive),
        (Method::HEAD, "/v2/".into(), Route::Version),
        (
            Method::GET,
            "/v2/_catalog?n=5&last=a/b".into(),
            Route::Catalog { page: Page { n: Some(5), last: Some("a/b".into()) } },
        ),
        (
            Method::GET,
            "/v2/library/alpine/tags/list".into(),
            Route::Tags { repository: repository.clone(), page: Page::default() },
        ),
        (
            Method::HEAD,
            "/v2/library/alpine/manifests/3.20".into(),
            Route::GetManifest { repository: repository.clone(), reference: "3.20".parse().unwrap() },
        ),
        (
            Method::PUT,
            format!("/v2/library/alpine/manifests/{DIGEST}?tag=1&tag=2"),
            Route::PutManifest {
                repository: repository.clone(),
                reference: Reference::Digest(digest),
                tags: vec!["1".parse().unwrap(), "2".parse().unwrap()],
            },
        ),
        (
            Method::DELETE,
            "/v2/library/alpine/manifests/3.20".into(),
            Route::DeleteManifest { repository: repository.clone(), reference: "3.20".parse().unwrap() },
        ),
        (
            Method::GET,
            format!("/v2/library/alpine/blobs/{}", DIGEST.replace(':', "%3A")),
            Route::GetBlob { repository: repository.clone(), digest },
        ),
        (
            Method::DELETE,
            format!("/v2/library/alpine/blobs/{DIGEST}"),
            Route::DeleteBlob { repository: repository.clone(), digest },
        ),
        (
            Method::POST,
            "/v2/library/alpine/blobs/uploads/?digest-algorithm=sha512".into(),
            Route::StartUpload {
                repository: repository.clone(),
                start: StartUpload::Session { algorithm: Algorithm::Sha512 },
            },
        ),
        (
            Method::POST,
            format!("/v2/library/alpine/blobs/uploads?digest={DIGEST}"),
            Route::StartUpload { repository: repository.clone(), start: StartUpload::Whole { digest } },
        ),
        (
            Method::POST,
            format!("/v2/library/alpine/blobs/uploads/?mount={DIGEST}&from=library/base"),
            Route::StartUpload {
                repository: repository.clone(),
                start: StartUpload::Mount { digest, from: Some(name("library/base")) },
            },
        ),
        (
            Method::GET,
            format!("/v2/library/alpine/blobs/uploads/{ID}"),
            Route::UploadStatus { repository: repository.clone(), id },
        ),
        (
            Method::PATCH,
            format!("/v2/library/alpine/blobs/uploads/{ID}"),
            Route::AppendUpload { repository: repository.clone(), id },
        ),
        (
            Method::PUT,
            format!("/v2/library/alpine/blobs/uploads/{ID}?digest={DIGEST}"),
            Route::FinishUpload { repository: repository.clone(), id, digest },
        ),
        (
            Method::DELETE,
            format!("/v2/library/alpine/blobs/uploads/{ID}"),
            Route::CancelUpload { repository: repository.clone(), id },
        ),
        (
            Method::GET,
            format!("/v2/library/alpine/referrers/{DIGEST}?artifactType=a%2Fb&last={DIGEST}"),
            Route::Referrers {
                repository: repository.clone(),
                subject: digest,
                artifact_type: Some("a/b".into()),
                last: Some(digest),
            },
        ),
    ];
    for (method, path, route) in cases {
        assert_eq!(parse(method, &path).as_ref(), Ok(&route), "{path}");
    }
}

fn repository_of(route: &Route) -> Option<RepositoryName> {
    match route.required_access() {
        Some(Access::Repository { name, .. }) => Some(name),
        _ => None,
    }
}

#[test]
fn a_name_may_hold_the_words_of_endpoints() {
    let cases = [
        ("/v2/blobs/tags/list/manifests/x", "blobs/tags/list"),
        ("/v2/a/blobs/uploads/manifests/x", "a/blobs/uploads"),
        ("/v2/manifests/manifests/manifests", "manifests"),
        ("/v2/tags/tags/list", "tags"),
    ];
    for (path, repository) in cases {
        let route = parse(Method::GET, path).unwrap();
        assert_eq!(repository_of(&route), Some(name(repository)), "{path}");
    }
    let upload = parse(Method::GET, &format!("/v2/blobs/uploads/blobs/uploads/{ID}")).unwrap();
    assert_eq!(repository_of(&upload), Some(name("blobs/uploads")));
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let long = "a".repeat(256);
    type Check = fn(&RouteError) -> bool;
    let cases: Vec<(Method, String, Check)> = vec![
        (Method::GET, "/v2".into(), |e| matches!(e, RouteError::Moved { path } if path == "/v2/")),
        (Method::GET, "/v1/".into(), |e| matches!(e, RouteError::Unknown { .. })),
        (Method::GET, "/v2/x".into(), |e| matches!(e, RouteError::Unknown { .. })),
        (Method::GET, "/v2/x/y/z".into(), |e| matches!(e, RouteError::Unknown { .. })),
        (Method::GET, "/v2/tags/list".into(), |e| {
            matches!(e, RouteError::Unknown { .. } | RouteError::Name(_))
        }),
        (Method::POST, "/v2/".into(), |e| matches!(e, RouteError::Method { .. })),
        (Method::GET, "/v2/UPPER/tags/list".into(), |e| matches!(e, RouteError::Name(_))),
        (Method::GET, "/v2/a//b/tags/list".into(), |e| matches!(e, RouteError::Name(_))),
        (Method::GET, "/v2/../b/tags/list".into(), |e| matches!(e, RouteError::Name(_))),
        (Method::GET, format!("/v2/{long}/tags/list"), |e| matches!(e, RouteError::Name(_))),
        (Method::GET, "/v2/a/manifests/sha256:abc".into(), |e| matches!(e, RouteError::Digest(_))),
        (Method::GET, "/v2/a/manifests/-x".into(), |e| matches!(e, RouteError::Tag(_))),
        (Method::GET, "/v2/a/blobs/nothing".into(), |e| matches!(e, RouteError::Digest(_))),
        (Method::GET, "/v2/a/tags/list?n=-1".into(), |e| matches!(e, RouteError::PageSize { .. })),
        (Method::GET, "/v2/a/tags/list?n=x".into(), |e| matches!(e, RouteError::PageSize { .. })),
        (Method::PUT, format!("/v2/a/blobs/uploads/{ID}"), |e| *e == RouteError::DigestMissing),
        (Method::PATCH, "/v2/a/blobs/uploads/x".into(), |e| matches!(e, RouteError::Upload { .. })),
        (Method::POST, "/v2/a/blobs/uploads/?digest-algorithm=md5".into(), |e| {
            matches!(e, RouteError::Digest(_))
        }),
    ];
    for (method, path, expected) in cases {
        let error = parse(method, &path).expect_err(&path);
        assert!(expected(&error), "{path}: {error:?}");
    }
}

#[test]
fn a_page_larger_than_any_number_is_a_wish_for_everything() {
    let route = parse(Method::GET, "/v2/a/tags/list?n=99999999999999999999999999").unwrap();
    assert_eq!(route, Route::Tags { repository: name("a"), page: Page { n: Some(usize::MAX), last: None } });
}

#[test]
fn a_mount_of_nonsense_becomes_a_session_or_an_error() {
    let start = |query: &str| parse(Method::POST, &format!("/v2/a/blobs/uploads/?{query}"));
    let session = StartUpload::Session { algorithm: Algorithm::Sha256 };
    assert_eq!(start("mount=md5:abc").unwrap(), Route::StartUpload { repository: name("a"), start: session });
    assert!(matches!(start("mount=sha256:abc"), Err(RouteError::Digest(_))));
    let digest = DIGEST.parse().unwrap();
    assert_eq!(
        start(&format!("mount={DIGEST}&from=NO")).unwrap(),
        Route::StartUpload { repository: name("a"), start: StartUpload::Mount { digest, from: None } }
    );
}

proptest::proptest! {
    #[test]
    fn no_path_makes_it_panic(path in "(/[ -~]{0,12}){0,6}", method in 0..5usize) {
        let method = [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE][method].clone();
        if let Ok(uri) = path.parse::<Uri>() {
            let _ = Route::parse(&method, &uri);
        }
    }
}
