//! The tags of a repository. Spec: distribution-spec, "Listing Tags".

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderValue, header};
use registry_metadata::MetadataError;
use registry_server::Body;
use registry_types::{RepositoryName, Tag};
use serde::Serialize;

use crate::{
    app::Call,
    error::ApiError,
    origin::{self, Origin},
    page,
    response::{Response, held_json_response, page_memory},
    route::Page,
};

/// How many tags are read at once for a client that asks for all of them.
const STREAMED_AT_ONCE: usize = 500;

/// What an entry takes at most: the longest tag.
const ENTRY_BYTES: usize = 128;

#[derive(Serialize)]
struct TagList<'a> {
    name: &'a RepositoryName,
    tags: &'a [Tag],
}

/// `GET`.
pub(crate) async fn list(
    call: &Call<'_>,
    repository: &RepositoryName,
    page: &Page,
) -> Result<Response<Body>, ApiError> {
    if let Some(origin) = call.origin {
        return Box::pin(of_upstream(call, origin, repository, page)).await;
    }
    let Some(asked) = page.n else { return all(call, repository, page.last.clone()).await };
    let limit = asked.min(call.app.settings.tags_entries_max);
    let memory = page_memory(call.share, limit, ENTRY_BYTES)?;
    // One more than is shown, to know whether there is a next page.
    let mut tags = call.app.metadata.tags(repository, page.last.as_deref(), limit.saturating_add(1)).await?;
    let has_more = tags.len() > limit;
    tags.truncate(limit);
    let mut response =
        held_json_response(memory, "application/json", &TagList { name: repository, tags: &tags })?;
    if let (true, Some(last)) = (has_more, tags.last()) {
        let path = call.links().path(format_args!("{repository}/tags/list"));
        page::link_to_next(
            response.headers_mut(),
            &path,
            &[("last", last.as_ref()), ("n", &limit.to_string())],
        );
    }
    Ok(response)
}

/// The tags that upstream has, or those that are here while it can not be asked.
async fn of_upstream(
    call: &Call<'_>,
    origin: &dyn Origin,
    repository: &RepositoryName,
    page: &Page,
) -> Result<Response<Body>, ApiError> {
    let limit = page.n.map(|asked| asked.min(call.app.settings.tags_entries_max));
    let memory = page_memory(call.share, limit.unwrap_or(usize::MAX), ENTRY_BYTES)?;
    let found = origin.tags(repository, page.last.as_deref(), limit).await?;
    let found = found.ok_or_else(|| MetadataError::RepositoryUnknown { name: repository.clone() })?;
    let list = TagList { name: repository, tags: &found.tags };
    let mut response = held_json_response(memory, "application/json", &list)?;
    if let (true, Some(last)) = (found.has_more, found.tags.last()) {
        let path = call.links().path(format_args!("{repository}/tags/list"));
        let n = limit.unwrap_or(found.tags.len()).to_string();
        page::link_to_next(response.headers_mut(), &path, &[("last", last.as_ref()), ("n", &n)]);
    }
    origin::mark(response.headers_mut(), found.is_stale);
    Ok(response)
}

/// All tags, for clients that ask for no page: they take what they get for everything. Written as it is read, so that a
/// hundred thousand tags need no more memory than five hundred.
async fn all(
    call: &Call<'_>,
    repository: &RepositoryName,
    last: Option<String>,
) -> Result<Response<Body>, ApiError> {
    let app = call.app;
    let memory = call.share.memory(STREAMED_AT_ONCE * ENTRY_BYTES)?;
    // The first part is read before the answer begins, so that an unknown repository is still a 404.
    let first = app.metadata.tags(repository, last.as_deref(), STREAMED_AT_ONCE).await?;
    let head = format!("{{\"name\":\"{repository}\",\"tags\":[");
    let parts =
        stream::try_unfold(Some((app.clone(), repository.clone(), first, true)), |state| async move {
            let Some((app, repository, tags, is_first)) = state else { return Ok(None) };
            let text = joined(&tags, is_first);
            let next = match tags.last() {
                Some(last) if tags.len() == STREAMED_AT_ONCE => {
                    let next = app.metadata.tags(&repository, Some(last.as_ref()), STREAMED_AT_ONCE).await;
                    Some((app, repository, next.map_err(io::Error::other)?, false))
                }
                _ => None,
            };
            Ok(Some((text, next)))
        });
    let body = stream::iter([Ok(Bytes::from(head))])
        .chain(parts.into_stream())
        .chain(stream::iter([Ok(Bytes::from_static(b"]}"))]));
    let mut body = Body::unsized_stream(body.boxed());
    body.keep(Some(memory), None);
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// `"a","b"`: a tag's characters need no escape in JSON.
fn joined(tags: &[Tag], is_first: bool) -> Bytes {
    let mut text = String::new();
    for (index, tag) in tags.iter().enumerate() {
        let comma = if is_first && index == 0 { "" } else { "," };
        text.push_str(comma);
        text.push('"');
        text.push_str(tag.as_ref());
        text.push('"');
    }
    Bytes::from(text)
}
