//! What Go's `encoding/json` reads of a descriptor, against what is read here: most clients are written in Go, so what a
//! client would pull has to be what the registry checked and counts.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use serde::Deserialize;

use super::*;

/// Descriptors, and what Go reads: made by `tests/interop/json/main.go`.
const DOCUMENTS: &str = include_str!("go_documents.txt");

#[derive(Deserialize)]
struct Case {
    document: String,
    read: Option<Value>,
}

/// What of a descriptor both write down. Go leaves out what is empty, we leave out less of a platform.
fn comparable(mut read: Value) -> Value {
    fn without_empty(object: &mut serde_json::Map<String, Value>) {
        object.retain(|_, value| {
            if let Value::Object(inner) = value {
                without_empty(inner);
            }
            *value != json!("") && *value != json!([]) && *value != json!({})
        });
    }
    without_empty(read.as_object_mut().unwrap());
    read
}

#[test]
fn a_descriptor_is_refused_or_read_as_go_reads_it() {
    let (mut accepted, mut refused) = (0, 0);
    for line in DOCUMENTS.lines() {
        let Case { document, read } = serde_json::from_str(line).unwrap();
        match serde_json::from_str::<Descriptor>(&document) {
            Ok(ours) => {
                let ours = comparable(serde_json::to_value(ours).unwrap());
                assert_eq!(Some(ours), read.map(comparable), "{document}");
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 50 && refused > 50, "{accepted} accepted, {refused} refused");
}

/// A name that may stand for a field, and whether Go takes it for the field.
fn like(name: &'static str) -> impl Strategy<Value = String> {
    let upper = name.to_ascii_uppercase();
    let folded = name.replacen('s', "\u{17f}", 1).replacen('k', "\u{212a}", 1);
    prop_oneof![9 => Just(name.to_owned()), 1 => Just(upper), 1 => Just(folded), 1 => Just(format!("{name}x"))]
}

fn pair() -> impl Strategy<Value = (String, Value)> {
    prop_oneof![
        (like("mediaType"), prop_oneof![Just(json!("a/b")), Just(json!("c/d"))]),
        (like("digest"), prop_oneof![Just(json!(digest("a"))), Just(json!(digest("b")))]),
        (like("size"), (0u64..3).prop_map(|size| json!(size))),
        (like("urls"), prop_oneof![Just(json!(["https://a"])), Just(json!([])), Just(json!(null))]),
    ]
}

/// What Go reads: the later of two that have one name, whatever its case. Null changes nothing, but empties a list.
fn go(pairs: &[(String, Value)]) -> BTreeMap<&'static str, Value> {
    let fold = |name: &str| name.to_lowercase().replace('\u{17f}', "s").replace('\u{212a}', "k");
    let mut read = BTreeMap::new();
    for (name, value) in pairs {
        let field =
            ["mediaType", "digest", "size", "urls"].into_iter().find(|field| fold(field) == fold(name));
        if let Some(field) = field {
            read.insert(field, if value.is_null() { json!([]) } else { value.clone() });
        }
    }
    read
}

proptest! {
    #[test]
    fn what_is_accepted_is_what_go_reads(pairs in vec(pair(), 3..7)) {
        let fields: Vec<String> = pairs.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        let document = format!("{{{}}}", fields.join(","));
        if let Ok(ours) = serde_json::from_str::<Descriptor>(&document) {
            let go = go(&pairs);
            prop_assert_eq!(json!(ours.media_type), go["mediaType"].clone(), "{}", &document);
            prop_assert_eq!(json!(ours.digest), go["digest"].clone(), "{}", &document);
            prop_assert_eq!(json!(ours.size), go["size"].clone(), "{}", &document);
            prop_assert_eq!(json!(ours.urls), go.get("urls").cloned().unwrap_or(json!([])), "{}", &document);
        }
    }
}
