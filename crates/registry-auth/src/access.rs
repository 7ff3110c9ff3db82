use std::fmt;

use registry_types::RepositoryName;

/// What may be done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Reading.
    Pull,
    /// Adding: uploads, mounts, and manifests by their digest.
    Push,
    /// Moving tags: manifests by tag.
    Tag,
    /// Removing.
    Delete,
}

impl Action {
    /// All of them, in order.
    pub const ALL: [Action; 4] = [Action::Pull, Action::Push, Action::Tag, Action::Delete];

    /// The word for it: `pull`, `push`, `tag` or `delete`.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Pull => "pull",
            Action::Push => "push",
            Action::Tag => "tag",
            Action::Delete => "delete",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of actions. `Display` gives the words of its members, with commas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ActionSet(u8);

impl ActionSet {
    /// The set without a member.
    pub const NONE: ActionSet = ActionSet(0);
    /// Every action.
    pub const ALL: ActionSet = ActionSet::of(&Action::ALL);
    /// Reading alone.
    pub const PULL: ActionSet = ActionSet::of(&[Action::Pull]);

    /// The set of these actions.
    pub const fn of(actions: &[Action]) -> ActionSet {
        let (mut bits, mut index) = (0, 0);
        // A loop over an iterator can not be in a constant.
        while index < actions.len() {
            bits |= 1 << actions[index] as u8;
            index += 1;
        }
        ActionSet(bits)
    }

    /// Whether it has no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the action is a member.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    /// Whether every member of `other` is one of this, too.
    pub const fn contains_all(self, other: ActionSet) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is a member of either.
    pub const fn union(self, other: ActionSet) -> ActionSet {
        ActionSet(self.0 | other.0)
    }

    /// What is a member of both.
    pub const fn intersection(self, other: ActionSet) -> ActionSet {
        ActionSet(self.0 & other.0)
    }

    /// The members, in order.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.contains(*action))
    }

    /// The words that token servers and clients know for it: they do not know `tag`, which is part of `push` there.
    pub fn words(self) -> Vec<&'static str> {
        self.iter().filter(|action| *action != Action::Tag).map(Action::as_str).collect()
    }
}

impl FromIterator<Action> for ActionSet {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> ActionSet {
        actions.into_iter().fold(ActionSet::NONE, |set, action| set.union(ActionSet::of(&[action])))
    }
}

impl fmt::Display for ActionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Action::as_str).collect();
        f.write_str(&words.join(","))
    }
}

/// What a request needs to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// To ask whether there is a registry: `GET /v2/`. Clients learn here whether they must log in.
    Base,
    /// To list the repositories that the caller may see.
    Catalog,
    /// To do something to one repository.
    Repository {
        /// Which.
        name: RepositoryName,
        /// What, all of it.
        actions: ActionSet,
        /// Where a blob would be mounted from, if the caller may pull there. The request is allowed without: a challenge names
        /// it, so that a client asks its token's server for both at once.
        source: Option<RepositoryName>,
    },
}

impl Access {
    /// To do these things to a repository.
    pub fn to(name: RepositoryName, actions: ActionSet) -> Access {
        Access::Repository { name, actions, source: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_know_their_members() {
        let push = ActionSet::of(&[Action::Tag, Action::Push, Action::Pull]);
        assert_eq!(push.to_string(), "pull,push,tag");
        assert_eq!(push.words(), ["pull", "push"]);
        assert_eq!(push, [Action::Pull, Action::Push, Action::Tag].into_iter().collect());
        assert!(push.contains_all(ActionSet::PULL) && !ActionSet::PULL.contains_all(push));
        assert!(!push.contains(Action::Delete) && ActionSet::ALL.contains(Action::Delete));
        let delete = ActionSet::of(&[Action::Delete]);
        assert_eq!(push.union(delete), ActionSet::ALL);
        assert!(push.intersection(delete).is_empty());
        assert!(ActionSet::NONE.is_empty() && ActionSet::NONE.contains_all(ActionSet::NONE));
        assert_eq!((ActionSet::NONE.to_string(), ActionSet::ALL.iter().count()), (String::new(), 4));
    }
}
