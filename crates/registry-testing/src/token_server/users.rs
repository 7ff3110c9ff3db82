//! What users may do at a server of tokens.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::asked::Scope;

/// Users by name. What the one without a name may, every client may.
pub type Users = BTreeMap<String, User>;

/// A user.
#[derive(Debug, Default, Deserialize)]
pub struct User {
    /// No user comes in without one.
    pub password: Option<String>,
    /// What the user may do.
    pub may: Vec<Right>,
}

/// What may be done to things of a name.
#[derive(Clone, Debug, Deserialize)]
pub struct Right {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A name, or the beginning of names with a `*` behind it.
    pub name: String,
    /// The actions.
    pub actions: Vec<String>,
}

impl Right {
    fn is_about(&self, scope: &Scope) -> bool {
        let is_name = match self.name.strip_suffix('*') {
            Some(beginning) => scope.name.starts_with(beginning),
            None => scope.name == self.name,
        };
        self.kind == scope.kind && is_name
    }
}

/// The actions of a scope that are allowed to a user, or to every client: with `*`, all of them.
pub(super) fn allowed(users: &Users, name: &str, scope: &Scope) -> Vec<String> {
    let rights = ["", name].into_iter().filter_map(|name| users.get(name)).flat_map(|user| &user.may);
    let mut actions: Vec<_> =
        rights.filter(|right| right.is_about(scope)).flat_map(|right| &right.actions).collect();
    actions.sort();
    actions.dedup();
    let is_asked = |action: &&String| scope.actions.iter().any(|asked| asked == "*" || asked == *action);
    actions.into_iter().filter(is_asked).cloned().collect()
}
