//! What a client asks a server of tokens for.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, StatusCode, header};

use super::Refusal;

/// The most scopes that one request may have.
const SCOPES_MAX: usize = 32;

/// A request for a token.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) service: Option<String>,
    pub(super) scopes: Vec<Scope>,
    pub(super) by: By,
    /// Whether a refresh token is wanted as well.
    pub(super) is_offline: bool,
}

/// How the user is known.
#[derive(Debug, Default)]
pub(super) enum By {
    /// Not at all.
    #[default]
    Nothing,
    Password {
        user: String,
        password: String,
    },
    Refresh(String),
}

/// `repository:team/app:pull,push`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) actions: Vec<String>,
}

impl Scope {
    /// A name may have colons: that of a host with a port.
    fn parse(text: &str) -> Option<Scope> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let actions = actions.split(',').map(str::to_owned).collect();
        Some(Scope { kind: kind.to_owned(), name: name.to_owned(), actions })
    }
}

impl Asked {
    /// Of a query, or of a form if the method is POST.
    pub(super) fn of(method: &Method, headers: &HeaderMap, pairs: &[u8]) -> Result<Asked, Refusal> {
        let bad = |word| Err((StatusCode::BAD_REQUEST, word));
        let mut asked = Asked::default();
        let mut form = Form::default();
        for (name, value) in form_urlencoded::parse(pairs) {
            match &*name {
                "service" => asked.service = Some(value.into_owned()),
                "scope" => asked.add_scopes(&value)?,
                "offline_token" => asked.is_offline = value == "true",
                "access_type" => asked.is_offline = value == "offline",
                "grant_type" => form.grant = Some(value.into_owned()),
                "username" => form.user = Some(value.into_owned()),
                "password" => form.password = Some(value.into_owned()),
                "refresh_token" => form.refresh = Some(value.into_owned()),
                _ => {}
            }
        }
        asked.by = match *method {
            Method::GET => by_header(headers)?,
            Method::POST => form.by()?,
            _ => return Err((StatusCode::METHOD_NOT_ALLOWED, "tokens are asked for by GET and POST")),
        };
        if asked.scopes.len() > SCOPES_MAX {
            return bad("there are too many scopes");
        }
        Ok(asked)
    }

    fn add_scopes(&mut self, text: &str) -> Result<(), Refusal> {
        for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
            let scope = Scope::parse(scope).ok_or((StatusCode::BAD_REQUEST, "a scope is malformed"))?;
            self.scopes.push(scope);
        }
        Ok(())
    }
}

/// What a form says of the user.
#[derive(Default)]
struct Form {
    grant: Option<String>,
    user: Option<String>,
    password: Option<String>,
    refresh: Option<String>,
}

impl Form {
    fn by(self) -> Result<By, Refusal> {
        match (self.grant.as_deref(), self.user, self.password, self.refresh) {
            (Some("password"), Some(user), Some(password), _) => Ok(By::Password { user, password }),
            (Some("refresh_token"), _, _, Some(token)) => Ok(By::Refresh(token)),
            _ => Err((StatusCode::BAD_REQUEST, "the form has no grant that is known here")),
        }
    }
}

fn by_header(headers: &HeaderMap) -> Result<By, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(By::Nothing) };
    let decoded = value.to_str().ok().and_then(|text| text.strip_prefix("Basic ")).and_then(|text| {
        let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(By::Password { user: user.to_owned(), password: password.to_owned() })
    });
    decoded.ok_or((StatusCode::BAD_REQUEST, "the header Authorization is not of the scheme Basic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_come_in_one_parameter_or_in_many() {
        let query = b"service=s&scope=repository:a/b:pull,push%20registry:catalog:*&scope=repository:host:5000/x:pull";
        let asked = Asked::of(&Method::GET, &HeaderMap::new(), query).unwrap();
        let names: Vec<_> =
            asked.scopes.iter().map(|scope| (&*scope.kind, &*scope.name, scope.actions.len())).collect();
        let expected =
            [("repository", "a/b", 2), ("registry", "catalog", 1), ("repository", "host:5000/x", 1)];
        assert_eq!(names, expected);
        let scope = "repository:a:pull ".repeat(SCOPES_MAX + 1);
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("scope", &scope).finish();
        assert!(Asked::of(&Method::GET, &HeaderMap::new(), query.as_bytes()).is_err());
    }
}
