//! What asks the authority: the registry's own connections.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use registry_outbound::{Ask, Client};

/// How long one answer may take.
const WITHIN: Duration = Duration::from_secs(30);

/// The longest answer: a chain of certificates has some kilobytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Asks an authority that the operator has named.
pub(crate) struct ToAuthority(pub(crate) Client);

impl HttpClient for ToAuthority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move { send(client, request).await.map_err(Error::Other) })
    }
}

async fn send(
    client: Client,
    request: Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let ask = Ask {
        method: parts.method,
        url: parts.uri.to_string().parse()?,
        headers: parts.headers,
        body: body.collect().await?.to_bytes(),
        within: WITHIN,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    let answer = client.send(ask).await?;
    if answer.is_cut {
        return Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes").into());
    }
    let mut response = Response::new(Full::new(answer.body));
    (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
    Ok(response.into())
}
