use std::fmt::Debug;

use async_trait::async_trait;
use registry_types::{AnonymousAccess, RepositoryName, Viewer};

use crate::access::{Access, ActionSet};
use crate::caller::Caller;

/// Knows what callers may do.
///
/// It answers for the identity of a caller. What a token allows of that is taken into account by [`decide`] and [`allowed`], for every
/// authoriser.
#[async_trait]
pub trait Authorizer: Debug + Send + Sync + 'static {
    /// What this caller may do to a repository, whether or not that exists. With [`ActionSet::NONE`], the repository looks like
    /// one that does not.
    async fn allowed(&self, caller: &Caller, repository: &RepositoryName) -> ActionSet;

    /// Which repositories this caller may see in a list. It must fit to [`allowed`](Self::allowed): what is listed can be pulled.
    async fn visible(&self, caller: &Caller) -> Viewer;

    /// Whether this caller need not log in: what `GET /v2/` answers, from which clients learn that they must. By default, a
    /// caller that has logged in.
    async fn admits(&self, caller: &Caller) -> bool {
        caller.is_authenticated()
    }

    /// Whether this caller may list repositories: those that it may see. By default, a caller that has logged in may.
    async fn lists(&self, caller: &Caller) -> bool {
        caller.is_authenticated()
    }
}

/// What is decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is allowed.
    Allow {
        /// All that the caller may do to the repository by these credentials; nothing where the request is about none.
        actions: ActionSet,
    },
    /// The caller may not do that.
    Deny {
        /// Whether the caller may know that the repository exists. If not, it must look like one that does not.
        visible: bool,
    },
    /// The caller's token does not name it. The caller might have another that does.
    Insufficient,
}

/// What a caller may do to a repository by the credentials that it showed.
pub async fn allowed(authorizer: &dyn Authorizer, caller: &Caller, repository: &RepositoryName) -> ActionSet {
    let usable = caller.grant.on(repository);
    // What a token does not name is not looked up.
    if usable.is_empty() {
        return ActionSet::NONE;
    }
    authorizer.allowed(caller, repository).await.intersection(usable)
}

/// Whether a caller may have this access, all of it.
pub async fn decide(authorizer: &dyn Authorizer, caller: &Caller, access: &Access) -> Decision {
    let (is_allowed, visible) = match access {
        Access::Repository { name, actions, .. } => {
            return decide_on(authorizer, caller, name, *actions).await;
        }
        Access::Catalog if !caller.grant.lists() => return Decision::Insufficient,
        Access::Catalog => (authorizer.lists(caller).await, false),
        Access::Base => (authorizer.admits(caller).await, true),
    };
    if is_allowed { Decision::Allow { actions: ActionSet::NONE } } else { Decision::Deny { visible } }
}

async fn decide_on(
    authorizer: &dyn Authorizer,
    caller: &Caller,
    repository: &RepositoryName,
    actions: ActionSet,
) -> Decision {
    let usable = caller.grant.on(repository);
    if !usable.contains_all(actions) {
        return Decision::Insufficient;
    }
    let allowed = authorizer.allowed(caller, repository).await;
    if allowed.contains_all(actions) {
        Decision::Allow { actions: allowed.intersection(usable) }
    } else {
        Decision::Deny { visible: !allowed.is_empty() }
    }
}

/// Every caller may do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn allowed(&self, _: &Caller, _: &RepositoryName) -> ActionSet {
        ActionSet::ALL
    }

    async fn visible(&self, _: &Caller) -> Viewer {
        Viewer::everything()
    }

    async fn admits(&self, _: &Caller) -> bool {
        true
    }

    async fn lists(&self, _: &Caller) -> bool {
        true
    }
}

/// Users may do everything; the anonymous what is said here.
///
/// A token's server decides what its tokens allow, so a caller with a token may do everything that it names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authenticated {
    /// What a client without credentials may do.
    pub anonymous: AnonymousAccess,
}

#[async_trait]
impl Authorizer for Authenticated {
    async fn allowed(&self, caller: &Caller, _: &RepositoryName) -> ActionSet {
        match self.anonymous {
            _ if caller.is_authenticated() => ActionSet::ALL,
            AnonymousAccess::Pull => ActionSet::PULL,
            AnonymousAccess::None => ActionSet::NONE,
        }
    }

    async fn visible(&self, caller: &Caller) -> Viewer {
        match self.anonymous {
            AnonymousAccess::None if !caller.is_authenticated() => Viewer::nothing(),
            _ => Viewer::everything(),
        }
    }

    async fn lists(&self, caller: &Caller) -> bool {
        caller.is_authenticated() || self.anonymous == AnonymousAccess::Pull
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Action;
    use crate::caller::{Grant, Scopes, Who};

    fn to(actions: &[Action]) -> Access {
        Access::to("team/app".parse().unwrap(), ActionSet::of(actions))
    }

    async fn is_allowed_to(authorizer: &dyn Authorizer, caller: &Caller, access: &Access) -> bool {
        matches!(decide(authorizer, caller, access).await, Decision::Allow { .. })
    }

    fn ada() -> Caller {
        Caller::user("ada".parse().unwrap())
    }

    #[tokio::test]
    async fn users_may_all_and_the_anonymous_what_is_said() {
        let (none, pull) = (AnonymousAccess::None, AnonymousAccess::Pull);
        for (access, allowed_if_closed, allowed_if_open) in [
            (Access::Base, false, false),
            (Access::Catalog, false, true),
            (to(&[Action::Pull]), false, true),
            (to(&[Action::Pull, Action::Push]), false, false),
            (to(&[Action::Delete]), false, false),
        ] {
            for (anonymous, is_allowed) in [(none, allowed_if_closed), (pull, allowed_if_open)] {
                let authorizer = Authenticated { anonymous };
                let decision = decide(&authorizer, &Caller::anonymous(), &access).await;
                assert_eq!(
                    matches!(decision, Decision::Allow { .. }),
                    is_allowed,
                    "{access:?}: {decision:?}"
                );
                if matches!(access, Access::Repository { .. }) && !is_allowed {
                    assert_eq!(decision, Decision::Deny { visible: anonymous == pull });
                }
                assert!(is_allowed_to(&authorizer, &ada(), &access).await);
                assert!(is_allowed_to(&AllowAll, &Caller::anonymous(), &access).await);
            }
        }
    }

    #[tokio::test]
    async fn what_may_not_be_read_is_not_listed() {
        let closed = Authenticated::default();
        assert_eq!(closed.visible(&Caller::anonymous()).await, Viewer::nothing());
        assert_eq!(closed.visible(&ada()).await, Viewer::everything());
        let open = Authenticated { anonymous: AnonymousAccess::Pull };
        assert_eq!(open.visible(&Caller::anonymous()).await, Viewer::everything());
    }

    #[tokio::test]
    async fn of_permissions_no_more_is_used_than_a_token_names() {
        let name: RepositoryName = "team/app".parse().unwrap();
        let scopes = Scopes { repositories: [(name.clone(), ActionSet::PULL)].into(), catalog: false };
        for who in [Who::Anonymous, ada().who] {
            let token = Caller { who, grant: Grant::Scopes(scopes.clone().into()) };
            let closed = Authenticated::default();
            let decide = async |access| decide(&closed, &token, &access).await;
            assert_eq!(decide(Access::Base).await, Decision::Allow { actions: ActionSet::NONE });
            assert_eq!(decide(Access::Catalog).await, Decision::Insufficient);
            assert_eq!(decide(to(&[Action::Pull])).await, Decision::Allow { actions: ActionSet::PULL });
            assert_eq!(decide(to(&[Action::Pull, Action::Push])).await, Decision::Insufficient);
            let other = Access::to("team/other".parse().unwrap(), ActionSet::PULL);
            assert_eq!(decide(other).await, Decision::Insufficient);
            assert_eq!(allowed(&closed, &token, &name).await, ActionSet::PULL);
        }
        let lists = Scopes { catalog: true, ..Scopes::default() };
        let token = Caller { who: Who::Anonymous, grant: Grant::Scopes(lists.into()) };
        assert!(is_allowed_to(&AllowAll, &token, &Access::Catalog).await);
    }

    /// May read what is below `public/`, and nothing else.
    #[derive(Debug)]
    struct Public;

    #[async_trait]
    impl Authorizer for Public {
        async fn allowed(&self, _: &Caller, name: &RepositoryName) -> ActionSet {
            if name.as_str().starts_with("public/") { ActionSet::PULL } else { ActionSet::NONE }
        }

        async fn visible(&self, _: &Caller) -> Viewer {
            Viewer::of([registry_types::NameRange::beginning_with("public/")])
        }
    }

    #[tokio::test]
    async fn a_token_adds_no_permission() {
        let names = ["public/app", "secret/app"].map(|name| name.parse::<RepositoryName>().unwrap());
        let repositories = names.iter().map(|name| (name.clone(), ActionSet::ALL)).collect();
        let grant = Grant::Scopes(Scopes { repositories, catalog: true }.into());
        let token = Caller { who: ada().who, grant };
        let [public, secret] = names;
        assert_eq!(allowed(&Public, &token, &public).await, ActionSet::PULL);
        let push = Access::to(public, ActionSet::ALL);
        assert_eq!(decide(&Public, &token, &push).await, Decision::Deny { visible: true });
        let pull = Access::to(secret, ActionSet::PULL);
        assert_eq!(decide(&Public, &token, &pull).await, Decision::Deny { visible: false });
    }
}
