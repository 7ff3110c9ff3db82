//! What refers to a manifest: signatures, SBOMs and the like.

use std::collections::{BTreeMap, BTreeSet};

use registry_core::{
    digest::Algorithm,
    metadata::PutManifest,
    types::{Cause, ErrorCode, Manifest, MediaType, RepositoryName},
};
use registry_testing::{Content, Image, ImageOptions, TestRegistry};
use serde_json::{Value, json};

const SIGNATURE: &str = "application/vnd.test.signature.v1+json";
const SBOM: &str = "application/vnd.test.sbom+json";

#[tokio::test]
async fn referrers_are_listed_with_what_they_say_of_themselves() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(1);
    let annotations = BTreeMap::from([("org.test.key".to_owned(), "a \"value\"".to_owned())]);
    let sbom = ImageOptions {
        subject: Some(image.manifest.descriptor()),
        artifact_type: Some(SBOM.to_owned()),
        annotations: annotations.clone(),
        ..ImageOptions::seeded(2)
    };
    let sbom = sbom.build();
    client.push("app", "latest", &image).await.unwrap();
    client.push("app", &sbom.manifest.digest.to_string(), &sbom).await.unwrap();

    let response = client.get(&format!("/v2/app/referrers/{}", image.manifest.digest)).expect(200).await;
    assert_eq!(response.must_have("content-type"), MediaType::OCI_INDEX.as_str());
    assert_eq!(response.header("oci-filters-applied"), None);
    let expected = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [{
            "mediaType": MediaType::OCI_MANIFEST,
            "digest": sbom.manifest.digest,
            "size": sbom.manifest.bytes.len(),
            "artifactType": SBOM,
            "annotations": annotations,
        }],
    });
    assert_eq!(response.json(), expected);
}

#[tokio::test]
async fn referrers_are_filtered_by_type() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(3);
    let subject = image.manifest.descriptor();
    let signature = Image::referrer(4, subject.clone(), SIGNATURE);
    let sbom = Image::referrer(5, subject.clone(), SBOM);
    // Without a type of its own, a manifest has that of its config.
    let by_config = ImageOptions { subject: Some(subject), ..ImageOptions::seeded(6) }.build();
    for artifact in [&image, &signature, &sbom, &by_config] {
        client.push("app", &artifact.manifest.digest.to_string(), artifact).await.unwrap();
    }
    let path = format!("/v2/app/referrers/{}", image.manifest.digest);
    for (filter, found) in [
        (SIGNATURE, vec![&signature]),
        (SBOM, vec![&sbom]),
        (MediaType::OCI_CONFIG.as_str(), vec![&by_config]),
        ("application/absent", vec![]),
    ] {
        let filtered = format!("{path}?artifactType={}", filter.replace('/', "%2F").replace('+', "%2B"));
        let response = client.get(&filtered).expect(200).await;
        assert_eq!(response.must_have("oci-filters-applied"), "artifactType");
        let expected: Vec<_> = found.iter().map(|image| image.manifest.digest.to_string()).collect();
        assert_eq!(digests(&response.json()), expected, "{filter}");
    }
    assert_eq!(digests(&client.get(&path).expect(200).await.json()).len(), 3);
    // An empty filter is none.
    let response = client.get(&format!("{path}?artifactType=")).expect(200).await;
    assert_eq!(response.header("oci-filters-applied"), None);
}

#[tokio::test]
async fn nothing_refers_to_what_nobody_has_pushed() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(7);
    client.push("app", "latest", &image).await.unwrap();
    let absent = Image::random(8).manifest.digest;
    for path in [
        format!("/v2/app/referrers/{}", image.manifest.digest),
        format!("/v2/app/referrers/{absent}"),
        format!("/v2/absent/referrers/{absent}"),
    ] {
        assert_eq!(client.get(&path).expect(200).await.json()["manifests"], json!([]), "{path}");
    }
    for wrong in ["latest", "sha256:abc", "sha384:abcd"] {
        let response = client.get(&format!("/v2/app/referrers/{wrong}")).expect(400).await;
        assert_eq!(response.error_code(), ErrorCode::DigestInvalid, "{wrong}");
    }
}

#[tokio::test]
async fn referrers_may_come_before_their_subject_and_go_after_it() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(9);
    let signature = Image::referrer(10, image.manifest.descriptor(), SIGNATURE);
    let path = format!("/v2/app/referrers/{}", image.manifest.digest);
    client.push("app", &signature.manifest.digest.to_string(), &signature).await.unwrap();
    assert_eq!(digests(&client.get(&path).expect(200).await.json()).len(), 1);
    client.push("app", "latest", &image).await.unwrap();
    assert_eq!(digests(&client.get(&path).expect(200).await.json()).len(), 1);

    client.delete(&format!("/v2/app/manifests/{}", signature.manifest.digest)).expect(202).await;
    assert_eq!(digests(&client.get(&path).expect(200).await.json()).len(), 0);
    client.pull("app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn an_index_refers_too() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(11);
    client.push("app", "latest", &image).await.unwrap();
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "artifactType": SBOM,
        "subject": image.manifest.descriptor(),
        "manifests": [],
    });
    let index = Content::new(MediaType::OCI_INDEX, document.to_string());
    let response = client.push_manifest("app", &index.digest.to_string(), &index).await.unwrap();
    assert_eq!(response.must_have("oci-subject"), image.manifest.digest.to_string());
    let list = client.get(&format!("/v2/app/referrers/{}", image.manifest.digest)).expect(200).await.json();
    assert_eq!(list["manifests"][0]["artifactType"], SBOM);
    assert_eq!(list["manifests"][0]["mediaType"], MediaType::OCI_INDEX.as_str());
}

#[tokio::test]
async fn referrers_of_another_repository_are_not_listed() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(12);
    let signature = Image::referrer(13, image.manifest.descriptor(), SIGNATURE);
    client.push("one", "latest", &image).await.unwrap();
    client.push("two", "latest", &image).await.unwrap();
    client.push("one", "signature", &signature).await.unwrap();
    let list = client.get(&format!("/v2/two/referrers/{}", image.manifest.digest)).expect(200).await.json();
    assert_eq!(list["manifests"], json!([]));
}

#[tokio::test]
async fn many_referrers_come_page_by_page() {
    const REFERRERS: usize = 1100;
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let subject = Image::random(14).manifest;
    let repository: RepositoryName = "many".parse().unwrap();
    let mut expected = BTreeSet::new();
    for number in 0..REFERRERS {
        let document = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX,
            "artifactType": if number % 2 == 0 { SBOM } else { SIGNATURE },
            "subject": subject.descriptor(),
            "manifests": [],
            "annotations": { "number": number.to_string() },
        });
        let manifest = Manifest::parse(None, document.to_string().into()).unwrap();
        let digest = manifest.digest(Algorithm::Sha256);
        let put = PutManifest {
            repository: &repository,
            digest,
            manifest: &manifest,
            tags: &[],
            required: &[],
            required_children: &[],
            cause: &Cause::UNKNOWN,
        };
        registry.app().metadata.put_manifest(&put).await.unwrap();
        expected.insert(digest.to_string());
    }
    for (query, count) in [("", REFERRERS), ("?artifactType=application/vnd.test.sbom%2Bjson", REFERRERS / 2)]
    {
        let mut next = Some(format!("/v2/many/referrers/{}{query}", subject.digest));
        let mut seen = Vec::new();
        while let Some(path) = next {
            let page = client.get(&path).expect(200).await;
            assert_eq!(page.header("oci-filters-applied").is_some(), !query.is_empty());
            seen.extend(digests(&page.json()));
            next = page.next_page();
        }
        assert_eq!(seen.len(), count);
        let unique: BTreeSet<String> = seen.into_iter().collect();
        assert_eq!(unique.len(), count);
        assert!(unique.is_subset(&expected));
    }
}

#[tokio::test]
async fn clients_that_know_no_referrers_use_a_tag() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(15);
    let signature = Image::referrer(16, image.manifest.descriptor(), SIGNATURE);
    client.push("app", "latest", &image).await.unwrap();
    client.push("app", &signature.manifest.digest.to_string(), &signature).await.unwrap();
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [signature.manifest.descriptor()],
    });
    let fallback = Content::new(MediaType::OCI_INDEX, document.to_string());
    let tag = image.manifest.digest.to_string().replace(':', "-");
    client.push_manifest("app", &tag, &fallback).await.unwrap();
    client.pull_manifest("app", &tag, &fallback).await.unwrap();
}

fn digests(index: &Value) -> Vec<String> {
    let manifests = index["manifests"].as_array().unwrap().iter();
    manifests.map(|descriptor| descriptor["digest"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_page_ends_before_it_is_too_large_and_says_what_follows() {
    const REFERRERS: usize = 5;
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let image = Image::random(1);
    client.push("app", "latest", &image).await.unwrap();
    let mut expected = BTreeSet::new();
    for number in 0..REFERRERS {
        // Two of them are more than a page may be; one by one each of them fits.
        let note = format!("{number}{}", "\u{1}".repeat(600_000));
        let referrer = ImageOptions {
            subject: Some(image.manifest.descriptor()),
            annotations: BTreeMap::from([("note".to_owned(), note)]),
            ..ImageOptions::seeded(10 + number as u64)
        };
        let referrer = referrer.build();
        client.push("app", &referrer.manifest.digest.to_string(), &referrer).await.unwrap();
        expected.insert(referrer.manifest.digest.to_string());
    }
    let (mut seen, mut pages) = (BTreeSet::new(), 0);
    let mut next = Some(format!("/v2/app/referrers/{}", image.manifest.digest));
    while let Some(path) = next {
        let page = client.get(&path).expect(200).await;
        for descriptor in page.json()["manifests"].as_array().unwrap() {
            assert!(descriptor["annotations"]["note"].as_str().unwrap().len() > 600_000);
            seen.insert(descriptor["digest"].as_str().unwrap().to_owned());
        }
        next = page.next_page();
        pages += 1;
    }
    assert_eq!(seen, expected);
    assert!((2..=REFERRERS + 1).contains(&pages), "{pages} pages");
}
