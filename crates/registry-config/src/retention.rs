use std::time::Duration;

use registry_types::{
    Pattern, VersionRange,
    retention::{
        Action, COUNT_MAX, Order, PULL_PRECISION, Policy, RULES_MAX, Rule, Since, State, fingerprint,
    },
};

use crate::config::patterns;
use crate::field::Field;
use crate::nearest::nearest;
use crate::scalar;
use crate::schema::{Key, POLICY, RULE};

/// Which images are kept and which go. Key `retention`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Whether the serving process applies the policies, if they are [approved](Self::is_approved). Off by default.
    pub enabled: bool,
    /// The fingerprint of the policies that the operator has seen a preview of.
    pub approved: Option<String>,
    /// How often they are applied; one hour by default.
    pub interval: Duration,
    /// The policies. What none of them is about is kept.
    pub policies: Vec<Policy>,
}

const STATES: [(&str, State); 3] =
    [("any", State::Any), ("tagged", State::Tagged), ("untagged", State::Untagged)];
const TIMES: [(&str, Since); 3] =
    [("pushed", Since::Pushed), ("pulled", Since::Pulled), ("created", Since::Created)];
const ORDERS: [(&str, Order); 4] = [
    ("pushed", Order::Pushed),
    ("pulled", Order::Pulled),
    ("created", Order::Created),
    ("semver", Order::Semver),
];

impl Retention {
    pub(crate) fn read(retention: &Field<'_>) -> Retention {
        const HOUR: Duration = Duration::from_secs(3600);
        const LEAST: Duration = Duration::from_millis(1);
        let policies = retention.get("policies");
        let read = Retention {
            enabled: retention.get("enabled").flag(false),
            approved: retention.get("approved").text(),
            interval: retention.get("interval").duration(HOUR, LEAST),
            policies: policies.items().iter().map(policy).collect(),
        };
        if read.policies.iter().map(|policy| policy.rules.len()).sum::<usize>() > RULES_MAX {
            policies.problem("has too many rules", format!("at most {RULES_MAX} in all policies"));
        }
        if read.enabled && read.policies.is_empty() {
            retention.get("enabled").remark("has no effect without policies");
        } else if read.enabled && !read.is_approved() {
            retention.get("approved").remark(
                "does not stand for these policies, so nothing is deleted: `registry retention preview` shows what they do, and \
                 prints what to write here",
            );
        }
        read
    }

    /// Whether the operator has seen a preview of these policies, and no others, and has said so.
    pub fn is_approved(&self) -> bool {
        self.approved.as_ref().is_some_and(|approved| *approved == fingerprint(&self.policies))
    }
}

fn policy(field: &Field<'_>) -> Policy {
    refuse_unknown(field, POLICY);
    let (repositories, rules) = (field.get("repositories"), field.get("rules"));
    if !repositories.is_set() {
        repositories.problem("is missing", "patterns such as team/**, or ** for all repositories");
    }
    if !rules.is_set() {
        rules.problem("is missing", "a list of rules");
    }
    Policy { repositories: some_patterns(&repositories), rules: rules.items().iter().map(rule).collect() }
}

/// Elsewhere a key that nobody knows is a warning. Here it may be the condition without which a rule takes much more than
/// was meant, and so may be one without a value.
fn refuse_unknown(section: &Field<'_>, keys: &[Key]) {
    for (name, field) in section.entries() {
        let is_known = keys.iter().any(|key| key.name == name);
        if !is_known {
            let near = nearest(name, keys.iter().map(|key| key.name));
            let meant = near.map(|key| format!("{key}, or no such key")).unwrap_or("no such key".to_owned());
            field.problem("is not known", meant);
        } else if !field.is_set() {
            field.problem("is empty", "a value, or no such key");
        }
    }
}

fn rule(field: &Field<'_>) -> Rule {
    refuse_unknown(field, RULE);
    let action = action(&field.get("action"));
    let rule = Rule {
        name: field.get("name").text(),
        action,
        state: field.get("state").choice(&STATES).unwrap_or_default(),
        tags: some_patterns(&field.get("tags")),
        except: some_patterns(&field.get("except")),
        semver: range(&field.get("semver")),
        older_than: age(&field.get("older_than")),
        newer_than: age(&field.get("newer_than")),
        since: field.get("since").choice(&TIMES).unwrap_or_default(),
        count: count(field, action),
        by: field.get("by").choice(&ORDERS).unwrap_or_default(),
    };
    check(field, &rule);
    rule
}

/// What is not understood keeps.
fn action(field: &Field<'_>) -> Action {
    if !field.is_set() {
        field.problem("is missing", "keep or expire");
    }
    field.choice(&[("keep", Action::Keep), ("expire", Action::Expire)]).unwrap_or(Action::Keep)
}

fn range(field: &Field<'_>) -> Option<VersionRange> {
    field.parse("a range of versions such as '>=1.2, <2'", |text| text.parse().ok())
}

fn some_patterns(field: &Field<'_>) -> Vec<Pattern> {
    if field.is_set() { patterns(field) } else { Vec::new() }
}

/// Each action has a key of its own: to expire "the newest ten" can not be said by mistake.
fn count(rule: &Field<'_>, action: Action) -> Option<u32> {
    let (own, other, of_other) = match action {
        Action::Keep => ("newest", "beyond", "expire"),
        Action::Expire => ("beyond", "newest", "keep"),
    };
    if rule.get(other).is_set() {
        rule.get(other).problem(format!("is of rules that {of_other}"), format!("{own}, or none"));
    }
    let read = |key: &str| {
        let number = |text: &str| text.parse::<u32>().ok().filter(|count| (1..=COUNT_MAX).contains(count));
        rule.get(key).parse(&format!("a whole number from 1 to {COUNT_MAX}"), number)
    };
    let (count, _) = (read(own), read(other));
    count
}

/// As everywhere, and with days and weeks.
fn age(field: &Field<'_>) -> Option<Duration> {
    field.parse("an age such as 12h, 30d or 8w", |text| {
        let in_days = |unit: char, days: u64| {
            let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
            count.checked_mul(days * 24 * 3600).map(Duration::from_secs)
        };
        let age = in_days('d', 1).or_else(|| in_days('w', 7)).or_else(|| scalar::duration(text))?;
        // Nobody means nanoseconds.
        let is_bare = text.bytes().all(|byte| byte.is_ascii_digit());
        (!is_bare && !age.is_zero() && age <= AGE_MAX).then_some(age)
    })
}

/// A thousand years.
const AGE_MAX: Duration = Duration::from_secs(1000 * 366 * 24 * 3600);

/// What can not be meant.
fn check(field: &Field<'_>, rule: &Rule) {
    if rule.takes_everything() && field.get("action").is_set() {
        field.problem(
            "expires everything",
            "a condition: tags, semver, older_than, beyond, or state: untagged",
        );
    }
    if rule.state == State::Untagged && !rule.means_untagged() {
        field.get("state").problem("is untagged, and other keys are about tags", "one or the other");
    }
    if rule.older_than.is_none() && rule.newer_than.is_none() && field.get("since").is_set() {
        field.get("since").problem("stands without an age", "older_than or newer_than beside it");
    }
    if rule.count.is_none() && field.get("by").is_set() {
        field.get("by").problem("stands without a number", "newest or beyond beside it");
    }
    for key in ["older_than", "newer_than"] {
        let age = if key == "older_than" { rule.older_than } else { rule.newer_than };
        if rule.since == Since::Pulled && age.is_some_and(|age| age < PULL_PRECISION) {
            field.get(key).problem("is shorter than a pull is known by", "at least 2h");
        }
    }
}
