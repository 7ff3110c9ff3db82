use proptest::prelude::*;
use registry_digest::{Algorithm, Digest};
use registry_metadata::Hold;
use registry_types::Pattern;

use super::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const NOW_MS: i64 = 1_000 * DAY_MS;
const TIMES: Times = Times { now_ms: NOW_MS, pulls_since_ms: 0 };

fn digest(number: u64) -> Digest {
    Digest::of(Algorithm::Sha256, &number.to_le_bytes())
}

/// An image that was pushed so many days ago, with a manifest of its own; untagged, if the name is empty.
fn image(tag: &str, days_ago: i64) -> Image {
    let pushed_at_ms = NOW_MS - days_ago * DAY_MS;
    Image {
        tag: tag.parse().ok(),
        digest: Digest::of(Algorithm::Sha256, format!("{tag} {days_ago}").as_bytes()),
        created_at_ms: pushed_at_ms,
        pushed_at_ms,
        pulled_at_ms: None,
        hold: None,
    }
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn days(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count * 24 * 3600))
}

fn keep() -> Rule {
    Rule::new(Action::Keep)
}

fn expire() -> Rule {
    Rule::new(Action::Expire)
}

fn judged(rules: &[Rule], images: &[Image]) -> Vec<Verdict> {
    let policies = [Policy { repositories: patterns(&["**"]), rules: rules.to_vec() }];
    let mut rules = Rules::about(&"team/app".parse().unwrap(), &policies);
    images.iter().for_each(|image| rules.count(image));
    images.iter().map(|image| rules.judge(image, TIMES)).collect()
}

/// The tags that go, and `-` for each manifest without one.
fn gone(rules: &[Rule], images: &[Image]) -> Vec<String> {
    let verdicts = judged(rules, images);
    let goes = verdicts.iter().zip(images).filter(|(verdict, _)| matches!(verdict, Verdict::Expired { .. }));
    goes.map(|(_, image)| image.tag.as_ref().map_or("-".to_owned(), ToString::to_string)).collect()
}

#[test]
fn conditions_are_all_to_be_true() {
    let images = [
        image("v1.0.0", 40),
        image("v1.2.0", 20),
        image("v2.0.0-rc.1", 10),
        image("dev-1", 40),
        image("dev-2", 10),
        image("", 40),
        image("", 10),
    ];
    let semver = |range: &str| Some(range.parse().unwrap());
    for (rule, expected) in [
        (Rule { tags: patterns(&["dev-*"]), ..expire() }, &["dev-1", "dev-2"][..]),
        (Rule { tags: patterns(&["dev-*"]), older_than: days(30), ..expire() }, &["dev-1"]),
        (Rule { tags: patterns(&["dev-*"]), newer_than: days(30), ..expire() }, &["dev-2"]),
        (
            Rule { tags: patterns(&["re:.*[12]"]), except: patterns(&["*-rc*"]), ..expire() },
            &["dev-1", "dev-2"],
        ),
        (Rule { state: State::Untagged, ..expire() }, &["-", "-"]),
        (Rule { state: State::Untagged, older_than: days(40), ..expire() }, &["-"]),
        (Rule { older_than: days(40), ..expire() }, &["v1.0.0", "dev-1", "-"]),
        (Rule { state: State::Tagged, older_than: days(40), ..expire() }, &["v1.0.0", "dev-1"]),
        (Rule { semver: semver("<1.2"), ..expire() }, &["v1.0.0"]),
        (Rule { semver: semver("*"), older_than: days(30), ..expire() }, &["v1.0.0"]),
        (Rule { count: Some(2), ..expire() }, &["v1.0.0", "v1.2.0", "dev-1", "-", "-"][..]),
        (Rule { count: Some(1), state: State::Tagged, tags: patterns(&["dev-*"]), ..expire() }, &["dev-1"]),
        (Rule { count: Some(1), by: Order::Semver, ..expire() }, &["v1.0.0", "v1.2.0"]),
        (
            Rule { count: Some(1), older_than: days(30), state: State::Tagged, ..expire() },
            &["v1.0.0", "dev-1"],
        ),
    ] {
        let mut gone = gone(std::slice::from_ref(&rule), &images);
        if rule.count == Some(2) {
            // Which of those that are equally new count as newer is a matter of their digests.
            assert_eq!(gone.len(), expected.len(), "{gone:?}");
            gone = expected.iter().map(ToString::to_string).collect();
        }
        assert_eq!(gone, expected, "{rule}");
    }
}

#[test]
fn keep_wins_wherever_it_stands() {
    let images = [image("v1", 90), image("dev", 90)];
    let keeps = Rule { tags: patterns(&["v*"]), name: Some("releases".into()), ..keep() };
    let expires = Rule { older_than: days(30), ..expire() };
    for rules in [[keeps.clone(), expires.clone()], [expires, keeps]] {
        let verdicts = judged(&rules, &images);
        assert_eq!(verdicts[0], Verdict::Kept(Why::Rule("releases".into())));
        assert!(matches!(&verdicts[1], Verdict::Expired { rule } if rule.starts_with("policies[0].rules[")));
    }
}

#[test]
fn what_no_rule_is_about_is_kept() {
    let images = [image("v1", 90), image("", 90)];
    assert_eq!(judged(&[keep()], &images[..1]), [Verdict::Kept(Why::Rule("policies[0].rules[0]".into()))]);
    let rules = [Rule { tags: patterns(&["dev"]), ..expire() }];
    assert_eq!(judged(&rules, &images), [Verdict::Kept(Why::NoRule), Verdict::Kept(Why::NoRule)]);
}

#[test]
fn what_is_held_is_kept_whatever_rules_say() {
    for hold in [Hold::Immutable, Hold::Companion, Hold::Leased { until_ms: NOW_MS + 1 }] {
        let held = Image { hold: Some(hold), ..image("v1", 90) };
        let verdicts = judged(&[Rule { older_than: days(1), ..expire() }], &[held]);
        assert_eq!(verdicts, [Verdict::Kept(Why::Held(hold))]);
    }
}

#[test]
fn the_newest_are_counted_once_for_each_image() {
    let mut images: Vec<Image> = (1..=4).map(|day| image(&format!("build-{day}"), day)).collect();
    // The newest has two more names, one of which was given to it long ago.
    images.push(Image { digest: images[0].digest, ..image("latest", 0) });
    images.push(Image { digest: images[0].digest, ..image("old-name", 50) });
    let rules = [Rule { count: Some(2), ..keep() }, Rule { older_than: days(0), ..expire() }];
    assert_eq!(gone(&rules, &images), ["build-3", "build-4"]);
}

#[test]
fn versions_are_counted_as_versions() {
    let images: Vec<Image> =
        ["1.9.0", "1.10.0", "v1.2.0", "latest", "1.11.0-rc.1"].iter().map(|tag| image(tag, 5)).collect();
    let rules = [
        Rule { count: Some(2), by: Order::Semver, semver: Some("*".parse().unwrap()), ..keep() },
        Rule { state: State::Tagged, except: patterns(&["latest"]), older_than: days(1), ..expire() },
    ];
    assert_eq!(gone(&rules, &images), ["v1.2.0", "1.11.0-rc.1"]);
}

#[test]
fn a_pull_keeps_and_what_is_not_known_of_pulls_does_not_expire() {
    let pulled = Image { pulled_at_ms: Some(NOW_MS - 2 * DAY_MS), ..image("used", 90) };
    let (unused, fresh) = (image("unused", 90), image("fresh", 1));
    let rules = [Rule { older_than: days(30), since: Since::Pulled, ..expire() }];
    let images = [pulled.clone(), unused, fresh];
    assert_eq!(gone(&rules, &images), ["unused"]);

    let policies = [Policy { repositories: patterns(&["**"]), rules: rules.to_vec() }];
    let rules = Rules::about(&"a".parse().unwrap(), &policies);
    let lately = Times { pulls_since_ms: NOW_MS - 10 * DAY_MS, ..TIMES };
    assert!(images.iter().all(|image| rules.judge(image, lately) == Verdict::Kept(Why::NoRule)));

    let newest = Rule { count: Some(1), by: Order::Pulled, tags: patterns(&["*used"]), ..expire() };
    assert_eq!(gone(&[newest], &images), ["unused"]);
}

#[test]
fn policies_are_about_the_repositories_that_they_name() {
    let all = Policy { repositories: patterns(&["**"]), rules: vec![expire()] };
    let team = Policy { repositories: patterns(&["team/**", "re:x+"]), rules: vec![keep(), keep()] };
    let policies = [all, team];
    let count = |name: &str| Rules::about(&name.parse().unwrap(), &policies).rules.len();
    assert_eq!((count("team/app"), count("xx"), count("other")), (3, 3, 1));
    assert!(Rules::about(&"a".parse().unwrap(), &[]).is_empty());
}

fn some_rule() -> impl Strategy<Value = Rule> {
    let action = prop_oneof![Just(Action::Keep), Just(Action::Expire)];
    let state = prop_oneof![Just(State::Any), Just(State::Tagged), Just(State::Untagged)];
    let tags = prop_oneof![Just(vec![]), Just(patterns(&["v*"])), Just(patterns(&["*1", "dev-*"]))];
    let since = prop_oneof![Just(Since::Pushed), Just(Since::Pulled), Just(Since::Created)];
    let by = prop_oneof![Just(Order::Pushed), Just(Order::Pulled), Just(Order::Created), Just(Order::Semver)];
    let age = || prop::option::of((1u64..20).prop_map(|count| Duration::from_secs(count * 24 * 3600)));
    (action, state, tags, age(), age(), since, prop::option::of(1u32..5), by).prop_map(
        |(action, state, tags, older_than, newer_than, since, count, by)| Rule {
            state,
            tags,
            older_than,
            newer_than,
            since,
            count,
            by,
            ..Rule::new(action)
        },
    )
}

fn some_image() -> impl Strategy<Value = Image> {
    let tag = prop_oneof![
        Just(None),
        (0u8..20).prop_map(|number| Some(format!("v1.{number}.0"))),
        (0u8..20).prop_map(|number| Some(format!("dev-{number}"))),
    ];
    let held = prop::option::weighted(0.1, Just(Hold::Immutable));
    (tag, 0u64..10, 0i64..30, 0i64..30, prop::option::of(0i64..30), held).prop_map(
        |(tag, number, created, pushed, pulled, hold)| Image {
            tag: tag.map(|tag| tag.parse().unwrap()),
            digest: digest(number),
            created_at_ms: NOW_MS - created.max(pushed) * DAY_MS,
            pushed_at_ms: NOW_MS - pushed * DAY_MS,
            pulled_at_ms: pulled.map(|pulled| NOW_MS - pulled * DAY_MS),
            hold,
        },
    )
}

proptest! {
    /// One more rule that keeps never lets more go; one more that expires never keeps more; and the order of images and rules
    /// makes no difference to who goes.
    #[test]
    fn keeping_rules_only_keep_and_expiring_rules_only_expire(
        rules in prop::collection::vec(some_rule(), 0..5),
        more in some_rule(),
        images in prop::collection::vec(some_image(), 0..30),
    ) {
        let goes = |rules: &[Rule], images: &[Image]| -> Vec<bool> {
            judged(rules, images).iter().map(|verdict| matches!(verdict, Verdict::Expired { .. })).collect()
        };
        let before = goes(&rules, &images);
        let mut longer = rules.clone();
        longer.push(more.clone());
        let after = goes(&longer, &images);
        for (before, after) in before.iter().zip(&after) {
            let (goes_less, goes_more) = (before >= after, before <= after);
            prop_assert!(if more.action == Action::Keep { goes_less } else { goes_more }, "{}", more);
        }
        longer.reverse();
        prop_assert_eq!(&goes(&longer, &images), &after);
        let mut turned: Vec<Image> = images.clone();
        turned.reverse();
        let mut other = goes(&longer, &turned);
        other.reverse();
        prop_assert_eq!(&other, &after);
        for (image, goes) in images.iter().zip(&after) {
            prop_assert!(!goes || image.hold.is_none());
        }
    }

    /// Of those that a rule is about, so many images are left as it counts.
    #[test]
    fn a_rule_leaves_as_many_as_it_counts(count in 1u32..8, images in prop::collection::vec(some_image(), 0..40)) {
        let rule = Rule { count: Some(count), state: State::Tagged, ..expire() };
        let images: Vec<Image> = images.into_iter().filter(|image| image.hold.is_none()).collect();
        let verdicts = judged(&[rule], &images);
        let digests = |goes: bool| -> std::collections::BTreeSet<Digest> {
            let judged = verdicts.iter().zip(&images).filter(|(_, image)| image.tag.is_some());
            judged
                .filter(|(verdict, _)| matches!(verdict, Verdict::Expired { .. }) == goes)
                .map(|(_, image)| image.digest)
                .collect()
        };
        let (left, gone) = (digests(false), digests(true));
        prop_assert!(left.is_disjoint(&gone));
        let all = left.len() + gone.len();
        prop_assert_eq!(left.len(), all.min(count as usize));
    }
}
