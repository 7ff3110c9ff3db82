//! The manifests that refer to another by `subject`. Spec: distribution-spec, "Listing Referrers".

use http::HeaderValue;
use registry_digest::Digest;
use registry_metadata::MetadataError;
use registry_server::{Body, Reservation};
use registry_types::{Descriptor, RepositoryName};
use serde::Serialize;

use crate::{
    app::Call,
    error::ApiError,
    origin::Origin,
    page,
    response::{OCI_FILTERS_APPLIED, Response, held_json_response},
    sizes,
};

/// The most descriptors of a page. Large, because some clients look at the first page only.
const ENTRIES_MAX: usize = 1000;

/// How many are read at once. What is read is counted once it is there: fewer come if their annotations are more than
/// [`REFERRERS_BYTES_MAX`](registry_metadata::REFERRERS_BYTES_MAX).
const READ_AT_ONCE: usize = 128;

/// What is taken of the budget before anything is read; few pages are larger.
const PAGE_BYTES_MIN: usize = 64 * 1024;

/// About how much memory a page takes, if it has more than one descriptor: they carry their manifest's annotations, which may be
/// large.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: &'a [Descriptor],
}

/// `GET`. A subject that nobody has pushed has no referrers yet, which is not an error.
pub(crate) async fn list(
    call: &Call<'_>,
    repository: &RepositoryName,
    subject: Digest,
    artifact_type: Option<&str>,
    last: Option<Digest>,
) -> Result<Response<Body>, ApiError> {
    if let Some(origin) = call.origin {
        return Box::pin(of_upstream(call, origin, repository, &subject, artifact_type)).await;
    }
    let mut memory = call.share.memory(PAGE_BYTES_MIN)?;
    let page = read(call, repository, &subject, artifact_type, last, &mut memory).await?;
    let index = Index { schema_version: 2, media_type: OCI_INDEX, manifests: &page.descriptors };
    let mut response = held_json_response(memory, OCI_INDEX, &index)?;
    if artifact_type.is_some() {
        response.headers_mut().insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let (true, Some(last)) = (page.has_more, page.descriptors.last()) {
        let path = call.links().path(format_args!("{repository}/referrers/{subject}"));
        let last = last.digest.to_string();
        let filter = artifact_type.map(|kind| ("artifactType", kind));
        let parameters: Vec<_> = filter.into_iter().chain([("last", last.as_str())]).collect();
        page::link_to_next(response.headers_mut(), &path, &parameters);
    }
    Ok(response)
}

/// What refers to a manifest upstream, as one list. Where upstream has no such list the answer is 404, so that clients look for tags.
async fn of_upstream(
    call: &Call<'_>,
    origin: &dyn Origin,
    repository: &RepositoryName,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Result<Response<Body>, ApiError> {
    let mut memory = call.share.memory(PAGE_BYTES_MIN)?;
    let unknown = || MetadataError::RepositoryUnknown { name: repository.clone() };
    let mut descriptors = origin.referrers(repository, subject).await?.ok_or_else(unknown)?;
    if let Some(kind) = artifact_type {
        descriptors.retain(|descriptor| descriptor.artifact_type.as_deref() == Some(kind));
    }
    memory.grow_to(descriptors.iter().map(size_of).sum())?;
    let index = Index { schema_version: 2, media_type: OCI_INDEX, manifests: &descriptors };
    let mut response = held_json_response(memory, OCI_INDEX, &index)?;
    if artifact_type.is_some() {
        response.headers_mut().insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    Ok(response)
}

/// A page of referrers.
struct Referrers {
    descriptors: Vec<Descriptor>,
    has_more: bool,
}

/// Reads as many as a page has. One that ends early since it is large says where the next one begins; what there is no memory for is
/// refused, since there are clients that take the first page for all.
async fn read(
    call: &Call<'_>,
    repository: &RepositoryName,
    subject: &Digest,
    artifact_type: Option<&str>,
    mut last: Option<Digest>,
    memory: &mut Reservation,
) -> Result<Referrers, ApiError> {
    let mut page = Referrers { descriptors: Vec::new(), has_more: true };
    let mut page_bytes = 0;
    while page.has_more && page.descriptors.len() < ENTRIES_MAX {
        let (metadata, limit) = (&call.app.metadata, READ_AT_ONCE.min(ENTRIES_MAX - page.descriptors.len()));
        let some = metadata.referrers(repository, subject, artifact_type, last.as_ref(), limit).await?;
        page.has_more = !some.is_empty();
        for descriptor in some {
            let more_bytes = page_bytes + size_of(&descriptor);
            if more_bytes > PAGE_BYTES_MAX && !page.descriptors.is_empty() {
                return Ok(page);
            }
            memory.grow_to(more_bytes)?;
            page_bytes = more_bytes;
            page.descriptors.push(descriptor);
        }
        last = page.descriptors.last().map(|descriptor| descriptor.digest);
    }
    Ok(page)
}

/// What a descriptor takes, once as it is and once as JSON.
fn size_of(descriptor: &Descriptor) -> usize {
    /// Quotes, a colon and a comma.
    const AROUND_BYTES: usize = 6;
    /// All but the annotations.
    const FIELDS_BYTES: usize = 512;

    let entry = |(key, value): (&String, &String)| json_bytes(key) + json_bytes(value) + AROUND_BYTES;
    sizes::of_descriptor(descriptor) + FIELDS_BYTES + descriptor.annotations.iter().map(entry).sum::<usize>()
}

/// How long a text is in JSON, but for its quotes.
fn json_bytes(text: &str) -> usize {
    let length = |byte| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(length).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_longer_in_json_than_counted() {
        for text in ["", "plain", "a\"b\\c", "\n\t\u{0}\u{1f}", "\u{7f}é\u{2028}"] {
            let written = serde_json::to_string(text).unwrap().len() - 2;
            assert!((written..=6 * text.len()).contains(&json_bytes(text)), "{text:?}");
        }
    }
}
