//! What `cargo metadata` says, read.

use std::process::Command;

use serde_json::Value;

/// What the tests were built for: packages that only other systems need may not have been fetched.
pub(super) fn platform() -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// What a node of the resolved graph needs to run: neither tests nor build scripts.
pub(super) fn used_by(node: &Value) -> Vec<String> {
    let dependencies = node["deps"].as_array().unwrap().iter();
    let used = dependencies.filter(|dependency| {
        let kinds = dependency["dep_kinds"].as_array().unwrap();
        kinds.iter().any(|kind| kind["kind"].is_null())
    });
    used.map(|dependency| text(&dependency["pkg"])).collect()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
