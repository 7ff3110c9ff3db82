use std::fmt::Debug;

use async_trait::async_trait;
use registry_types::RepositorySet;

use crate::access::{Access, Action};
use crate::caller::Caller;

/// Decides what a caller may do.
#[async_trait]
pub trait Authorizer: Debug + Send + Sync + 'static {
    /// Whether this caller may have this access, all of it.
    async fn decide(&self, caller: &Caller, access: &Access) -> Decision;

    /// Which repositories this caller may see in a list: in a form that an index can be read by.
    async fn visible(&self, caller: &Caller) -> RepositorySet;
}

/// What an authoriser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No.
    Deny {
        /// Whether the caller may know that the repository exists. If not, it must look like one that does not.
        visible: bool,
    },
}

/// Everybody may do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn decide(&self, _: &Caller, _: &Access) -> Decision {
        Decision::Allow
    }

    async fn visible(&self, _: &Caller) -> RepositorySet {
        RepositorySet::All
    }
}

/// Users may do everything; the anonymous what is said here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authenticated {
    /// What somebody without credentials may do.
    pub anonymous: AnonymousAccess,
}

/// What somebody without credentials may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnonymousAccess {
    /// Nothing.
    #[default]
    None,
    /// Read everything. [`Access::Base`] is refused all the same: from that refusal `docker login` and `docker push` learn
    /// that there is something to log in to. Podman, containerd, skopeo, crane and others read without a login after it;
    /// dockerd does not, since it goes on after a `Basic` challenge only with credentials.
    Pull,
}

#[async_trait]
impl Authorizer for Authenticated {
    async fn decide(&self, caller: &Caller, access: &Access) -> Decision {
        let may_read = self.anonymous == AnonymousAccess::Pull;
        let is_allowed = match (caller, access) {
            (Caller::User(_), _) => true,
            (Caller::Anonymous, Access::Base) => false,
            (Caller::Anonymous, Access::Catalog) => may_read,
            (Caller::Anonymous, Access::Repository { actions, .. }) => {
                may_read && actions.iter().all(|action| *action == Action::Pull)
            }
        };
        if is_allowed { Decision::Allow } else { Decision::Deny { visible: may_read } }
    }

    async fn visible(&self, caller: &Caller) -> RepositorySet {
        match (caller, self.anonymous) {
            (Caller::User(_), _) | (Caller::Anonymous, AnonymousAccess::Pull) => RepositorySet::All,
            (Caller::Anonymous, AnonymousAccess::None) => RepositorySet::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(actions: &'static [Action]) -> Access {
        Access::Repository { name: "team/app".parse().unwrap(), actions }
    }

    #[tokio::test]
    async fn users_may_all_and_the_anonymous_what_is_said() {
        let user = Caller::User("ada".parse().unwrap());
        let (none, pull) = (AnonymousAccess::None, AnonymousAccess::Pull);
        for (access, allowed_to_nobody, allowed_to_readers) in [
            (Access::Base, false, false),
            (Access::Catalog, false, true),
            (repository(&[Action::Pull]), false, true),
            (repository(&[Action::Pull, Action::Push]), false, false),
            (repository(&[Action::Delete]), false, false),
        ] {
            for (anonymous, allowed) in [(none, allowed_to_nobody), (pull, allowed_to_readers)] {
                let authorizer = Authenticated { anonymous };
                let denied = Decision::Deny { visible: anonymous == pull };
                let expected = if allowed { Decision::Allow } else { denied };
                assert_eq!(authorizer.decide(&Caller::Anonymous, &access).await, expected, "{access:?}");
                assert_eq!(authorizer.decide(&user, &access).await, Decision::Allow);
                assert_eq!(AllowAll.decide(&Caller::Anonymous, &access).await, Decision::Allow);
            }
        }
    }

    #[tokio::test]
    async fn what_may_not_be_read_is_not_listed() {
        let user = Caller::User("ada".parse().unwrap());
        let closed = Authenticated::default();
        assert_eq!(closed.visible(&Caller::Anonymous).await, RepositorySet::NONE);
        assert_eq!(closed.visible(&user).await, RepositorySet::All);
        let open = Authenticated { anonymous: AnonymousAccess::Pull };
        assert_eq!(open.visible(&Caller::Anonymous).await, RepositorySet::All);
    }
}
