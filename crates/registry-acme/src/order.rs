//! One order: what the authority asks is shown, and a certificate comes back.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, AuthorizedIdentifier, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::{
    AcmeError,
    acme::{Acme, LOOK_EVERY},
    steps::Asked,
};

/// How the authority is shown that a host is this registry's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Challenge {
    /// In a handshake of TLS, which the authority begins on port 443.
    #[default]
    TlsAlpn,
    /// By an answer over plain HTTP, for which the authority asks on port 80.
    Http,
}

impl Challenge {
    fn kind(self) -> ChallengeType {
        match self {
            Challenge::TlsAlpn => ChallengeType::TlsAlpn01,
            Challenge::Http => ChallengeType::Http01,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Challenge::TlsAlpn => "tls-alpn-01",
            Challenge::Http => "http-01",
        }
    }
}

/// How long other nodes have to see what the authority will ask them for: two of their looks, and what they may be late.
const SEEN_WITHIN: Duration = Duration::from_secs(2 * LOOK_EVERY.as_secs() + 1);

/// The authority is asked in these steps how far it is.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).timeout(Duration::from_secs(90));

/// What came of an order: a chain and its key, as PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: Zeroizing<String>,
}

/// Orders the certificate of a host.
pub(crate) async fn order(acme: &Acme, account: &Account, host: &str) -> Result<Issued, AcmeError> {
    let identifiers = [Identifier::Dns(host.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let is_asked = prepare(acme, &mut order).await?;
    if is_asked {
        acme.see().await?;
        sleep(SEEN_WITHIN).await;
        set_ready(acme.challenge(), &mut order).await?;
    }
    if order.poll_ready(&POLL).await? != OrderStatus::Ready {
        return Err(AcmeError::Invalid(why(&mut order).await));
    }
    let key = Zeroizing::new(order.finalize().await?);
    let chain = order.poll_certificate(&POLL).await?;
    Ok(Issued { chain, key })
}

/// Writes down what the authority wants to see. Says whether that is anything.
async fn prepare(acme: &Acme, order: &mut Order) -> Result<bool, AcmeError> {
    let mut is_asked = false;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let AuthorizedIdentifier { identifier: Identifier::Dns(host), .. } = authorization.identifier()
        else {
            return Err(AcmeError::Invalid("it asks for something that is no host".to_owned()));
        };
        let host = host.clone();
        let wanted = acme.challenge();
        let challenge = authorization.challenge(wanted.kind()).ok_or(AcmeError::Challenge(wanted.name()))?;
        let (token, answer) = (challenge.token.clone(), challenge.key_authorization().as_str().to_owned());
        acme.ask(Asked { token, host, answer }).await?;
        is_asked = true;
    }
    Ok(is_asked)
}

/// Has the authority look.
async fn set_ready(wanted: Challenge, order: &mut Order) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(wanted.kind()).ok_or(AcmeError::Challenge(wanted.name()))?;
        let mut challenge = challenge;
        challenge.set_ready().await?;
    }
    Ok(())
}

/// What the authority says of a host that it did not find to be this registry's.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let mut errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        if let Some(error) = errors.next_back() {
            return error.to_string();
        }
    }
    "it does not say why".to_owned()
}
