use std::path::{Path, PathBuf};

use registry_types::SigningAlgorithm;

use crate::field::{Field, quoted};
use crate::nearest::nearest;

/// The server whose tokens count. Key `auth.token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The URL at which clients ask for a token.
    pub realm: String,
    /// The name of this registry there, which a token has among its audience.
    pub service: String,
    /// The issuer that a token names.
    pub issuer: String,
    /// Certificates in PEM: authorities, and keys of tokens. Key `rootcertbundle`.
    pub root_certificates: Option<PathBuf>,
    /// A set of JSON web keys.
    pub jwks: Option<PathBuf>,
    /// The algorithms by which tokens may be signed. Key `signingalgorithms`.
    pub algorithms: Vec<SigningAlgorithm>,
    /// The path of the realm on the host that the client asked. Keys `autoredirect` and `autoredirectpath`.
    pub auto_redirect: Option<String>,
}

/// The path of the Go registry.
const AUTO_REDIRECT_PATH: &str = "/auth/token";

/// Algorithms that the Go registry lets be named and this one does not: by a shared secret no token is accepted there either.
const LEFT_OUT: [&str; 3] = ["HS256", "HS384", "HS512"];

impl Token {
    /// The files of keys.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.root_certificates.iter().chain(&self.jwks).map(PathBuf::as_path)
    }

    pub(crate) fn read(field: &Field<'_>) -> Token {
        let realm = field.get("realm").required("the URL at which clients ask for a token");
        let service = field.get("service").required("the name of this registry at the token's server");
        let issuer = field.get("issuer").required("the issuer that tokens name");
        let (root_certificates, jwks) = (field.get("rootcertbundle").path(), field.get("jwks").path());
        if root_certificates.is_none() && jwks.is_none() {
            field.problem(
                "names no key by which a token could be checked",
                "rootcertbundle, a file of certificates, or jwks, a file of JSON web keys",
            );
        }
        Token {
            realm: realm.unwrap_or_default(),
            service: service.unwrap_or_default(),
            issuer: issuer.unwrap_or_default(),
            root_certificates,
            jwks,
            algorithms: algorithms(&field.get("signingalgorithms")),
            auto_redirect: auto_redirect(field),
        }
    }
}

/// All, unless some are named.
fn algorithms(field: &Field<'_>) -> Vec<SigningAlgorithm> {
    let items = field.items();
    if items.is_empty() {
        return SigningAlgorithm::ALL.to_vec();
    }
    let algorithms: Vec<SigningAlgorithm> = items.iter().filter_map(algorithm).collect();
    if algorithms.is_empty() {
        field.problem("names no algorithm that is known here", known());
    }
    algorithms
}

fn algorithm(item: &Field<'_>) -> Option<SigningAlgorithm> {
    let name = item.text()?;
    let algorithm = SigningAlgorithm::named(&name);
    if algorithm.is_none() && LEFT_OUT.contains(&name.as_str()) {
        item.remark(format!("{name} is left out: tokens that are signed by it are refused"));
    } else if algorithm.is_none() {
        let names = SigningAlgorithm::ALL.map(SigningAlgorithm::as_str);
        let meant = nearest(&name, names).map(|word| format!(" (was {word} meant?)"));
        item.problem(
            format!("there is no algorithm {}", quoted(&name)),
            format!("{}{}", known(), meant.unwrap_or_default()),
        );
    }
    algorithm
}

fn known() -> String {
    SigningAlgorithm::ALL.map(SigningAlgorithm::as_str).join(", ")
}

fn auto_redirect(field: &Field<'_>) -> Option<String> {
    let path = field.get("autoredirectpath");
    let text = path.parse("a path that begins with /", |text| text.starts_with('/').then(|| text.to_owned()));
    field.get("autoredirect").flag(false).then(|| text.unwrap_or_else(|| AUTO_REDIRECT_PATH.to_owned()))
}
