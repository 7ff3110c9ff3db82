//! The keys of the Go registry.

use registry_digest::Digest;
use registry_types::{Location, RepositoryName, Tag};

/// What a Go registry keeps its data in.
pub const FOLDER: &str = "docker/registry/v2/";

/// What it keeps its links in.
pub(crate) const REPOSITORIES: &str = "docker/registry/v2/repositories/";

/// What it keeps its bytes in.
pub(crate) const BLOBS: &str = "docker/registry/v2/blobs/";

/// What it keeps where it is a mirror.
pub(crate) const SCHEDULER_STATE: &str = "scheduler-state.json";

/// The longest text of a link that is read: more than any digest has.
pub(crate) const LINK_BYTES_MAX: u64 = 256;

/// What a key below a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// The repository has a blob.
    Layer(Digest),
    /// The repository has a manifest.
    Revision(Digest),
    /// What a tag leads to.
    Tag(&'a str),
    /// An upload that was not finished.
    Upload,
    /// A signature of a manifest of schema 1.
    Signature,
    /// The history of a tag, or a file that is being written.
    Passed,
    /// Nothing that the Go registry writes.
    Unknown,
}

/// The name of the repository and what the key is, of a key below [`REPOSITORIES`].
pub(crate) fn parse(below: &str) -> Option<(&str, Entry<'_>)> {
    let at = if below.starts_with('_') { 0 } else { below.find("/_")? + 1 };
    let (name, rest) = (below[..at].trim_end_matches('/'), &below[at..]);
    let parts: Vec<&str> = rest.split('/').collect();
    let digest = |algorithm: &str, hex: &str| format!("{algorithm}:{hex}").parse().ok();
    let entry = match parts[..] {
        [.., file] if file.ends_with(".tmp") => Entry::Passed,
        ["_layers", algorithm, hex, "link"] => digest(algorithm, hex).map_or(Entry::Unknown, Entry::Layer),
        ["_manifests", "revisions", algorithm, hex, "link"] => {
            digest(algorithm, hex).map_or(Entry::Unknown, Entry::Revision)
        }
        ["_manifests", "revisions", _, _, "signatures", ..] => Entry::Signature,
        ["_manifests", "tags", tag, "current", "link"] => Entry::Tag(tag),
        ["_manifests", "tags", _, "index", ..] => Entry::Passed,
        ["_uploads", _, "startedat"] => Entry::Upload,
        ["_uploads", ..] => Entry::Passed,
        _ => Entry::Unknown,
    };
    Some((name, entry))
}

/// Whether nothing is to be learned below a folder: the history of a tag.
pub(crate) fn passes_over(folder: &str) -> bool {
    folder.ends_with("/index/") && folder.contains("/_manifests/tags/")
}

/// The key of a text that was put together of digests, names and tags: all of them make keys.
fn key(text: String) -> Option<Location> {
    text.parse().ok()
}

/// The key of the bytes of a digest.
pub(crate) fn blob(digest: &Digest) -> Option<Location> {
    let hex = hex(digest);
    key(format!("{BLOBS}{}/{}/{hex}/data", digest.algorithm(), hex.get(..2)?))
}

/// The hex digits of a digest.
fn hex(digest: &Digest) -> String {
    let text = digest.to_string();
    text.split_once(':').map_or_else(String::new, |(_, hex)| hex.to_owned())
}

/// The digest whose bytes a key names.
pub(crate) fn digest_of_blob(key: &str) -> Option<Digest> {
    let mut parts = key.strip_prefix(BLOBS)?.split('/');
    let (algorithm, _, hex) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next()? == "data").then(|| format!("{algorithm}:{hex}").parse().ok()).flatten()
}

/// The key of the link that says that a repository has a blob.
pub(crate) fn layer(repository: &RepositoryName, digest: &Digest) -> Option<Location> {
    key(format!("{REPOSITORIES}{repository}/_layers/{}/{}/link", digest.algorithm(), hex(digest)))
}

/// The key of the link that says that a repository has a manifest.
pub(crate) fn revision(repository: &RepositoryName, digest: &Digest) -> Option<Location> {
    key(format!(
        "{REPOSITORIES}{repository}/_manifests/revisions/{}/{}/link",
        digest.algorithm(),
        hex(digest)
    ))
}

/// The folder of a tag, with a slash at its end.
pub(crate) fn tag_folder(repository: &RepositoryName, tag: &str) -> String {
    format!("{REPOSITORIES}{repository}/_manifests/tags/{tag}/")
}

/// The key of the link that says what a tag leads to.
pub(crate) fn current(repository: &RepositoryName, tag: &str) -> Option<Location> {
    key(format!("{}current/link", tag_folder(repository, tag)))
}

/// The key of the link that says what a tag led to once.
pub(crate) fn history(repository: &RepositoryName, tag: &Tag, digest: &Digest) -> Option<Location> {
    let folder = tag_folder(repository, tag.as_str());
    key(format!("{folder}index/{}/{}/link", digest.algorithm(), hex(digest)))
}

#[cfg(test)]
mod tests {
    use registry_digest::Algorithm;

    use super::*;

    #[test]
    fn keys_of_repositories_are_told_apart() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let hex = hex(&digest);
        let cases = [
            (format!("a/b/_layers/sha256/{hex}/link"), "a/b", Entry::Layer(digest)),
            (format!("a/_manifests/revisions/sha256/{hex}/link"), "a", Entry::Revision(digest)),
            (format!("a/_manifests/revisions/sha256/{hex}/signatures/x/link"), "a", Entry::Signature),
            ("a/_manifests/tags/v1/current/link".into(), "a", Entry::Tag("v1")),
            (format!("a/_manifests/tags/v1/index/sha256/{hex}/link"), "a", Entry::Passed),
            ("a/_manifests/tags/v1/current/link.1-2.tmp".into(), "a", Entry::Passed),
            ("a/_uploads/1/startedat".into(), "a", Entry::Upload),
            ("a/_uploads/1/data".into(), "a", Entry::Passed),
            ("a/_layers/sha256/zz/link".into(), "a", Entry::Unknown),
            ("_layers/sha256/zz/link".into(), "", Entry::Unknown),
        ];
        for (key, name, entry) in cases {
            assert_eq!(parse(&key), Some((name, entry)), "{key}");
        }
        assert_eq!(parse("a/b/file"), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (name, tag): (RepositoryName, Tag) = ("a/b".parse().unwrap(), "v1".parse().unwrap());
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let entry = |key: Option<Location>| {
            let key = key.unwrap();
            let (name, entry) = parse(key.as_str().strip_prefix(REPOSITORIES).unwrap()).unwrap();
            assert_eq!(name, "a/b");
            format!("{entry:?}")
        };
        assert_eq!(entry(layer(&name, &digest)), format!("{:?}", Entry::Layer(digest)));
        assert_eq!(entry(revision(&name, &digest)), format!("{:?}", Entry::Revision(digest)));
        assert_eq!(entry(current(&name, "v1")), format!("{:?}", Entry::Tag("v1")));
        assert_eq!(entry(history(&name, &tag, &digest)), format!("{:?}", Entry::Passed));
        assert_eq!(digest_of_blob(blob(&digest).unwrap().as_str()), Some(digest));
        assert!(passes_over(&format!("{}index/", tag_folder(&name, "v1"))));
        assert!(!passes_over(&format!("{REPOSITORIES}index/")));
    }
}
