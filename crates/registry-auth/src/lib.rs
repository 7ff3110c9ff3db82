//! Who is asking a container registry, and what they may do.
//!
//! An [`Authenticator`] turns what a request shows, as [`Presented`], into a [`Caller`]: who it is, and what of its permissions
//! these credentials let be used. An [`Authorizer`] knows the permissions; [`decide`] says whether both allow an [`Access`].
//! Both are for embedders to replace.
//!
//! ```
//! use registry_auth::{Access, ActionSet, AnonymousAccess, Authenticated, Caller, Decision, decide};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let authorizer = Authenticated { anonymous: AnonymousAccess::Pull };
//! let pull = Access::to("library/alpine".parse()?, ActionSet::PULL);
//! let allowed = Decision::Allow { actions: ActionSet::PULL };
//! assert_eq!(decide(&authorizer, &Caller::anonymous(), &pull).await, allowed);
//! // Docker asks here whether it must log in.
//! let refused = decide(&authorizer, &Caller::anonymous(), &Access::Base).await;
//! assert_eq!(refused, Decision::Deny { visible: true });
//! let ada = Caller::user("ada".parse()?);
//! assert_ne!(decide(&authorizer, &ada, &Access::Base).await, refused);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it is not: it knows neither status codes nor a database, and it does not say whether a repository exists.
//!
//! | Module | What |
//! |---|---|
//! | `caller`, `access` | who asks, and for what |
//! | `credentials` | the `Authorization` header |
//! | `presented` | what a request shows of its sender |
//! | `authenticator` | the trait, and [`NoAuthentication`] |
//! | `authorizer` | the trait, decisions, [`AllowAll`] and [`Authenticated`] |
//! | `htpasswd` (feature `htpasswd`, on by default) | [`Htpasswd`], users in a file with bcrypt hashes, and making such lines |
//! | `token` (feature `tokens`, on by default) | [`Tokens`], tokens of another server |
//! | `logins` | which login is checked when, so that strangers do not lock out users |
//! | `unreadable` | why a file can not be read |

#![forbid(unsafe_code)]

mod access;
mod authenticator;
mod authorizer;
mod caller;
mod credentials;
#[cfg(feature = "htpasswd")]
mod htpasswd;
#[cfg(any(feature = "htpasswd", feature = "tokens"))]
#[cfg_attr(not(feature = "htpasswd"), allow(dead_code, unused_imports, reason = "tokens need a part of it"))]
mod logins;
mod presented;
#[cfg(feature = "tokens")]
mod token;
#[cfg(any(feature = "htpasswd", feature = "tokens"))]
mod unreadable;

pub use access::{Access, Action, ActionSet};
pub use authenticator::{AuthenticationError, Authenticator, NoAuthentication, Refused, Stale, Why};
pub use authorizer::{AllowAll, Authenticated, Authorizer, Decision, allowed, decide};
pub use caller::{Caller, Grant, ParseUserNameError, Scopes, USER_NAME_BYTES_MAX, UserName, Who};
pub use credentials::{CREDENTIALS_BYTES_MAX, Credentials, ParseCredentialsError};
#[cfg(all(fuzzing, feature = "htpasswd"))]
pub use htpasswd::fuzz_users;
#[cfg(feature = "htpasswd")]
pub use htpasswd::{
    BCRYPT_COST_MAX, FirstUser, HTPASSWD_BYTES_MAX, Htpasswd, HtpasswdError, HtpasswdOptions,
    PASSWORD_BYTES_MAX, make_htpasswd_line,
};
pub use presented::Presented;
pub use registry_types::AnonymousAccess;
#[cfg(feature = "tokens")]
pub use token::{TRUST_BYTES_MAX, TokenError, TokenOptions, Tokens};
#[cfg(any(feature = "htpasswd", feature = "tokens"))]
pub use unreadable::why_unreadable;

/// The examples of the README are compiled like these.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
