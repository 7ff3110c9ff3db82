//! Pushing and pulling as docker does, with every byte and every header that clients rely on verified.

use bytes::Bytes;
use http::header;
use registry_core::digest::Digest;

use crate::{Client, ClientError, Content, Image, Index, Response};

/// An upload that was begun.
#[derive(Clone, Debug)]
pub struct UploadSession {
    /// Where the next request goes, as the last answer said.
    pub location: String,
    /// The session's id.
    pub id: String,
    /// How many bytes the registry has, as the last answer said.
    pub offset: u64,
}

/// What docker sends in one `PATCH`, it sends in chunks of this size.
const CHUNK_BYTES: usize = 32 * 1024;

impl Client {
    /// Pushes an image's blobs that are not there yet, then its manifest, under a tag or its digest.
    ///
    /// # Errors
    /// [`ClientError`], at the first answer that is not as it must be.
    pub async fn push(&self, repository: &str, reference: &str, image: &Image) -> Result<(), ClientError> {
        for blob in &image.blobs {
            self.push_blob(repository, blob).await?;
        }
        self.push_manifest(repository, reference, &image.manifest).await.map(drop)
    }

    /// Pushes the images of an index by their digests, then the index.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn push_index(
        &self,
        repository: &str,
        reference: &str,
        index: &Index,
    ) -> Result<(), ClientError> {
        for image in &index.images {
            self.push(repository, &image.manifest.digest.to_string(), image).await?;
        }
        self.push_manifest(repository, reference, &index.manifest).await.map(drop)
    }

    /// Pushes a blob as docker does: `HEAD`, `POST`, one streamed `PATCH`, and a `PUT` without a body.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn push_blob(&self, repository: &str, blob: &Content) -> Result<(), ClientError> {
        if self.head(&format!("/v2/{repository}/blobs/{}", blob.digest)).send().await?.status == 200 {
            return Ok(());
        }
        let session = self.begin_upload(repository).await?;
        let patch = self.patch(&session.location).chunked(&blob.bytes, CHUNK_BYTES);
        let session = UploadSession::of(&patch.want(202).await?)?;
        if session.offset != blob.bytes.len() as u64 {
            let reason = format!("{} bytes were sent, {} arrived", blob.bytes.len(), session.offset);
            return Err(ClientError::Wrong { request: format!("PATCH {}", session.location), reason });
        }
        self.finish_upload(&session, &blob.digest, Bytes::new()).await.map(drop)
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn begin_upload(&self, repository: &str) -> Result<UploadSession, ClientError> {
        let response = self.post(&format!("/v2/{repository}/blobs/uploads/")).want(202).await?;
        UploadSession::of(&response)
    }

    /// Asks how far an upload is.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn upload_status(&self, session: &UploadSession) -> Result<UploadSession, ClientError> {
        UploadSession::of(&self.get(&session.location).want(204).await?)
    }

    /// Sends the last bytes of an upload, which may be none, and its digest.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn finish_upload(
        &self,
        session: &UploadSession,
        digest: &Digest,
        last: Bytes,
    ) -> Result<Response, ClientError> {
        let response = self.put(&session.closing(digest)).body(last).want(201).await?;
        must_name(&response, digest)?;
        if !response.header(header::LOCATION).is_some_and(|url| url.ends_with(&format!("/blobs/{digest}"))) {
            return Err(response.wrong("Location is not where the blob lies"));
        }
        Ok(response)
    }

    /// Pushes a manifest alone.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        manifest: &Content,
    ) -> Result<Response, ClientError> {
        let put = self.put(&format!("/v2/{repository}/manifests/{reference}"));
        let response = put.content_type(&manifest.media_type).body(manifest.bytes.clone()).want(201).await?;
        must_name(&response, &manifest.digest)?;
        if !response.header(header::LOCATION).is_some_and(|url| url.ends_with(&manifest.digest.to_string())) {
            return Err(response.wrong("Location is not where the manifest lies"));
        }
        Ok(response)
    }

    /// Pulls an image and compares every byte.
    ///
    /// # Errors
    /// [`ClientError`], at the first thing that is missing or different.
    pub async fn pull(&self, repository: &str, reference: &str, image: &Image) -> Result<(), ClientError> {
        self.pull_manifest(repository, reference, &image.manifest).await?;
        for blob in &image.blobs {
            self.pull_blob(repository, blob).await?;
        }
        Ok(())
    }

    /// Pulls an index and its images.
    ///
    /// # Errors
    /// As [`pull`](Self::pull).
    pub async fn pull_index(
        &self,
        repository: &str,
        reference: &str,
        index: &Index,
    ) -> Result<(), ClientError> {
        self.pull_manifest(repository, reference, &index.manifest).await?;
        for image in &index.images {
            self.pull(repository, &image.manifest.digest.to_string(), image).await?;
        }
        Ok(())
    }

    /// Pulls a blob: `HEAD`, then `GET`, which must say the same.
    ///
    /// # Errors
    /// As [`pull`](Self::pull).
    pub async fn pull_blob(&self, repository: &str, blob: &Content) -> Result<(), ClientError> {
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        self.compare(&path, blob, "application/octet-stream").await
    }

    /// Pulls a manifest: `HEAD`, then `GET`, which must say the same.
    ///
    /// # Errors
    /// As [`pull`](Self::pull).
    pub async fn pull_manifest(
        &self,
        repository: &str,
        reference: &str,
        manifest: &Content,
    ) -> Result<(), ClientError> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.compare(&path, manifest, manifest.media_type.as_str()).await
    }

    async fn compare(&self, path: &str, content: &Content, content_type: &str) -> Result<(), ClientError> {
        let head = self.head(path).want(200).await?;
        let get = self.get(path).want(200).await?;
        for response in [&head, &get] {
            must_name(response, &content.digest)?;
            must_be(response, header::CONTENT_LENGTH.as_str(), &content.bytes.len().to_string())?;
            must_be(response, header::CONTENT_TYPE.as_str(), content_type)?;
        }
        if get.body != content.bytes {
            return Err(get.wrong("the bytes are not those that were pushed"));
        }
        Ok(())
    }
}

impl UploadSession {
    /// What an answer says of the session.
    ///
    /// # Errors
    /// [`ClientError::Wrong`] if a header is missing or makes no sense.
    pub fn of(response: &Response) -> Result<UploadSession, ClientError> {
        let header = |name: &str| {
            response
                .header(name)
                .map(str::to_owned)
                .ok_or_else(|| response.wrong(format!("there is no {name}")))
        };
        let range = header("range")?;
        // `0-0` stands for nothing and for one byte alike; the address that we are given knows better.
        let last = range.strip_prefix("0-").and_then(|last| last.parse::<u64>().ok());
        let last = last.ok_or_else(|| response.wrong(format!("Range is {range:?}")))?;
        let location = header("location")?;
        let is_empty = last == 0 && location.ends_with("_state=0");
        let offset = if is_empty { 0 } else { last + 1 };
        Ok(UploadSession { location, id: header("docker-upload-uuid")?, offset })
    }

    /// Where the closing `PUT` goes.
    pub fn closing(&self, digest: &Digest) -> String {
        let separator = if self.location.contains('?') { '&' } else { '?' };
        format!("{}{separator}digest={digest}", self.location)
    }
}

fn must_name(response: &Response, digest: &Digest) -> Result<(), ClientError> {
    must_be(response, "docker-content-digest", &digest.to_string())
}

fn must_be(response: &Response, name: &str, expected: &str) -> Result<(), ClientError> {
    match response.header(name) {
        Some(value) if value == expected => Ok(()),
        value => Err(response.wrong(format!("{name} is {value:?} and not {expected:?}"))),
    }
}
