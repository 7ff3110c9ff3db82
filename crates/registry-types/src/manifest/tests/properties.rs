use proptest::{collection::vec, prelude::*};

use super::*;

/// JSON of all forms, with the names of a manifest's fields in it often enough to get somewhere.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "(sha256:[0-9a-f]{64}|application/[a-z]{3}|\\PC{0,8})".prop_map(Value::from),
    ];
    let name = "(schemaVersion|mediaType|config|layers|manifests|subject|annotations|digest|size|urls|[a-zA-Z]{1,3})";
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name, inner), 0..6).prop_map(|fields| fields.into_iter().collect::<Value>()),
        ]
    })
}

fn any_manifest_type() -> impl Strategy<Value = MediaType> {
    (0..MediaType::MANIFESTS.len()).prop_map(|index| MediaType::MANIFESTS[index].clone())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, content_type in any_manifest_type()) {
        prop_assert!(Manifest::parse(Some(&content_type), bytes.clone().into()).is_err());
        prop_assert!(Manifest::parse(None, bytes.into()).is_err());
    }

    #[test]
    fn no_document_makes_it_panic(document in any_json(), content_type in any_manifest_type()) {
        let _ = parse(&content_type, &document);
        let _ = parse(&content_type, &with(image(), json!({"annotations": document})));
        let _ = parse(&content_type, &with(index(), json!({"manifests": [document]})));
    }

    #[test]
    fn cut_or_altered_bytes_do_not_make_it_panic(cut in 0usize..600, at in 0usize..600, byte: u8) {
        let whole = image().to_string().into_bytes();
        let mut altered = whole.clone();
        let at = at % altered.len();
        altered[at] = byte;
        let _ = Manifest::parse(Some(&MediaType::OCI_MANIFEST), altered.into());
        let cut = cut % whole.len();
        prop_assert!(Manifest::parse(Some(&MediaType::OCI_MANIFEST), whole[..cut].to_vec().into()).is_err());
    }

    #[test]
    fn what_is_accepted_refers_to_what_it_says(contents in vec("[a-z]{1,6}", 0..20), sha512: bool) {
        let algorithm = Algorithm::ALL[usize::from(sha512)];
        let expected: Vec<Digest> =
            contents.iter().map(|content| Digest::of(algorithm, content.as_bytes())).collect();
        let layers: Vec<Value> =
            expected.iter().map(|digest| json!({"mediaType": "a/b", "digest": digest, "size": 1})).collect();
        let manifest = parse(&MediaType::OCI_MANIFEST, &with(image(), json!({"layers": layers}))).unwrap();
        prop_assert_eq!(digests(manifest.layers()), expected);
    }

    #[test]
    fn descriptors_round_trip(media_type in "[ -~]{1,20}", size in 0..=crate::DESCRIPTOR_SIZE_MAX, key: String, text: String) {
        let mut descriptor = Descriptor::new(MediaType::verbatim(&media_type).unwrap(), digest(&text), size);
        descriptor.annotations.insert(key, text.clone());
        descriptor.artifact_type = Some(text).filter(|text| !text.is_empty());
        let json = serde_json::to_string(&descriptor).unwrap();
        prop_assert_eq!(serde_json::from_str::<Descriptor>(&json).unwrap(), descriptor);
    }
}
