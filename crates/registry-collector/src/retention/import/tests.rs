use super::*;

fn translated(source: Source, json: &str) -> Imported {
    import(source, json, &"team/**".parse().unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

/// The rules as they are written, without the lines around them.
fn rules(source: Source, json: &str) -> String {
    translated(source, json).policies.iter().map(ToString::to_string).collect()
}

fn problems(source: Source, json: &str) -> Vec<String> {
    import(source, json, &"**".parse().unwrap()).unwrap_err().problems
}

const ECR: &str = r#"{"rules": [
    {"rulePriority": 30, "description": "the rest", "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 500}, "action": {"type": "expire"}},
    {"rulePriority": 10, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}, "action": {"type": "expire"}},
    {"rulePriority": 20, "selection": {"tagStatus": "tagged", "tagPrefixList": ["dev-"], "countType": "imageCountMoreThan", "countNumber": 30}, "action": {"type": "expire"}}
]}"#;

#[test]
fn lifecycle_policies_of_ecr_become_rules_in_their_order() {
    let expected = "    - repositories: ['team/**']
      rules:
        - action: expire
          state: untagged
          older_than: 14d
          since: created
        - action: expire
          state: tagged
          tags: ['dev-*']
          beyond: 30
          by: created
        - action: expire
          name: 'the rest'
          state: tagged
          except: ['dev-*']
          beyond: 500
          by: created
";
    assert_eq!(rules(Source::Ecr, ECR), expected);
    let said = translated(Source::Ecr, ECR).to_string();
    assert!(said.contains("# rules[0].selection.countNumber: what earlier rules are about"), "{said}");
    assert!(said.ends_with(&format!("retention:\n  policies:\n{expected}")), "{said}");
}

#[test]
fn what_ecr_says_and_we_can_not_is_named() {
    let rule = |selection: &str, action: &str| {
        let rule =
            format!(r#"{{"rules": [{{"rulePriority": 1, "selection": {selection}, "action": {action}}}]}}"#);
        problems(Source::Ecr, &rule).join("\n")
    };
    let expire = r#"{"type": "expire"}"#;
    for (selection, action, named) in [
        (
            r#"{"tagStatus": "tagged", "tagPrefixList": ["a", "b"], "countType": "imageCountMoreThan", "countNumber": 1}"#,
            expire,
            "tagPatternList: an image must have a tag for each",
        ),
        (
            r#"{"tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 1}"#,
            expire,
            "countType: `sinceImagePulled`",
        ),
        (
            r#"{"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1}"#,
            r#"{"type": "transition", "targetStorageClass": "archive"}"#,
            "action.type: only `expire`",
        ),
        (
            r#"{"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1, "colour": 3}"#,
            expire,
            "rules[0].selection.colour: is not known",
        ),
        (
            r#"{"tagStatus": "tagged", "countType": "imageCountMoreThan", "countNumber": 1}"#,
            expire,
            "tagPatternList: is missing",
        ),
        (
            r#"{"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 0}"#,
            expire,
            "countNumber: 0 is no whole number",
        ),
        (r#"{"tagStatus": "any", "countType": "imageCountMoreThan"}"#, expire, "countNumber: is missing"),
    ] {
        let said = rule(selection, action);
        assert!(said.contains(named), "{named}: {said}");
    }
    assert!(problems(Source::Ecr, "[]")[0].contains("is no object"));
    assert!(problems(Source::Ecr, "{")[0].contains("is no JSON"));
    assert!(problems(Source::Ecr, r#"{"rules": []}"#)[0].contains("no rule"));
    assert!(problems(Source::Ecr, r#"{"rules": [], "version": 1}"#)[0].contains("version: is not known"));
}

#[test]
fn cleanup_policies_of_gar_keep_and_delete() {
    let json = r#"[
        {"name": "old", "action": {"type": "Delete"}, "condition": {"tagState": "tagged", "tagPrefixes": ["alpha", "v0"], "olderThan": "30d", "packageNamePrefixes": ["web"]}},
        {"name": "all", "action": {"type": "Delete"}, "condition": {"tagState": "any"}},
        {"name": "few", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 5}},
        {"name": "new", "action": {"type": "Keep"}, "condition": {"newerThan": "86400s"}}
    ]"#;
    let expected = "    - repositories: ['team/web**']
      rules:
        - action: expire
          name: 'old'
          state: tagged
          tags: ['alpha*', 'v0*']
          older_than: 30d
          since: created
    - repositories: ['team/**']
      rules:
        - action: expire
          name: 'all'
          state: tagged
          tags: ['**']
        - action: expire
          name: 'all'
          state: untagged
    - repositories: ['team/**']
      rules:
        - action: keep
          name: 'few'
          newest: 5
          by: created
    - repositories: ['team/**']
      rules:
        - action: keep
          name: 'new'
          newer_than: 1d
          since: created
";
    assert_eq!(rules(Source::Gar, json), expected);
    let json = r#"[{"name": "x", "action": {"type": "Delete"}, "condition": {"versionNamePrefixes": ["sha256:a"], "olderThan": "1y"}},
        {"name": "y", "action": {"type": "Move"}}, {"name": "z", "action": "Keep"}]"#;
    let said = problems(Source::Gar, json).join("\n");
    for named in [
        "[0].condition.versionNamePrefixes",
        "[0].condition.olderThan: `1y`",
        "[1].action: is neither",
        "[2].condition: or most",
    ] {
        assert!(said.contains(named), "{named}: {said}");
    }
}

const HARBOR: &str = r#"{"id": 3, "algorithm": "or", "scope": {"level": "project", "ref": 1}, "trigger": {"kind": "Schedule"}, "rules": [
    {"id": 1, "priority": 1, "disabled": false, "action": "retain", "template": "latestPushedK", "params": {"latestPushedK": 10},
     "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "**", "extras": "{\"untagged\":true}"}],
     "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]}},
    {"action": "retain", "template": "nDaysSinceLastPull", "params": {"nDaysSinceLastPull": 7},
     "tag_selectors": [{"kind": "doublestar", "decoration": "excludes", "pattern": "dev-*", "extras": ""}],
     "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "app-*"}]}},
    {"disabled": true, "action": "retain", "template": "always", "tag_selectors": [], "params": {}}
]}"#;

#[test]
fn what_no_rule_of_harbor_retains_goes() {
    let expected = "    - repositories: ['team/**']
      rules:
        - action: keep
          newest: 10
          by: created
    - repositories: ['team/app-*']
      rules:
        - action: keep
          state: tagged
          except: ['dev-*']
          newer_than: 7d
          since: pulled
    - repositories: ['team/**', 'team/app-*']
      rules:
        - action: expire
          name: 'tags that no rule keeps'
          tags: ['**']
        - action: expire
          name: 'untagged images that no rule keeps'
          state: untagged
";
    assert_eq!(rules(Source::Harbor, HARBOR), expected);
    let said = translated(Source::Harbor, HARBOR).to_string();
    for comment in ["# trigger: ", "# rules[1].template: a push counts", "# rules[2].disabled: is left out"] {
        assert!(said.contains(comment), "{comment}: {said}");
    }
    let broken = HARBOR
        .replace("dev-*", "{a,b}")
        .replace("latestPushedK\",", "newestK\",")
        .replace("repoMatches\", \"pattern\": \"app-*", "repoExcludes\", \"pattern\": \"app-*");
    let said = problems(Source::Harbor, &broken).join("\n");
    for named in [
        "rules[0].template: `newestK`",
        "rules[0].params.latestPushedK: is not known",
        "`{a,b}` is no pattern",
        "decoration: only `repoMatches`",
    ] {
        assert!(said.contains(named), "{named}: {said}");
    }
}

#[test]
fn a_cleanup_policy_of_gitlab_is_one_rule() {
    let policy = r#"{"cadence": "7d", "enabled": true, "keep_n": 10, "older_than": "90d", "name_regex": ".*-dev", "name_regex_keep": "v.+", "next_run_at": "2026-01-01"}"#;
    let expected = "    - repositories: ['team/**']
      rules:
        - action: expire
          name: 'cleanup'
          state: tagged
          tags: ['re:.*-dev']
          except: ['latest', 're:v.+']
          older_than: 90d
          since: created
          beyond: 10
          by: created
";
    assert_eq!(rules(Source::Gitlab, policy), expected);
    let project = format!(r#"{{"id": 5, "name": "x", "container_expiration_policy": {policy}}}"#);
    assert_eq!(rules(Source::Gitlab, &project), expected);
    let said = problems(Source::Gitlab, r#"{"name_regex_delete": "(?<!a)b", "keep_n": "many", "colour": 1}"#)
        .join("\n");
    for named in ["name_regex_delete: `re:", "keep_n: \"many\"", "colour: is not known"] {
        assert!(said.contains(named), "{named}: {said}");
    }
}

#[test]
fn sources_have_names() {
    assert_eq!("gitlab".parse(), Ok(Source::Gitlab));
    assert!("quay".parse::<Source>().unwrap_err().to_string().contains("harbor"));
}
