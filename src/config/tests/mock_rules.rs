//! Rules of mock models in files of their own: included, checked with their locations, part of what a run depends on.

use super::*;

/// Loads a pipeline whose model has these settings beside `rules_file`, with the file's text.
fn load_rules(settings: &str, rules: &str) -> Result<Plan, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yaml");
    std::fs::write(&file, rules).unwrap();
    let text = GOOD.replace(
        "    model: m\n",
        &format!("    model: m\n    mock: {{rules_file: {}{settings}}}\n", file.display()),
    );
    load_with(&text, &Overrides { mock: settings.is_empty(), ..Overrides::default() }).map_err(|problems| {
        let folder = format!("{}/", dir.path().display());
        short(&problems).into_iter().map(|line| line.replace(&folder, "")).collect()
    })
}

fn check_problems(settings: &str, rules: &str, expected: &[&str]) {
    let found = load_rules(settings, rules).map(|_| ()).unwrap_err();
    assert_eq!(found, expected, "{rules}");
}

#[test]
fn rules_of_a_file_are_the_rules_of_the_model() {
    let rules = "- {contains: river, answer: \"{{ vars.topic }} in ${PORT}\"}\n- {answer: no}\n";
    let plan = load_rules("", rules).unwrap();
    let mock = plan.models["teacher"].mock.as_ref().unwrap();
    assert_eq!(mock.rules.len(), 2);
    assert_eq!(mock.rules[0].answer, Some("{{ vars.topic }} in 8000".into()));
    assert_eq!(plan.resolved.pointer("/models/teacher/mock/rules/0/contains"), Some(&"river".into()));
    assert_eq!(plan.resolved.pointer("/models/teacher/mock/rules_file"), None);
}

#[test]
fn a_run_depends_on_the_script_of_a_mock_and_not_on_that_of_a_server() {
    let fingerprint = |settings, answer: &str| {
        load_rules(settings, &format!("- {{answer: {answer}}}\n")).unwrap().fingerprint()
    };
    assert_ne!(fingerprint("", "one"), fingerprint("", "two"));
    assert_eq!(fingerprint(", delay: 0", "one"), fingerprint(", delay: 0", "two"));
}

#[test]
fn problems_in_a_file_of_rules_have_their_place_in_it() {
    let place = "7:24 `rules.yaml`";
    check_problems("", "- {answer: a, anwser: b}\n", &[&format!("{place}:1:15: unknown field `anwser`")]);
    check_problems(
        "",
        "- answer: \"{{ a\"\n",
        &[&format!("{place}:1:11: syntax error: unexpected end of input, expected end of variable block")],
    );
    check_problems(
        "",
        "- {answer: a}\n- {answer: b}\n",
        &[&format!("{place}:2:3: the rule is never reached: rule 1 before it fits everything")],
    );
    check_problems(", rules: [{answer: a}]", "- {answer: a}\n", &["7:12 the script has `rules` too"]);
}
