use super::*;
use crate::{DESCRIPTOR_SIZE_MAX, DescriptorError, ParseMediaTypeError};
use registry_digest::ParseDigestError;

fn refusal(content_type: &MediaType, document: &Value) -> ManifestError {
    parse(content_type, document).unwrap_err()
}

fn refusal_of_text(text: &str) -> ManifestError {
    Manifest::parse(Some(&MediaType::OCI_MANIFEST), text.to_owned().into()).unwrap_err()
}

#[test]
fn more_bytes_than_the_limit() {
    let padded = |bytes: usize| {
        let mut document = image().to_string();
        document.push_str(&" ".repeat(bytes - document.len()));
        Manifest::parse(None, document.into())
    };
    assert!(padded(MANIFEST_BYTES_MAX).is_ok());
    let (actual_bytes, limit_bytes) = (MANIFEST_BYTES_MAX + 1, MANIFEST_BYTES_MAX);
    assert_eq!(padded(actual_bytes), Err(ManifestError::TooLarge { actual_bytes, limit_bytes }));
}

#[test]
fn more_annotations_than_the_limit() {
    let annotated = |entries: usize| {
        let annotations: Value = (0..entries)
            .map(|number| (number.to_string(), json!("")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        with(image(), json!({ "annotations": annotations }))
    };
    assert!(parse(&MediaType::OCI_MANIFEST, &annotated(MANIFEST_ENTRIES_MAX)).is_ok());
    let expected = ManifestError::TooManyEntries { limit: MANIFEST_ENTRIES_MAX };
    assert_eq!(refusal(&MediaType::OCI_MANIFEST, &annotated(MANIFEST_ENTRIES_MAX + 9)), expected);
    // It is the sum that counts.
    let half = annotated(MANIFEST_ENTRIES_MAX / 2 + 9)["annotations"].clone();
    let both = with(image(), json!({ "annotations": half.clone(), "unknown": half }));
    assert_eq!(refusal(&MediaType::OCI_MANIFEST, &both), expected);
    // URLs are texts, too.
    let urls = |count: usize| {
        let mut image = image();
        image["config"]["urls"] = vec![""; count].into();
        image
    };
    assert!(parse(&MediaType::OCI_MANIFEST, &urls(MANIFEST_ENTRIES_MAX)).is_ok());
    assert_eq!(refusal(&MediaType::OCI_MANIFEST, &urls(MANIFEST_ENTRIES_MAX + 9)), expected);
}

#[test]
fn other_types_are_refused_with_a_list_of_the_four() {
    for other in [
        "application/json",
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.oci.empty.v1+json",
    ] {
        let expected = ManifestError::UnsupportedMediaType { media_type: Some(other.into()) };
        assert_eq!(refusal(&other.parse().unwrap(), &image()), expected);
        let document = with(image(), json!({"mediaType": other}));
        assert_eq!(Manifest::parse(None, document.to_string().into()), Err(expected.clone()));
        let text = expected.to_string();
        assert!(text.contains(other), "{text}");
        assert!(MediaType::MANIFESTS.iter().all(|accepted| text.contains(accepted.as_str())), "{text}");
    }
    let document = with(image(), json!({"mediaType": "é".repeat(1000)}));
    let error = Manifest::parse(None, document.to_string().into()).unwrap_err();
    assert_eq!(error, ManifestError::UnsupportedMediaType { media_type: Some("é".repeat(50)) });
}

#[test]
fn schema_1_is_named() {
    let document = json!({
        "schemaVersion": 1, "name": "a", "tag": "b", "architecture": "amd64", "signatures": [],
        "fsLayers": [{"blobSum": digest("layer")}], "history": [{"v1Compatibility": "{}"}],
    });
    for content_type in [
        Some(MediaType::DOCKER_SCHEMA1),
        Some(MediaType::DOCKER_SCHEMA1_SIGNED),
        Some(MediaType::DOCKER_MANIFEST),
        Some(MediaType::OCI_MANIFEST),
        None,
    ] {
        let result = Manifest::parse(content_type.as_ref(), document.to_string().into());
        assert_eq!(result, Err(ManifestError::Schema1), "{content_type:?}");
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    let place = |text: &str| match refusal_of_text(text) {
        ManifestError::Json { line, column, reason } => (line, column, reason),
        error => panic!("{error}"),
    };
    assert_eq!(place(""), (1, 0, "EOF while parsing a value".into()));
    assert_eq!(place("{\n\"a\": tru}").0, 2);
    assert_eq!(place("[]"), (1, 0, "invalid type: sequence, expected a manifest".into()));
    assert_eq!(place("{} x").0, 1);
    assert_eq!(place("\u{feff}{}").0, 1);
    assert_eq!(place(r#"{"schemaVersion":"2"}"#).2, r#"invalid type: string "2", expected i64"#);
    assert!(place(r#"{"layers":{}}"#).2.contains("expected a list of descriptors"));
    assert_eq!(place(&format!(r#"{{"annotations":"{}"}}"#, "é".repeat(1000))).2.len(), 100);
    let invalid = Manifest::parse(None, Bytes::from_static(b"{\"a\":\"\xff\"}"));
    assert_eq!(invalid, Err(ManifestError::NotUtf8 { position: 6 }));
}

#[test]
fn json_is_not_nested_deeper_than_the_limit() {
    let nested = |depth: usize| {
        let text = image().to_string();
        let more = format!(r#","x":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
        Manifest::parse(None, format!("{}{more}", &text[..text.len() - 1]).into())
    };
    assert!(nested(MANIFEST_DEPTH_MAX).is_ok());
    let expected = Err(ManifestError::TooDeep { limit: MANIFEST_DEPTH_MAX });
    assert_eq!(nested(MANIFEST_DEPTH_MAX + 1), expected);
    assert_eq!(nested(1_000_000), expected);
}

#[test]
fn a_field_twice_is_ambiguous() {
    for name in ["config", "mediaType", "x"] {
        let error = refusal_of_text(&format!(r#"{{"{name}":null,"y":[],"{name}":null}}"#));
        assert_eq!(error, ManifestError::DuplicateField { name: name.into() });
    }
    // Written with an escape it is still the same field.
    let error = refusal_of_text(r#"{"config":null,"\u0063onfig":null}"#);
    assert_eq!(error, ManifestError::DuplicateField { name: "config".into() });
    let error = refusal_of_text(r#"{"annotations":{"a":"b","\u0061":"c"}}"#);
    assert_eq!(error, ManifestError::DuplicateField { name: "annotations.a".into() });
}

#[test]
fn a_field_that_differs_in_case_is_ambiguous() {
    for (name, field) in [("Manifests", "manifests"), ("LAYERS", "layers"), ("ſubject", "subject")] {
        let error = refusal(&MediaType::OCI_MANIFEST, &with(image(), json!({name: []})));
        assert_eq!(error, ManifestError::LookalikeField { name: name.into(), field });
    }
}

/// A manifest whose JSON has `more` before the fields of each descriptor, and of each platform.
fn with_more(document: &Value, descriptor: &str, platform: &str) -> Result<Manifest, ManifestError> {
    let text = document.to_string();
    let text = text.replace(r#"{"digest":"#, &format!("{{{descriptor}\"digest\":"));
    let text = text.replace(r#"{"architecture":"#, &format!("{{{platform}\"architecture\":"));
    Manifest::parse(None, text.into())
}

#[test]
fn every_object_of_known_shape_has_each_field_once_and_nothing_like_it() {
    use DescriptorError::{Duplicate, Lookalike};
    let lookalike = |name: &str, field| Lookalike { name: name.into(), field };
    let duplicate = |name: &str| Duplicate { name: name.into() };
    let subject =
        json!({"subject": super::descriptor("application/vnd.oci.image.manifest.v1+json", "subject")});
    let (image, index) = (with(image(), subject.clone()), with(index(), subject));
    assert!(with_more(&image, "", "").is_ok() && with_more(&index, "", "").is_ok());
    let cases = [
        (r#""Digest":1,"#, "", lookalike("Digest", "digest")),
        (r#""ſize":1,"#, "", lookalike("ſize", "size")),
        (r#""URLs":[],"#, "", lookalike("URLs", "urls")),
        (r#""\u0055rls":[],"#, "", lookalike("Urls", "urls")),
        (r#""PLATFORM":null,"#, "", lookalike("PLATFORM", "platform")),
        (r#""digest":null,"#, "", duplicate("digest")),
        (r#""x":1,"\u0078":1,"#, "", duplicate("x")),
        (r#""annotations":{"a":"b","a":"b"},"#, "", duplicate("annotations.a")),
        ("", r#""OS":"windows","#, lookalike("platform.OS", "os")),
        ("", r#""oſ.version":"10","#, lookalike("platform.oſ.version", "os.version")),
        ("", r#""os":"windows","#, duplicate("platform.os")),
    ];
    for (descriptor, platform, reason) in cases {
        let in_first = |parent: &str| ManifestError::Descriptor {
            path: format!("{parent}.{}", reason.field()),
            reason: reason.clone(),
        };
        assert_eq!(with_more(&index, descriptor, platform), Err(in_first("manifests[0]")));
        if platform.is_empty() {
            assert_eq!(with_more(&image, descriptor, platform), Err(in_first("config")));
        }
    }
    let many: String = (0..MANIFEST_FIELDS_MAX).map(|number| format!("\"x{number}\":0,")).collect();
    let reason = DescriptorError::TooManyFields { limit: MANIFEST_FIELDS_MAX };
    let expected = ManifestError::Descriptor { path: "config".into(), reason };
    assert_eq!(with_more(&image, &many, ""), Err(expected));
}

#[test]
fn more_fields_than_the_limit() {
    let fields = |count: usize| {
        let more: serde_json::Map<String, Value> =
            (0..count).map(|number| (format!("x{number}"), json!(0))).collect();
        parse(&MediaType::OCI_MANIFEST, &with(image(), Value::Object(more)))
    };
    assert!(fields(MANIFEST_FIELDS_MAX - 4).is_ok());
    assert_eq!(
        fields(MANIFEST_FIELDS_MAX - 3),
        Err(ManifestError::TooManyFields { limit: MANIFEST_FIELDS_MAX })
    );
}

#[test]
fn request_and_document_have_to_agree() {
    for (content_type, document) in [
        (MediaType::OCI_INDEX, image()),
        (MediaType::OCI_MANIFEST, index()),
        (MediaType::DOCKER_MANIFEST, image()),
        (MediaType::DOCKER_LIST, index()),
    ] {
        let found = document["mediaType"].as_str().unwrap().to_owned();
        let expected = ManifestError::MediaTypeMismatch { content_type: content_type.clone(), found };
        assert_eq!(refusal(&content_type, &document), expected);
    }
}

#[test]
fn docker_formats_have_to_name_their_type() {
    let (mut image, mut index) = (image(), index());
    image.as_object_mut().unwrap().remove("mediaType");
    index.as_object_mut().unwrap().remove("mediaType");
    let missing = ManifestError::MissingField { field: "mediaType" };
    assert_eq!(refusal(&MediaType::DOCKER_MANIFEST, &image), missing);
    assert_eq!(refusal(&MediaType::DOCKER_LIST, &index), missing);
}

#[test]
fn a_document_that_could_be_both_is_refused() {
    let unexpected = |kind, field| ManifestError::UnexpectedField { kind, field };
    let document = with(image(), json!({"manifests": []}));
    assert_eq!(refusal(&MediaType::OCI_MANIFEST, &document), unexpected(ManifestKind::Image, "manifests"));
    let document = with(index(), json!({"layers": []}));
    assert_eq!(refusal(&MediaType::OCI_INDEX, &document), unexpected(ManifestKind::Index, "layers"));
    let document = with(index(), json!({"config": descriptor("a/b", "c")}));
    assert_eq!(refusal(&MediaType::OCI_INDEX, &document), unexpected(ManifestKind::Index, "config"));
    // Without a type in the document, only the request says what it is.
    let mut document = index();
    document.as_object_mut().unwrap().remove("mediaType");
    assert_eq!(refusal(&MediaType::OCI_MANIFEST, &document), unexpected(ManifestKind::Image, "manifests"));
}

#[test]
fn fields_that_have_to_be_there() {
    let missing = |document: Value, field: &str| {
        let mut document = document;
        document.as_object_mut().unwrap().remove(field);
        Manifest::parse(None, document.to_string().into()).unwrap_err()
    };
    assert_eq!(missing(image(), "schemaVersion"), ManifestError::MissingField { field: "schemaVersion" });
    assert_eq!(missing(image(), "config"), ManifestError::MissingField { field: "config" });
    assert_eq!(missing(index(), "manifests"), ManifestError::MissingField { field: "manifests" });
    let document = with(image(), json!({"config": null}));
    assert_eq!(refusal(&MediaType::OCI_MANIFEST, &document), ManifestError::MissingField { field: "config" });
    let document = with(image(), json!({"schemaVersion": 3}));
    assert_eq!(refusal(&MediaType::OCI_MANIFEST, &document), ManifestError::SchemaVersion { found: 3 });
}

#[test]
fn more_descriptors_than_the_limit() {
    let layers = |count: usize| {
        let layers = vec![descriptor("a/b", "layer"); count];
        parse(&MediaType::OCI_MANIFEST, &with(image(), json!({"layers": layers})))
    };
    assert_eq!(layers(MANIFEST_DESCRIPTORS_MAX).unwrap().layers().len(), MANIFEST_DESCRIPTORS_MAX);
    let (limit, actual) = (MANIFEST_DESCRIPTORS_MAX, MANIFEST_DESCRIPTORS_MAX + 1);
    let expected = ManifestError::TooManyDescriptors { field: "layers", limit, actual };
    assert_eq!(layers(actual), Err(expected));
}

#[test]
fn a_bad_descriptor_is_named_by_its_path() {
    let cases = [
        ("/config/digest", json!("sha256:abc"), "config.digest"),
        ("/layers/1/digest", json!("SHA256:00"), "layers[1].digest"),
        ("/layers/0/size", json!(-1), "layers[0].size"),
        ("/layers/0/size", json!(1.5), "layers[0].size"),
        ("/layers/0/size", json!(DESCRIPTOR_SIZE_MAX + 1), "layers[0].size"),
        ("/layers/0/size", json!(null), "layers[0].size"),
        ("/config/mediaType", json!(""), "config.mediaType"),
        ("/config/mediaType", json!("a\nb"), "config.mediaType"),
        ("/config", json!({}), "config.mediaType"),
    ];
    for (pointer, value, expected) in cases {
        let mut document = image();
        *document.pointer_mut(pointer).unwrap() = value;
        match refusal(&MediaType::OCI_MANIFEST, &document) {
            ManifestError::Descriptor { path, .. } => assert_eq!(path, expected),
            error => panic!("{error}"),
        }
    }
    let document = with(index(), json!({"subject": {"mediaType": "a/b", "size": 1}}));
    let (path, reason) = ("subject.digest".to_owned(), DescriptorError::Missing { field: "digest" });
    assert_eq!(refusal(&MediaType::OCI_INDEX, &document), ManifestError::Descriptor { path, reason });
}

#[test]
fn a_digest_of_an_unsupported_algorithm_is_refused_by_name() {
    let mut document = index();
    document["manifests"][1]["digest"] = json!(format!("sha384:{}", "0".repeat(96)));
    let error = refusal(&MediaType::OCI_INDEX, &document);
    let reason = DescriptorError::Digest(ParseDigestError::UnsupportedAlgorithm { name: "sha384".into() });
    assert_eq!(error, ManifestError::Descriptor { path: "manifests[1].digest".into(), reason });
    let text =
        "`manifests[1].digest`: digest algorithm \"sha384\" is not supported, only sha256 and sha512 are";
    assert_eq!(error.to_string(), text);
}

#[test]
fn an_artifact_type_is_short_and_printable() {
    for artifact_type in ["a".repeat(256), "a\nb".into(), "é".into()] {
        let document = with(image(), json!({"artifactType": artifact_type}));
        let error = refusal(&MediaType::OCI_MANIFEST, &document);
        assert_eq!(error, ManifestError::ArtifactType { limit_bytes: 255 });
    }
    let mut document = image();
    document["config"]["mediaType"] = json!("a".repeat(256));
    let reason = DescriptorError::MediaType(ParseMediaTypeError::TooLong);
    let expected = ManifestError::Descriptor { path: "config.mediaType".into(), reason };
    assert_eq!(refusal(&MediaType::OCI_MANIFEST, &document), expected);
}
