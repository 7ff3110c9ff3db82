//! The repositories that the caller may see: Docker's `_catalog`.

use registry_server::Body;
use registry_types::RepositoryName;
use serde::Serialize;

use crate::{
    app::Call,
    error::ApiError,
    page,
    response::{Response, held_json_response, page_memory},
    route::Page,
};

/// How many entries a page has if the client does not say, as in the Go registry.
const ENTRIES_DEFAULT: usize = 100;

/// What an entry takes at most: the longest name.
const ENTRY_BYTES: usize = 256;

#[derive(Serialize)]
struct Catalog<'a> {
    repositories: &'a [RepositoryName],
}

/// `GET`.
pub(crate) async fn list(call: &Call<'_>, page: &Page) -> Result<Response<Body>, ApiError> {
    let limit = page.n.unwrap_or(ENTRIES_DEFAULT).min(call.app.settings.catalog_entries_max);
    let memory = page_memory(call.share, limit, ENTRY_BYTES)?;
    let visible = call.app.authorizer.visible(&call.caller).await;
    let metadata = &call.app.metadata;
    let mut names = metadata.repositories(&visible, page.last.as_deref(), limit.saturating_add(1)).await?;
    let has_more = names.len() > limit;
    names.truncate(limit);
    let mut response = held_json_response(memory, "application/json", &Catalog { repositories: &names })?;
    if let (true, Some(last)) = (has_more, names.last()) {
        let path = call.links().path("_catalog");
        page::link_to_next(
            response.headers_mut(),
            &path,
            &[("last", last.as_ref()), ("n", &limit.to_string())],
        );
    }
    Ok(response)
}
