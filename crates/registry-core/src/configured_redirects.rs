//! Where clients are sent for the bytes of blobs, as a configuration describes it.

use std::sync::Arc;

use registry_api::{Redirection, Redirections, Rewritten, ToServer};
use registry_config::{Config, StorageMiddleware};

use crate::OpenError;

/// What changes where clients are sent.
///
/// # Errors
/// [`OpenError`], if a key can not be read.
pub(crate) fn redirections(config: &Config) -> Result<Redirections, OpenError> {
    let each = config.storage_middleware.iter().map(|middleware| redirection(config, middleware));
    Ok(Redirections(each.collect::<Result<_, _>>()?))
}

fn redirection(config: &Config, middleware: &StorageMiddleware) -> Result<Arc<dyn Redirection>, OpenError> {
    Ok(match middleware {
        StorageMiddleware::Redirect { base_url } => Arc::new(ToServer::new(base_url)),
        StorageMiddleware::Rewrite { scheme, host, trim_path_prefix } => Arc::new(Rewritten {
            // The configuration has looked at both.
            scheme: scheme.as_deref().and_then(|scheme| scheme.parse().ok()),
            host: host.as_deref().and_then(|host| host.parse().ok()),
            trim_path_prefix: trim_path_prefix.clone(),
        }),
        StorageMiddleware::CloudFront(front) => cloudfront(config, front)?,
    })
}

#[cfg(feature = "cloudfront")]
fn cloudfront(
    config: &Config,
    front: &registry_config::CloudFront,
) -> Result<Arc<dyn Redirection>, OpenError> {
    use registry_config::Driver;
    let root = match &config.storage.driver {
        Driver::S3(s3) => s3.common.root.as_str(),
        Driver::Gcs(_) | Driver::Azure(_) | Driver::Filesystem { .. } | Driver::InMemory => "",
    };
    let (key, id) = (&front.private_key, &front.key_pair_id);
    Ok(Arc::new(crate::cloudfront::CloudFront::open(&front.base_url, root, key, id, front.duration)?))
}

#[cfg(not(feature = "cloudfront"))]
fn cloudfront(_: &Config, _: &registry_config::CloudFront) -> Result<Arc<dyn Redirection>, OpenError> {
    Err(OpenError::NoCloudFront)
}
