//! Users and tokens, as a configuration describes them.

use std::sync::Arc;

use registry_auth::{
    AnonymousAccess, Authenticated, Authenticator, FirstUser, Htpasswd, HtpasswdOptions, TokenError,
    TokenOptions, Tokens,
};
use registry_config::{self as config, Auth};

use crate::{Builder, OpenError};

/// What says who a caller is, and can be read again.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// Users of a file.
    Users(Arc<Htpasswd>),
    /// Tokens of a server.
    Tokens(Arc<Tokens>),
}

impl Credentials {
    /// Reads the files again. Blocks.
    pub(crate) fn reload(&self) {
        match self {
            Credentials::Users(users) => users.reload(),
            Credentials::Tokens(tokens) => tokens.reload(),
        }
    }

    /// Says whether the files can be read again now.
    pub(crate) fn look_again(&self) {
        match self {
            Credentials::Users(users) => users.look_again(),
            Credentials::Tokens(tokens) => tokens.look_again(),
        }
    }

    fn authenticator(&self) -> Arc<dyn Authenticator> {
        match self {
            Credentials::Users(users) => users.clone(),
            Credentials::Tokens(tokens) => tokens.clone(),
        }
    }
}

/// A builder that asks callers who they are, as the configuration wants it, and the user that was made for a file that was
/// absent.
pub(crate) async fn configure(
    builder: Builder,
    auth: &Auth,
    early: Option<Credentials>,
) -> Result<(Builder, Option<Credentials>, Option<FirstUser>), OpenError> {
    let (credentials, anonymous, first_user) = match (auth, early) {
        (Auth::Absent | Auth::None, _) => return Ok((builder, None, None)),
        (_, Some(credentials)) => (credentials, anonymous(auth), None),
        (Auth::Htpasswd { realm, path, .. }, None) => {
            let (users, first_user) = Htpasswd::open_or_create(HtpasswdOptions::new(realm, path)).await?;
            (Credentials::Users(users.into()), anonymous(auth), first_user)
        }
        (Auth::Token(token), None) => (Credentials::Tokens(tokens(token)?.into()), anonymous(auth), None),
    };
    let builder =
        builder.authenticator(credentials.authenticator()).authorizer(Arc::new(Authenticated { anonymous }));
    Ok((builder, Some(credentials), first_user))
}

/// What a client without credentials may do. Where tokens are taken, a token's server decides that.
fn anonymous(auth: &Auth) -> AnonymousAccess {
    match auth {
        Auth::Htpasswd { anonymous, .. } => *anonymous,
        _ => AnonymousAccess::None,
    }
}

/// Reads the keys of tokens.
pub(crate) fn tokens(token: &config::Token) -> Result<Tokens, TokenError> {
    Tokens::open(TokenOptions {
        realm: token.realm.clone(),
        service: token.service.clone(),
        issuer: token.issuer.clone(),
        root_certificates: token.root_certificates.clone(),
        jwks: token.jwks.clone(),
        algorithms: token.algorithms.clone(),
        auto_redirect: token.auto_redirect.clone(),
    })
}
