//! S3, and what speaks its language.

use std::sync::Arc;

use object_store::{
    Attribute, Attributes,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut},
};
use registry_types::{S3Credentials, S3Encryption};

use super::{
    ObjectBlobStore, ObjectOptions,
    backend::Backend,
    checked,
    connector::{CompleteIfAbsent, Connector, retries},
    requests::Requests,
};
use crate::StorageError;

/// Where a bucket is and how it is spoken to. Everything but the bucket has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// The region; `us-east-1` if there is none.
    pub region: Option<String>,
    /// Another service than Amazon's: a URL. Without a scheme `https`, or `http` if [`is_plain`](Self::is_plain).
    pub endpoint: Option<String>,
    /// Whether the bucket's name stands in the path rather than in the host.
    pub path_style: bool,
    /// A key's id and secret, and a session's token. Without them they are taken from the environment, from a web
    /// identity, or from the machine's or container's role.
    pub credentials: Option<S3Credentials>,
    /// How the store encrypts what it keeps.
    pub encryption: S3Encryption,
    /// The storage class of new objects, if it is not the bucket's own.
    pub storage_class: Option<String>,
    /// Whether the connection is not encrypted, for an endpoint that does not say.
    pub is_plain: bool,
    /// Whether certificates are not checked.
    pub skip_verify: bool,
    /// What is said in the header `User-Agent`.
    pub user_agent: Option<String>,
    /// The scheme and host of signed URLs, if clients reach the store by another name.
    pub redirect_endpoint: Option<String>,
    /// What all object stores have in common.
    pub common: ObjectOptions,
}

impl ObjectBlobStore {
    /// Opens a bucket of S3. Sends about fifteen requests, to try what the store can do.
    ///
    /// # Errors
    /// [`StorageError::Setup`], [`StorageError::Unreliable`], [`StorageError::ForeignStore`], and what any request may
    /// answer.
    pub async fn open_s3(options: &S3Options) -> Result<ObjectBlobStore, StorageError> {
        check(options)?;
        checked::guarded(Self::open_checked_s3(options)).await
    }

    async fn open_checked_s3(options: &S3Options) -> Result<ObjectBlobStore, StorageError> {
        let requests = Arc::new(Requests::default());
        let connector = Connector::new(
            CompleteIfAbsent::IfNoneMatch,
            options.user_agent.as_deref(),
            options.skip_verify,
            requests.clone(),
        )?;
        let client = |endpoint: Option<&String>| {
            let builder = builder(options, endpoint)?;
            check_environment(&builder)?;
            let builder = builder.with_http_connector(connector.clone());
            builder.build().map(Arc::new).map_err(setup)
        };
        let store = client(options.endpoint.as_ref())?;
        let signer = match &options.redirect_endpoint {
            None => store.clone(),
            endpoint => client(endpoint.as_ref())?,
        };
        let mut attributes = Attributes::new();
        if let Some(class) = &options.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        let prefix = &options.common.prefix;
        let backend = Backend::new(store, Some(signer), prefix).with_attributes(attributes);
        let name = format!("s3://{}/{}", options.bucket, backend.prefix());
        ObjectBlobStore::open_backend(backend, &options.common, requests, name).await
    }
}

fn builder(options: &S3Options, endpoint: Option<&String>) -> Result<AmazonS3Builder, StorageError> {
    let mut builder = match &options.credentials {
        None => AmazonS3Builder::from_env(),
        Some(credentials) => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(&credentials.key_id)
                .with_secret_access_key(credentials.secret.expose());
            match &credentials.token {
                Some(token) => builder.with_token(token.expose()),
                None => builder,
            }
        }
    };
    let endpoint = endpoint.map(|endpoint| with_scheme(endpoint, options.is_plain));
    let is_encrypted = endpoint.as_deref().is_none_or(|endpoint| endpoint.starts_with("https:"));
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    let endpoint = endpoint.map(|endpoint| match options.path_style {
        true => endpoint,
        false => with_bucket(&endpoint, &options.bucket),
    });
    builder = match endpoint {
        // Twice: a variable for one of them would otherwise be preferred to what is configured.
        Some(endpoint) => {
            builder.with_endpoint(&endpoint).with_config(AmazonS3ConfigKey::S3Endpoint, endpoint)
        }
        None => builder,
    };
    builder = match &options.encryption {
        S3Encryption::Bucket => builder,
        S3Encryption::Managed => {
            let key: AmazonS3ConfigKey = "aws_server_side_encryption".parse().map_err(setup)?;
            builder.with_config(key, "AES256")
        }
        S3Encryption::Kms { key_id } => builder.with_sse_kms_encryption(key_id),
    };
    Ok(builder
        .with_bucket_name(&options.bucket)
        .with_virtual_hosted_style_request(!options.path_style)
        .with_allow_http(true)
        // Over TLS bytes can not change on their way, and what is stored was hashed already.
        .with_unsigned_payload(is_encrypted)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retries()))
}

/// Refuses what the client would panic over.
fn check(options: &S3Options) -> Result<(), StorageError> {
    checked::name("the bucket", &options.bucket)?;
    if let Some(region) = &options.region {
        checked::name("the region", region)?;
    }
    if let Some(credentials) = &options.credentials {
        checked::header("the key's id", &credentials.key_id)?;
        if let Some(token) = &credentials.token {
            checked::header("the session's token", token.expose())?;
        }
    }
    if let S3Encryption::Kms { key_id } = &options.encryption {
        checked::header("the encryption key's id", key_id)?;
    }
    for (what, endpoint) in
        [("endpoint", &options.endpoint), ("endpoint for redirects", &options.redirect_endpoint)]
    {
        let Some(endpoint) = endpoint else { continue };
        let endpoint = with_scheme(endpoint, options.is_plain);
        checked::endpoint(&format!("the {what}"), &endpoint)?;
        if options.path_style {
            continue;
        }
        if checked::is_address(&endpoint) {
            let why = "a bucket's name can not stand in front of an address; it must stand in the path (forcepathstyle: true)";
            return Err(checked::wrong(format!("the {what} is {endpoint:?}: {why}")));
        }
        checked::endpoint(&format!("the {what} with the bucket"), &with_bucket(&endpoint, &options.bucket))?;
    }
    Ok(())
}

/// The same for what was taken from the environment.
fn check_environment(builder: &AmazonS3Builder) -> Result<(), StorageError> {
    for key in [AmazonS3ConfigKey::AccessKeyId, AmazonS3ConfigKey::Token] {
        if let Some(text) = builder.get_config_value(&key) {
            checked::header("a key's id or token in the environment", &text)?;
        }
    }
    for key in [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint] {
        if let Some(text) = builder.get_config_value(&key) {
            checked::endpoint("the endpoint in the environment", &text)?;
        }
    }
    for key in [AmazonS3ConfigKey::Region, AmazonS3ConfigKey::DefaultRegion] {
        if let Some(text) = builder.get_config_value(&key) {
            checked::name("the region in the environment", &text)?;
        }
    }
    Ok(())
}

fn setup(error: object_store::Error) -> StorageError {
    StorageError::Setup { reason: error.to_string() }
}

fn with_scheme(endpoint: &str, is_plain: bool) -> String {
    match endpoint.contains("://") {
        true => endpoint.trim_end_matches('/').to_owned(),
        false if is_plain => format!("http://{}", endpoint.trim_end_matches('/')),
        false => format!("https://{}", endpoint.trim_end_matches('/')),
    }
}

/// The bucket's name in front of the host's.
fn with_bucket(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use registry_types::Secret;

    use super::*;

    #[test]
    fn endpoints_are_completed() {
        assert_eq!(with_scheme("minio:9000/", true), "http://minio:9000");
        assert_eq!(with_scheme("minio:9000", false), "https://minio:9000");
        assert_eq!(with_scheme("http://minio:9000", false), "http://minio:9000");
        assert_eq!(with_bucket("https://example.org", "images"), "https://images.example.org");
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = S3Options {
            credentials: Some(S3Credentials {
                key_id: "id".into(),
                secret: Secret::new("hidden"),
                token: Some(Secret::new("hidden")),
            }),
            ..S3Options::default()
        };
        assert!(!format!("{options:?}").contains("hidden"));
    }
}
