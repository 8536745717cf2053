//! Injection files of every shape, and those that are refused, each with its message.

use super::*;

/// What a file of this name and content is: its values and weights, or the message about it, with its folder
/// left out.
fn of(file: &str, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    match read(path, file.rsplit_once('.').unwrap().0) {
        Ok((name, weighted)) => {
            let total: f64 = weighted.scores().shares().iter().sum();
            assert!((total - 1.0).abs() < 1e-9);
            let shares: Vec<String> =
                weighted.scores().shares().iter().map(|share| format!("{share:.2}")).collect();
            format!("{name}: {} at {}", weighted.texts().join(", "), shares.join(" "))
        }
        Err(problem) => problem.replace(path, file),
    }
}

/// Checks that the message about a file holds `expected`.
fn check(file: &str, text: &str, expected: &str) {
    let found = of(file, text);
    assert!(found.contains(expected), "{file} {text}\nsays    {found}\ninstead {expected}");
}

#[test]
fn weights_have_the_names_that_people_give_them() {
    for key in [
        "frequency score",
        "frequency_score",
        "Frequency Score",
        "frequency",
        "score",
        "weight",
        "Weight",
        "share",
        "probability",
    ] {
        let expected = "tone: calm, , loud at 0.60 0.20 0.20";
        let list = format!(
            r#"[{{"tone": "calm", "{key}": 3}}, {{"tone": "", "{key}": 1}}, {{"{key}": 1, "tone": "loud"}}]"#
        );
        assert_eq!(of("tone.json", &list), expected);
        let yaml =
            format!("- tone: calm\n  {key}: 0.3\n- {{tone: '', {key}: 0.1}}\n- {{tone: loud, {key}: 0.1}}\n");
        assert_eq!(of("tone.yaml", &yaml), expected);
        assert_eq!(of("tone.csv", &format!("tone,{key}\ncalm,3\n,1\nloud, 1.0\n")), expected);
    }
    // The original's own name takes precedence over others.
    check(
        "tone.json",
        r#"[{"tone": "a", "score": 9, "frequency score": 1}, {"tone": "b", "score": 1, "frequency score": 1}]"#,
        "at 0.50 0.50",
    );
    // An attribute may itself be called like a weight.
    assert_eq!(of("score.csv", "score,weight\n5,1\n4,3\n"), "score: 5, 4 at 0.25 0.75");
    assert_eq!(of("weights.json", r#"[{"weight": "heavy", "score": 1}]"#), "weight: heavy at 1.00");
}

#[test]
fn plain_lists_are_drawn_equally_and_objects_by_their_numbers() {
    let equal = "tone: calm, , loud at 0.33 0.33 0.33";
    assert_eq!(of("tone.json", r#"["calm", "", "loud"]"#), equal);
    assert_eq!(of("tone.yaml", "- calm\n- ''\n- loud\n"), equal);
    assert_eq!(of("tone.csv", "tone\ncalm\n\"\"\nloud\n"), equal);
    let pairs = "tone: calm, , loud at 0.60 0.20 0.20";
    assert_eq!(of("tone.json", r#"{"calm": 3, "": 1, "loud": 1}"#), pairs);
    assert_eq!(of("tone.yml", "calm: 0.3\n'': 0.1\nloud: 0.1\n"), pairs);
    assert_eq!(of("age.json", "[1, 2.5, true]"), "age: 1, 2.5, true at 0.33 0.33 0.33");
    // Nothing names the attribute but the file.
    assert_eq!(of("tones.json", r#"["calm"]"#), "tones: calm at 1.00");
}

#[test]
fn an_invalid_entry_is_reported_with_its_line() {
    for (file, text, expected) in [
        (
            "tone.json",
            "[\n  {\"tone\": \"a\", \"weight\": 1},\n\n  {\"mood\": \"b\", \"weight\": 1}\n]",
            "`tone.json:4`: entry 2 has no key `tone`, which is the file's name; it has `mood`, `weight`",
        ),
        ("tone.json", r#"[{"tune": "b", "weight": 1}]"#, "entry 1 has no key `tone`"),
        ("tone.json", r#"[{"tune": "b", "weight": 1}]"#, "did you mean it by `tune`?"),
        ("tone.json", r"[{}]", "it has no key"),
        ("tone.json", r#"[{"tone": "a"}]"#, "`tone.json:1`: entry 1 has no weight, under `weight`, `score`"),
        ("tone.json", r#"[{"tone": "a", "frequency scor": 1}]"#, "did you mean it by `frequency scor`?"),
        ("tone.json", r#"[{"tone": "a", "wieght": 1}]"#, "did you mean it by `wieght`?"),
        ("tone.json", r#"[{"tone": "a", "weight": 1, "score": 2}]"#, "has both `weight` and `score`"),
        (
            "tone.json",
            r#"[{"tone": "a", "weight": -1}]"#,
            "has the weight -1 under `weight`, expected 0 or more",
        ),
        ("tone.json", r#"[{"tone": "a", "weight": "5"}]"#, "entry 1 has the text `5` as the weight `weight`"),
        ("tone.json", r#"[{"tone": "a", "weight": null}]"#, "expected a number"),
        ("tone.json", r#"[{"tone": "a", "weight": [1]}]"#, "has a list as the weight `weight`"),
        (
            "tone.json",
            "[{\"tone\": \"a\",\n\"weight\": NaN}]",
            "`tone.json:2`: is not JSON: expected value at column 11",
        ),
        ("tone.json", r#"[{"tone": "a", "weight": 1e999}]"#, "is not JSON: number out of range"),
        ("tone.json", r#"[{"tone": "a", "weight": 0}, {"tone": "b", "weight": 0}]"#, "all scores are 0"),
        ("tone.json", "[]", "there is no value"),
        ("tone.json", "{}", "there is no value"),
        (
            "tone.json",
            "[{\"tone\": \"a\", \"weight\": 1},\n{\"tone\": \"b\", \"weight\": 1},\n{\"tone\": \"a\", \"weight\": 2}]",
            "`tone.json:3`: entry 3 has the same value as entry 1: `a`",
        ),
        (
            "tone.json",
            "{\"a\": 1,\n\"b\": 1,\n\"a\": 2}",
            "`tone.json:3`: entry 3 has the same value as entry 1: `a`",
        ),
        (
            "tone.json",
            r#"[{"tone": ["a"], "weight": 1}]"#,
            "entry 1 has a list under `tone`, expected a text",
        ),
        ("tone.json", r#"{"tone": "a", "weight": 1}"#, "entry 1 has the text `a` as the weight `tone`"),
        ("tone.json", r#"{"tone": ["a", "b"]}"#, "entry 1 has a list as the weight `tone`"),
        (
            "tone.json",
            r#""calm""#,
            "holds a text, expected a list of objects, a plain list of values, or one object",
        ),
        ("tone.json", "[\"a\",\n null]", "`tone.json:2`: entry 2 is nothing, expected a text"),
        ("tone.json", "[\"a\",\n[\"b\"]]", "`tone.json:2`: entry 2 is a list, expected a text"),
        (
            "tone.json",
            r#"["a", {"tone": "b", "weight": 1}]"#,
            "entry 2 is an object, expected a text like the first",
        ),
        (
            "tone.json",
            r#"[{"tone": "b", "weight": 1}, "a"]"#,
            "entry 2 is a text, expected an object like the first",
        ),
        ("tone.json", r#"[{"tone": "a", "weight": 1},]"#, "is not JSON: trailing comma at column"),
        ("tone.yaml", "- {tone: a, weight: .nan}", "is not YAML"),
        (
            "tone.yaml",
            "- {tone: a, weight: 1}\n- {tone: b, weight: many}",
            "`tone.yaml:2`: entry 2 has the text `many`",
        ),
        ("tone.yml", "- [", "is not YAML"),
        ("tone.csv", "tone,weight\na,1\nb,NaN\n", "`tone.csv:3`: entry 2 has the text `NaN` as the weight"),
        ("tone.csv", "tone,weight\r\n\"a\r\nb\",1\r\nc,inf\r\n", "`tone.csv:4`: entry 2 has the text `inf`"),
        ("tone.csv", "tone,weight\na,-2\n", "has the weight -2 under `weight`, expected 0 or more"),
        (
            "tone.csv",
            "tone,weight\na,1\nb\n",
            "`tone.csv:3`: is not CSV: the row has 1 cells, the header has 2",
        ),
        ("tone.csv", "mood,weight\na,1\n", "entry 1 has no key `tone`"),
        ("tone.csv", "calm\nloud\n", "entry 1 has no key `tone`, which is the file's name; it has `calm`"),
    ] {
        check(file, text, expected);
    }
}

#[test]
fn a_wrong_file_is_one_message() {
    let entries = [r#"{"tone": 1}"#; 12].join(",\n");
    let found = of("tone.json", &format!("[{entries}]"));
    assert!(found.starts_with("`tone.json:1`: entry 1 has no weight"), "{found}");
    assert!(found.ends_with("; 11 more entries are wrong: 2, 3, 4, 5, 6, 7, 8, 9, ..."), "{found}");
    let two = r#"[{"tone": "a", "weight": "x"}, {"tone": "b", "weight": 1}, {"tone": "c"}]"#;
    check("tone.json", two, "as the weight `weight`, expected a number; entry 3 is wrong too");
}

#[test]
fn spaces_and_other_keys_are_allowed() {
    check(
        "additional instruction.json",
        r#"[{"additional instruction": "x", "frequency score": 1}]"#,
        "additional_instruction: x",
    );
    check(
        "reading-level.yaml",
        "- {reading level: 3, frequency_score: 1, note: for people}",
        "reading_level: 3",
    );
    check("tone.json", "\u{feff}[{\"tone\": \"\", \"frequency score\": 0.5}]", "tone: ");
    // A plural that is the key itself stays.
    check("topics.json", r#"[{"topics": "x", "frequency score": 1}]"#, "topics: x");
}
