//! Who is asking a container registry, and what they may do.
//!
//! An [`Authenticator`] turns what a request shows, as [`Presented`], into a [`Caller`]; an [`Authorizer`] decides what that
//! caller may do, as an [`Access`]. Both are for embedders to replace.
//!
//! ```
//! use registry_auth::{Access, Action, AnonymousAccess, Authenticated, Authorizer, Caller, Decision};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let authorizer = Authenticated { anonymous: AnonymousAccess::Pull };
//! let pull = Access::Repository { name: "library/alpine".parse()?, actions: &[Action::Pull] };
//! assert_eq!(authorizer.decide(&Caller::Anonymous, &pull).await, Decision::Allow);
//! // Docker asks here whether it must log in.
//! assert_ne!(authorizer.decide(&Caller::Anonymous, &Access::Base).await, Decision::Allow);
//! assert_eq!(authorizer.decide(&Caller::User("ada".parse()?), &Access::Base).await, Decision::Allow);
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
//! | `authorizer` | the trait, [`AllowAll`] and [`Authenticated`] |
//! | `htpasswd` | [`Htpasswd`], users in a file with bcrypt hashes, and making such lines |
//! | `logins` | which login is checked when, so that strangers do not lock out users |
//! | `unreadable` | why a file can not be read |

#![forbid(unsafe_code)]

mod access;
mod authenticator;
mod authorizer;
mod caller;
mod credentials;
mod htpasswd;
mod logins;
mod presented;
mod unreadable;

pub use access::{Access, Action};
pub use authenticator::{AuthenticationError, Authenticator, NoAuthentication, Stale};
pub use authorizer::{AllowAll, AnonymousAccess, Authenticated, Authorizer, Decision};
pub use caller::{Caller, ParseUserNameError, USER_NAME_BYTES_MAX, UserName};
pub use credentials::{CREDENTIALS_BYTES_MAX, Credentials, ParseCredentialsError};
#[cfg(fuzzing)]
pub use htpasswd::fuzz_users;
pub use htpasswd::{
    BCRYPT_COST_MAX, FirstUser, HTPASSWD_BYTES_MAX, Htpasswd, HtpasswdError, HtpasswdOptions,
    PASSWORD_BYTES_MAX, make_htpasswd_line,
};
pub use presented::Presented;
pub use unreadable::why_unreadable;

/// The examples of the README are compiled like these.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
