//! Images of random bytes, and pushing them as docker does.

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    http::{Client, Endpoint},
    random::Random,
};

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A piece of an upload whose bytes are made while they are sent.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes and what they hash to.
pub(crate) struct Blob {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
}

impl Blob {
    pub(crate) fn of(bytes: Vec<u8>) -> Blob {
        let digest = digest(&bytes);
        Blob { bytes, digest }
    }

    pub(crate) fn random(random: &mut Random, length: usize) -> Blob {
        Blob::of(random.bytes(length))
    }

    /// What it hashes to, as bytes.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// What a push uploads, and what it only refers to.
pub(crate) struct Image {
    pub(crate) layers: Vec<Blob>,
    pub(crate) config: Blob,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    /// With layers of these sizes that nobody has, on top of others that the registry has.
    pub(crate) fn random(random: &mut Random, sizes: &[usize], bases: &[Blob]) -> Image {
        let layers: Vec<Blob> = sizes.iter().map(|&size| Blob::random(random, size)).collect();
        let diff_ids: Vec<&str> = bases.iter().chain(&layers).map(|layer| layer.digest.as_str()).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": format!("{:016x}", random.next()),
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = Blob::of(config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, &config),
            "layers": bases.iter().chain(&layers).map(|layer| descriptor(LAYER_TYPE, layer)).collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string().into_bytes();
        Image { layers, config, manifest }
    }

    /// The bytes of its layers, without those of its bases.
    pub(crate) fn layer_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bytes.len() as u64).sum()
    }

    /// Layers, config, manifest.
    pub(crate) fn push(&self, client: &mut Client, repository: &str, tag: &str) -> Result<()> {
        for blob in self.layers.iter().chain([&self.config]) {
            push_blob(client, repository, blob)?;
        }
        self.push_manifest(client, repository, tag)
    }

    pub(crate) fn push_manifest(&self, client: &mut Client, repository: &str, tag: &str) -> Result<()> {
        let path = format!("/v2/{repository}/manifests/{tag}");
        client.request("PUT", &path, &[("content-type", MANIFEST_TYPE)], &self.manifest)?.expect(201)?;
        Ok(())
    }
}

fn descriptor(media_type: &str, blob: &Blob) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": blob.digest, "size": blob.bytes.len()})
}

/// `POST`, `PATCH` with all bytes, `PUT`.
pub(crate) fn push_blob(client: &mut Client, repository: &str, blob: &Blob) -> Result<()> {
    let session = begin_upload(client, repository)?;
    let answer = client
        .request("PATCH", &session, &[("content-type", "application/octet-stream")], &blob.bytes)?
        .expect(202)?;
    finish_upload(client, &location(&answer.head.location)?, &blob.digest)
}

/// The same with random bytes that are made on the way. Gives back what they hash to.
pub(crate) fn push_stream(
    client: &mut Client,
    repository: &str,
    random: &mut Random,
    length: u64,
) -> Result<[u8; 32]> {
    let session = begin_upload(client, repository)?;
    client.begin("PATCH", &session, &[("content-type", "application/octet-stream")], length)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = length;
    while left > 0 {
        let now = left.min(PIECE_BYTES as u64) as usize;
        random.fill(&mut piece[..now]);
        hasher.update(&piece[..now]);
        client.send(&piece[..now])?;
        left -= now as u64;
    }
    let head = client.receive(false, &mut |_| Ok(()))?;
    anyhow::ensure!(head.status == 202, "PATCH {session} answered {}", head.status);
    let hash = hasher.finalize();
    let digest = format!("sha256:{}", hex::encode(hash));
    finish_upload(client, &location(&head.location)?, &digest)?;
    Ok(hash.into())
}

/// `HEAD`, which finds nothing, and a mount from another repository, which does.
pub(crate) fn mount(client: &mut Client, repository: &str, from: &str, digest: &str) -> Result<()> {
    client.request("HEAD", &format!("/v2/{repository}/blobs/{digest}"), &[], b"")?.expect(404)?;
    let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={from}");
    client.request("POST", &path, &[], b"")?.expect(201)?;
    Ok(())
}

/// Pushes an image that is only to be there.
pub(crate) fn push_to(endpoint: &Endpoint, image: &Image, repository: &str, tag: &str) -> Result<()> {
    image.push(&mut Client::connect(endpoint)?, repository, tag)
}

fn begin_upload(client: &mut Client, repository: &str) -> Result<String> {
    let path = format!("/v2/{repository}/blobs/uploads/");
    let answer = client.request("POST", &path, &[], b"")?.expect(202)?;
    location(&answer.head.location)
}

fn finish_upload(client: &mut Client, session: &str, digest: &str) -> Result<()> {
    let separator = if session.contains('?') { '&' } else { '?' };
    let path = format!("{session}{separator}digest={digest}");
    client.request("PUT", &path, &[], b"")?.expect(201)?;
    Ok(())
}

/// The path of a `Location`, which may be a whole URL.
fn location(location: &Option<String>) -> Result<String> {
    let location = location.as_deref().context("an answer without Location")?;
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map(|slash| &rest[slash..]),
        None => Some(location),
    };
    Ok(path.with_context(|| format!("`{location}` has no path"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_may_be_a_path_or_a_url() {
        for (given, path) in [("/a?b=c", "/a?b=c"), ("http://h:1/a?b=c", "/a?b=c")] {
            assert_eq!(location(&Some(given.to_owned())).unwrap(), path);
        }
        assert!(location(&Some("http://host".to_owned())).is_err());
        assert!(location(&None).is_err());
    }

    #[test]
    fn no_two_images_are_alike_and_their_manifests_name_what_they_hold() {
        let mut random = Random::new();
        let [one, other] = [0, 1].map(|_| Image::random(&mut random, &[10, 10], &[]));
        assert_ne!(one.manifest, other.manifest);
        let manifest = String::from_utf8(one.manifest.clone()).unwrap();
        assert!(one.layers.iter().chain([&one.config]).all(|blob| manifest.contains(&blob.digest)));
        assert_eq!(one.layer_bytes(), 20);
    }
}
