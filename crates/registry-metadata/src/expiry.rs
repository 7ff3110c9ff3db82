//! When tags expire, decided once for both databases.

use std::time::Duration;

use registry_types::Tag;

use crate::clock::millis;

/// The longest time after which a tag expires: 100 years. What is said to expire later expires then.
pub const EXPIRES_AFTER_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How many tags of one manifest go in one transaction.
pub(crate) const EXPIRED_AT_ONCE_MAX: usize = 100;

/// How many tags of one manifest whose time is over are looked at. Beyond that many which are immutable none expires.
pub(crate) const EXPIRED_LOOKED_AT_MAX: usize = 10_000;

/// When to look again at an immutable tag whose time is over: it may be immutable no more.
const HELD_AGAIN_MS: i64 = 24 * 60 * 60 * 1000;

/// A time after which tags expire, as the database keeps it.
pub(crate) fn after_ms(after: Duration) -> i64 {
    millis(after.min(EXPIRES_AFTER_MAX))
}

/// The same of one that was stored, perhaps when there was no such limit.
pub(crate) fn bounded_ms(stored_ms: i64) -> i64 {
    stored_ms.clamp(0, millis(EXPIRES_AFTER_MAX))
}

/// A tag that expires, and the time now; in milliseconds.
pub(crate) struct ExpiringTag {
    pub(crate) tag: Tag,
    pub(crate) updated_at_ms: i64,
    pub(crate) after_ms: i64,
    pub(crate) now_ms: i64,
}

/// A tag whose time is over, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueTag {
    pub(crate) tag: Tag,
    pub(crate) updated_at_ms: i64,
}

/// What is to be done about the tags that lead to a manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiring {
    /// Those whose time is over and that may go, at most [`EXPIRED_AT_ONCE_MAX`].
    pub(crate) due: Vec<DueTag>,
    /// When to look again, and how long that is from now; none if no other tag expires.
    pub(crate) again: Option<Again>,
    /// Whether a tag's time is over, and it is immutable.
    pub(crate) is_held: bool,
    /// How many such tags were seen.
    held: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    pub(crate) at_ms: i64,
    pub(crate) in_ms: i64,
}

impl Expiring {
    /// Takes a tag into account; those that were set first come first. Whether more are to be looked at.
    pub(crate) fn see(&mut self, tag: ExpiringTag, is_immutable: impl FnOnce(&Tag) -> bool) -> bool {
        let ExpiringTag { tag, updated_at_ms, after_ms, now_ms } = tag;
        let in_ms = updated_at_ms.saturating_add(bounded_ms(after_ms)).saturating_sub(now_ms);
        if in_ms > 0 {
            self.look_again(now_ms, in_ms);
            return false;
        }
        if is_immutable(&tag) {
            self.is_held = true;
            self.held += 1;
            self.look_again(now_ms, HELD_AGAIN_MS);
            return self.held < EXPIRED_LOOKED_AT_MAX;
        }
        if self.due.len() == EXPIRED_AT_ONCE_MAX {
            self.look_again(now_ms, 0);
            return false;
        }
        self.due.push(DueTag { tag, updated_at_ms });
        true
    }

    /// At the earliest of the times that it is told.
    fn look_again(&mut self, now_ms: i64, in_ms: i64) {
        if self.again.is_none_or(|again| in_ms < again.in_ms) {
            self.again = Some(Again { at_ms: now_ms.saturating_add(in_ms), in_ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;

    fn seen(tags: &[(&str, i64, i64)]) -> Expiring {
        let mut expiring = Expiring::default();
        for (name, updated_at_ms, after_ms) in tags {
            let tag = ExpiringTag {
                tag: name.parse().unwrap(),
                updated_at_ms: *updated_at_ms,
                after_ms: *after_ms,
                now_ms: NOW_MS,
            };
            if !expiring.see(tag, |tag| tag.as_str().starts_with("held")) {
                break;
            }
        }
        expiring
    }

    fn names(expiring: &Expiring) -> Vec<&str> {
        expiring.due.iter().map(|due| due.tag.as_str()).collect()
    }

    #[test]
    fn a_tag_goes_when_its_time_is_over() {
        let expiring = seen(&[("a", NOW_MS - 10, 10), ("b", NOW_MS - 7, 10), ("c", NOW_MS - 20, 10)]);
        assert_eq!(names(&expiring), ["a"]);
        assert_eq!(expiring.again, Some(Again { at_ms: NOW_MS + 3, in_ms: 3 }));
    }

    #[test]
    fn an_immutable_tag_stays_and_does_not_keep_others_from_going() {
        let expiring = seen(&[("held", NOW_MS - 10, 1), ("a", NOW_MS - 9, 1)]);
        assert!(expiring.is_held);
        assert_eq!(names(&expiring), ["a"]);
        assert_eq!(expiring.again.map(|again| again.in_ms), Some(HELD_AGAIN_MS));
    }

    #[test]
    fn so_many_immutable_tags_are_looked_at_and_no_more() {
        let held = ("held", NOW_MS - 10, 1);
        let mut tags = vec![held; EXPIRED_LOOKED_AT_MAX - 1];
        tags.push(("a", NOW_MS - 9, 1));
        assert_eq!(names(&seen(&tags)), ["a"]);
        tags.insert(0, held);
        assert_eq!(names(&seen(&tags)), [""; 0]);
        assert!(seen(&tags).is_held);
    }

    #[test]
    fn no_number_overflows() {
        for (updated_at_ms, after_ms) in [(NOW_MS, i64::MAX), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)] {
            seen(&[("a", updated_at_ms, after_ms)]);
        }
        let century_ms = millis(EXPIRES_AFTER_MAX);
        assert_eq!(seen(&[("a", NOW_MS, i64::MAX)]).again.map(|again| again.in_ms), Some(century_ms));
        assert_eq!((after_ms(Duration::MAX), bounded_ms(-1)), (century_ms, 0));
    }

    #[test]
    fn so_many_go_at_once_and_the_rest_comes_next() {
        let name = |number: usize| format!("v{number}");
        let names: Vec<String> = (0..=EXPIRED_AT_ONCE_MAX).map(name).collect();
        let tags: Vec<(&str, i64, i64)> = names.iter().map(|name| (name.as_str(), NOW_MS - 10, 1)).collect();
        let expiring = seen(&tags);
        assert_eq!(expiring.due.len(), EXPIRED_AT_ONCE_MAX);
        assert_eq!(expiring.again, Some(Again { at_ms: NOW_MS, in_ms: 0 }));
    }
}
