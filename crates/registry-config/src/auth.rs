use std::path::PathBuf;

use registry_types::AnonymousAccess;

use crate::field::{Field, quoted};
use crate::nearest::nearest;
use crate::token::Token;

/// Who may do what. Key `auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Nothing is said, so everybody may do everything, and only on a loopback address.
    Absent,
    /// Everybody may do everything, said explicitly: `auth: none`.
    None,
    /// Users of a file may do everything. Key `auth.htpasswd`.
    Htpasswd {
        /// What a client is shown that must log in.
        realm: String,
        /// The file, with bcrypt hashes.
        path: PathBuf,
        /// What a client without credentials may do. Key `auth.anonymous`.
        anonymous: AnonymousAccess,
    },
    /// Another server says by its tokens who may do what. Key `auth.token`.
    Token(Token),
}

const SCHEMES: [&str; 4] = ["htpasswd", "none", "silly", "token"];
const EXPECTED: &str = "htpasswd, token, or none for a registry that is open to everybody";

impl Auth {
    /// `insecure` says that the operator wants what is not safe, which `silly` needs.
    pub(crate) fn read(auth: &Field<'_>, insecure: bool) -> Auth {
        if let Some(name) = auth.scalar() {
            let parameters = auth.absent().get(&name.to_ascii_lowercase());
            return scheme(name, auth, &parameters, AnonymousAccess::None, insecure);
        }
        let entries = auth.entries();
        let mut schemes = entries.iter().filter(|(name, _)| *name != "anonymous");
        let anonymous = auth.get("anonymous");
        let words = [("none", AnonymousAccess::None), ("pull", AnonymousAccess::Pull)];
        let may = anonymous.choice(&words).unwrap_or_default();
        let Some((name, field)) = schemes.next() else {
            if anonymous.is_set() {
                anonymous.problem("stands without a scheme", "auth.htpasswd beside it");
            }
            return Auth::Absent;
        };
        if let Some((second, _)) = schemes.next() {
            auth.problem(format!("has two schemes, {} and {}", quoted(name), quoted(second)), "one");
        }
        scheme(name, field, field, may, insecure)
    }
}

/// `field` is where the scheme is named, `parameters` what is below it.
fn scheme(
    name: &str,
    field: &Field<'_>,
    parameters: &Field<'_>,
    anonymous: AnonymousAccess,
    insecure: bool,
) -> Auth {
    match name.to_ascii_lowercase().as_str() {
        "none" => return Auth::None,
        "htpasswd" => return htpasswd(parameters, anonymous),
        "token" => {
            if anonymous == AnonymousAccess::Pull {
                field.problem(
                    "stands beside auth.anonymous, which has no effect there",
                    "no auth.anonymous: the token's server gives tokens to clients without a name, too",
                );
            }
            return Auth::Token(Token::read(parameters));
        }
        "silly" if insecure => {
            field.remark("lets everybody in, so it is taken for none");
            return Auth::None;
        }
        "silly" => field.problem(
            "the scheme silly lets everybody in",
            format!("{EXPECTED}; for tests, http.insecure: true allows it"),
        ),
        _ => {
            let meant = nearest(name, SCHEMES).map(|word| format!(" (was {word} meant?)"));
            let expected = format!("{EXPECTED}{}", meant.unwrap_or_default());
            field.problem(format!("there is no scheme {}", quoted(name)), expected);
        }
    }
    // It is never used, and that authentication is missing must not be reported as well.
    Auth::None
}

fn htpasswd(field: &Field<'_>, anonymous: AnonymousAccess) -> Auth {
    let realm = field.get("realm").required("a name that clients are shown");
    let path = field.get("path").required_path("the path of a file made with htpasswd -B");
    Auth::Htpasswd { realm: realm.unwrap_or_default(), path: path.unwrap_or_default(), anonymous }
}
