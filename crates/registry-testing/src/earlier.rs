//! Data that an earlier program made: unpacked from the tests' archives, and compared with the list beside them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use registry_core::digest::{Algorithm, Digest};
use serde_json::Value;

use crate::{Client, Program, ServerOptions};

/// What a registry of an earlier program held: `tests/earlier/<format>/<name>.tar.gz` and the list `<name>.json`.
#[derive(Debug)]
pub struct Earlier {
    archive: PathBuf,
    list: Value,
}

impl Earlier {
    /// The registries of this name, one for each format of the schema that a program was released with, oldest first.
    ///
    /// # Panics
    /// If there is none, or one can not be read.
    pub fn all(name: &str) -> Vec<Earlier> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/earlier");
        let formats = fs::read_dir(tests).expect("the tests' archives can be listed");
        let mut folders: Vec<_> = formats.filter_map(|entry| Some(entry.ok()?.path())).collect();
        folders.retain(|path| path.is_dir());
        folders.sort();
        assert!(!folders.is_empty(), "there is no archive of an earlier program");
        folders.iter().map(|folder| Earlier::read(folder, name)).collect()
    }

    fn read(folder: &Path, name: &str) -> Earlier {
        let list = folder.join(format!("{name}.json"));
        let list = fs::read(&list).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
        let list = serde_json::from_slice(&list).expect("the list is JSON");
        Earlier { archive: folder.join(format!("{name}.tar.gz")), list }
    }

    /// Unpacks the archive into a folder.
    ///
    /// # Panics
    /// If `tar` is missing or fails.
    pub fn unpack(&self, folder: &Path) {
        let mut command = Command::new("tar");
        command.arg("--extract").arg("--no-same-owner").arg("--file").arg(&self.archive);
        let status = command.arg("--directory").arg(folder).status().expect("tar can be started");
        assert!(status.success(), "{} can not be unpacked", self.archive.display());
    }

    /// Where a file beside the archive lies.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.archive.with_file_name(name)
    }

    /// Options that leave deleted content and unfinished uploads where the archive has them, whatever the time.
    pub fn options() -> ServerOptions {
        ServerOptions::new()
            .variable("REGISTRY_GC_UNDELETE_WINDOW", "876000h")
            .variable("REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING", "{enabled: false}")
            .variable("REGISTRY_QUOTAS", "[{prefix: team/, bytes: 1GiB, tags: 1000}]")
    }

    /// Pulls all that the registry held, sees that what was deleted is absent, and that referrers are listed.
    ///
    /// # Panics
    /// If something is missing, there, or different.
    pub async fn check(&self, client: &Client) {
        for image in self.entries("present") {
            pull(client, image).await;
        }
        for image in self.entries("deleted") {
            client.get(&path(image, "manifests", "reference")).expect(404).await;
        }
        let referrers = &self.list["referrers"];
        let listed = client.get(&path(referrers, "referrers", "subject")).expect(200).await.json();
        assert_eq!(listed["manifests"][0]["digest"], referrers["digest"]);
        assert_eq!(listed["manifests"].as_array().map(Vec::len), Some(1));
    }

    /// Goes on with the unfinished upload where the earlier program left it, and pulls the blob.
    ///
    /// # Panics
    /// If the upload is unknown or at another offset, or the blob is not what was sent.
    pub async fn finish_upload(&self, client: &Client) {
        let upload = &self.list["upload"];
        let has = number(upload, "has");
        let location = path(upload, "blobs/uploads", "id");
        let status = client.get(&location).expect(204).await;
        assert_eq!(status.must_have("range"), format!("0-{}", has - 1));
        let content: Vec<u8> = text(upload, "text").bytes().cycle().take(number(upload, "length")).collect();
        let digest = text(upload, "digest");
        client.put(&format!("{location}?digest={digest}")).body(content[has..].to_vec()).expect(201).await;
        let blob = client.get(&path(upload, "blobs", "digest")).expect(200).await;
        assert_eq!(blob.body, content);
    }

    /// Brings back all that was deleted with `registry undelete`, and pulls it.
    ///
    /// # Panics
    /// If something does not come back as it was.
    pub async fn undelete(&self, options: &ServerOptions, client: &Client) {
        for image in self.entries("deleted") {
            let output = options.run(Program::Registry, &["undelete", text(image, "target")]).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{image}: {said}");
            pull(client, image).await;
        }
    }

    fn entries(&self, name: &str) -> &[Value] {
        let entries = self.list[name].as_array().expect("the list has this member");
        assert!(!entries.is_empty(), "{name}");
        entries
    }
}

/// Pulls an image, its blobs, and the images of an index. Each is compared with its digest.
async fn pull(client: &Client, image: &Value) {
    let (repository, digest) = (text(image, "repository"), text(image, "digest"));
    let tagged = client.get(&path(image, "manifests", "reference")).expect(200).await;
    assert_eq!(tagged.must_have("docker-content-digest"), digest, "{image}");
    let mut manifests = vec![digest.to_owned()];
    while let Some(digest) = manifests.pop() {
        let manifest = get(client, &format!("/v2/{repository}/manifests/{digest}"), &digest).await;
        let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest is JSON");
        let digests = |name: &str| {
            let list = manifest[name].as_array().into_iter().flatten();
            list.map(|it| text(it, "digest").to_owned()).collect::<Vec<_>>()
        };
        let config = manifest.get("config").map(|config| text(config, "digest").to_owned());
        for digest in digests("layers").into_iter().chain(config) {
            get(client, &format!("/v2/{repository}/blobs/{digest}"), &digest).await;
        }
        manifests.extend(digests("manifests"));
    }
}

async fn get(client: &Client, path: &str, digest: &str) -> bytes::Bytes {
    let body = client.get(path).expect(200).await.body;
    assert_eq!(Digest::of(Algorithm::Sha256, &body).to_string(), digest, "{path}");
    body
}

fn path(entry: &Value, kind: &str, last: &str) -> String {
    format!("/v2/{}/{kind}/{}", text(entry, "repository"), text(entry, last))
}

fn text<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_else(|| panic!("{entry} has no {name}"))
}

fn number(entry: &Value, name: &str) -> usize {
    let number = entry[name].as_u64().and_then(|number| number.try_into().ok());
    number.unwrap_or_else(|| panic!("{entry} has no {name}"))
}
