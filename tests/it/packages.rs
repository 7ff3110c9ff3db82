//! What the published crates say of themselves.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

/// What a registry of crates shows of each, and lets people find it by.
const SHOWN: [&str; 6] = ["description", "license", "readme", "rust_version", "keywords", "categories"];

/// The address of the project. There is none that can be opened yet; the first release names it in `workspace.package`, and then
/// this test asks each crate for it.
const ADDRESS: &str = "repository";

#[test]
fn published_crates_say_what_they_are() {
    let packages = published();
    assert!(packages.len() > 10, "only {} crates are published", packages.len());
    let mut missing = Vec::new();
    for package in &packages {
        let folder = package["manifest_path"].as_str().unwrap().trim_end_matches("Cargo.toml").to_owned();
        let is_empty = |key: &&&str| match &package[**key] {
            Value::String(text) => text.trim().is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => true,
        };
        missing.extend(SHOWN.iter().filter(is_empty).map(|key| format!("{}: {key}", package["name"])));
        let readme = package["readme"].as_str().unwrap_or("README.md");
        if !std::path::Path::new(&folder).join(readme).is_file() {
            missing.push(format!("{}: the file {readme}", package["name"]));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// Links that lead nowhere are worse than none: an address is named by all, or by none.
#[test]
fn published_crates_name_one_address() {
    let packages = published();
    let addresses: BTreeSet<String> = packages.iter().map(|package| package[ADDRESS].to_string()).collect();
    assert_eq!(addresses.len(), 1, "{addresses:?}");
}

fn published() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--no-deps"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.filter(|package| package["publish"] != serde_json::json!([])).cloned().collect()
}
