//! Names, digests and manifests without a registry, a runtime or a network.
//!
//! `cargo run -p registry-examples --example types_alone`

use registry_digest::{Algorithm, Digest};
use registry_types::{Manifest, Reference, RepositoryName};

fn main() -> anyhow::Result<()> {
    // Strings exist only at the edge; what parsed is right.
    let repository: RepositoryName = "library/alpine".parse()?;
    let reference: Reference = "3.20".parse()?;
    let refused = "Library/Alpine".parse::<RepositoryName>();
    eprintln!("{repository}, {reference:?}, but not {refused:?}");

    let config = Digest::of(Algorithm::Sha256, b"{}");
    let json = format!(
        r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {{"mediaType": "application/vnd.oci.empty.v1+json", "digest": "{config}", "size": 2}},
            "layers": []}}"#
    );
    // The bytes are kept beside the parsed form: a digest is of the bytes, never of what they were parsed to.
    let manifest = Manifest::parse(None, json.into_bytes().into())?;
    anyhow::ensure!(manifest.config().map(|config| config.size) == Some(2));
    eprintln!("{} {}", manifest.media_type(), manifest.digest(Algorithm::Sha256));
    Ok(())
}
