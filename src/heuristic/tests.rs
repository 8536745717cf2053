//! Properties of every answer of the heuristic: its source supports it, other sources lead to other answers, it can
//! be understood alone, and it matches the requested schema.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use super::*;
use crate::llm::Message;

mod alone;
mod chosen;

const KINDS: [&str; 15] = [
    "FACT_BASED",
    "SECTION_SUMMARY",
    "FACTUAL_RECALL",
    "INFERENCE",
    "MULTI_HOP_REASONING",
    "APPLICATION",
    "COMPARATIVE_ANALYSIS",
    "CAUSE_EFFECT",
    "SUMMARIZATION",
    "HYPOTHETICAL",
    "CRITICAL_ANALYSIS",
    "TECHNICAL_EXPLANATION",
    "PROCESS_WORKFLOW",
    "TRUE_FALSE_FILL_BLANK",
    "CONTEXTUAL_AMBIGUITY",
];

fn section(number: usize, title: &str, text: &str) -> Value {
    let facts: Vec<String> = sentences::split(text).into_iter().map(|sentence| sentence.text).collect();
    json!({
        "key": format!("guide.md#{number}"), "number": number, "title": title,
        "heading_path": format!("Guide > {title}"), "level": 2, "text": text, "facts": facts,
    })
}

fn record(kind: &str, section: &Value, companion: Option<&Value>, fact: Option<usize>) -> Record {
    let mut record = Record::default();
    record.set("question_type", kind);
    record.set("document", json!({"title": "Guide"}));
    record.set("section", section.clone());
    record.set("companion", companion.cloned().unwrap_or_default());
    record.set("fact", fact.map_or(Value::Null, |fact| section["facts"][fact].clone()));
    record.set("question_number", fact.unwrap_or(0) + 1);
    record.set("variant", fact.unwrap_or(0) + 1);
    record
}

/// The pair for a record, with an empty cache.
fn pair(record: &Record) -> Option<draft::QaPair> {
    question::pair(record, &RecentPassages::default())
}

/// All pairs that can be asked of `one`, with their types.
fn pairs(one: &Value, other: &Value) -> Vec<(&'static str, draft::QaPair)> {
    let mut pairs = Vec::new();
    for kind in KINDS {
        let companion = ["MULTI_HOP_REASONING", "COMPARATIVE_ANALYSIS"].contains(&kind).then_some(other);
        let facts = one["facts"].as_array().map_or(0, Vec::len);
        let asked: Vec<Option<usize>> =
            if kind == "FACT_BASED" { (0..facts).map(Some).collect() } else { vec![None] };
        for fact in asked {
            pairs.push((kind, pair(&record(kind, one, companion, fact)).unwrap()));
        }
    }
    pairs
}

/// The share of an answer's content words that occur in the sources, counted independently of the code under test:
/// words of four letters or more that are in no list of stop words.
fn support(answer: &str, sources: &[&Value]) -> f64 {
    let pieces = |text: &str| -> Vec<String> {
        text.to_lowercase().split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
    };
    let held: HashSet<String> =
        sources.iter().flat_map(|source| pieces(source["text"].as_str().unwrap())).collect();
    let stop = |word: &str| language::Language::Other.is_stop(word);
    let content: Vec<String> =
        pieces(answer).into_iter().filter(|word| word.chars().count() >= 4 && !stop(word)).collect();
    let found = content.iter().filter(|word| held.contains(*word)).count();
    if content.is_empty() { 1.0 } else { found as f64 / content.len() as f64 }
}

fn check_pair(kind: &str, pair: &draft::QaPair, one: &Value, other: &Value) {
    let share = support(&pair.answer, &[one, other]);
    assert!(share >= 0.7, "{kind}: {share:.2} of `{}`", pair.answer);
    assert!(!pair.question.trim().is_empty() && !pair.answer.trim().is_empty(), "{kind}: {pair:?}");
    assert!(pair.steps.iter().all(|step| step.chars().count() > 4), "{kind}: {:?}", pair.steps);
    let lower = pair.question.to_lowercase();
    for pointing in ["this section", "the text", "the passage", "{", "in \"\""] {
        assert!(!lower.contains(pointing), "{kind}: `{}` has `{pointing}`", pair.question);
    }
}

const NOUNS: [&str; 12] = [
    "basin", "copper", "engine", "filter", "garden", "hammer", "island", "journal", "kernel", "ladder",
    "mirror", "needle",
];
const ENDS: [&str; 8] = [
    "is a simple tool for the {b}",
    "must be cleaned before the {b} is opened",
    "keeps the {b} at 35 degrees",
    "fails because the {b} is too old",
    "needs a {b} and two bolts",
    "never touches the {b}",
    "can be replaced with a {b}",
    "was built in 1987 near the {b}",
];

/// Sections of one to eight sentences with a few list items.
fn sections() -> impl Strategy<Value = String> {
    let sentence =
        (0..NOUNS.len(), 0..ENDS.len(), 0..NOUNS.len(), any::<bool>()).prop_map(|(a, end, b, item)| {
            let end = ENDS[end].replace("{b}", NOUNS[b]);
            if item { format!("\n- The {} {end}\n", NOUNS[a]) } else { format!("The {} {end}. ", NOUNS[a]) }
        });
    prop::collection::vec(sentence, 1..8).prop_map(|sentences| sentences.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn answers_rest_on_their_sources(one in sections(), other in sections()) {
        let (one, other) = (section(1, "Machines", &one), section(2, "Tools", &other));
        for (kind, pair) in pairs(&one, &other) {
            check_pair(kind, &pair, &one, &other);
        }
    }

    #[test]
    fn any_text_gives_a_pair(text in "\\PC{0,200}", title in "\\PC{0,20}") {
        let one = section(1, &title, &text);
        for kind in KINDS {
            prop_assert!(pair(&record(kind, &one, Some(&one), None)).is_some());
        }
        schema_answer::gist(&text);
    }
}

const BREAD: &str = "The starter must be fed once a day when it is kept at room temperature. It then doubles in four \
    to six hours. If the starter smells of acetone, it is hungry. Discard all but 50 g of the old starter before each \
    feeding.\n\nAdd the following:\n\n- 50 g of rye flour\n- 50 g of lukewarm water\n";
const BRAKES: &str = "Ein Bremsbelag ist ein Block aus Gummi, der auf die Felge drückt. Sobald die Rillen im Belag nicht mehr \
    zu sehen sind, muss er ersetzt werden. Die Bremse sollte alle 300 Kilometer geprüft werden.";
const SOUP: &str = "El gazpacho es una sopa fría que se toma en verano. Los tomates deben estar maduros, porque de ellos \
    depende el sabor. Si la sopa queda espesa, se añade un poco de agua.";
const COMPOST: &str = "Le compost est un mélange de matières vertes et de matières brunes. Pour aérer le tas, on le retourne \
    une fois par mois. Il faut du temps, car les vers travaillent lentement.";

const TEA: &str = "煎茶は、蒸した葉を揉みながら乾燥させた茶である。蒸す時間は30秒から1分ほどである。";

#[test]
fn facts_are_asked_in_the_language_of_their_section() {
    let check = |text: &str, title: &str, fact: usize, expected: &str| {
        let one = section(1, title, text);
        let pair = pair(&record("FACT_BASED", &one, None, Some(fact))).unwrap();
        assert!(
            pair.question.to_lowercase().contains(&expected.to_lowercase()),
            "`{}` lacks `{expected}`",
            pair.question
        );
        assert!(pair.answer.contains(one["facts"][fact].as_str().unwrap()), "{}", pair.answer);
    };
    check(BREAD, "Feeding", 0, "what must be done with the starter?");
    check(BREAD, "Feeding", 2, "what follows if the starter smells of acetone?");
    check(BREAD, "Feeding", 5, "rye flour");
    check(BRAKES, "Bremsen", 0, "Was ist ein Bremsbelag?");
    check(
        BRAKES,
        "Bremsen",
        1,
        "Was kommt als Nächstes, sobald die Rillen im Belag nicht mehr zu sehen sind?",
    );
    check(SOUP, "Gazpacho", 0, "¿qué es el gazpacho?");
    check(SOUP, "Gazpacho", 2, "¿qué ocurre si la sopa queda espesa?");
    check(TEA, "煎茶", 0, "煎茶について何が言えますか?");
    check(COMPOST, "Compost", 0, "qu'est-ce que le compost ?");
    check(COMPOST, "Compost", 1, "que faut-il faire pour aérer le tas ?");
}

#[test]
fn sections_with_other_texts_give_other_answers() {
    let sections: Vec<Value> = [BREAD, BRAKES, SOUP, COMPOST, TEA, "The kernel keeps the mirror."]
        .iter()
        .enumerate()
        .map(|(index, text)| section(index, "Title", text))
        .collect();
    let mut seen: HashMap<(&str, String), usize> = HashMap::new();
    for (index, one) in sections.iter().enumerate() {
        let other = &sections[(index + 1) % sections.len()];
        for (kind, pair) in pairs(one, other) {
            check_pair(kind, &pair, one, other);
            let before = seen.insert((kind, pair.answer.clone()), index);
            assert!(before.is_none_or(|before| before == index), "{kind}: `{}`", pair.answer);
        }
    }
}

#[test]
fn a_changed_word_changes_the_summary() {
    let answer =
        |text: &str| pair(&record("SECTION_SUMMARY", &section(1, "T", text), None, None)).unwrap().answer;
    assert_ne!(answer(BREAD), answer(&BREAD.replace("lukewarm", "cold")));
    assert_eq!(answer(BREAD), answer(BREAD));
}

#[test]
fn a_section_of_code_shows_its_code() {
    let one = section(1, "Quick start", "```sh\ncargo install queuectl\n```");
    let pair = pair(&record("INFERENCE", &one, None, None)).unwrap();
    assert_eq!(pair.answer, "```sh\ncargo install queuectl\n```");
}

#[test]
fn a_false_statement_comes_with_its_correction() {
    let one = section(1, "Brake", "The brake must be checked every 300 kilometers.");
    let mut kinds = HashSet::new();
    for variant in 1..=9 {
        let mut record = record("TRUE_FALSE_FILL_BLANK", &one, None, None);
        record.set("variant", variant);
        let pair = pair(&record).unwrap();
        assert!(pair.answer.contains("300"), "{}", pair.answer);
        let start = pair.answer.split(['.', ' ']).next().unwrap_or("").to_owned();
        assert_eq!(
            start == "True",
            pair.question.contains("300 kilometers") && !pair.question.contains("____"),
            "{pair:?}"
        );
        if start == "False" {
            let [_, fact, end] = &pair.steps;
            assert!(fact.contains("every 300 kilometers") && end.contains("\"300\" holds"), "{pair:?}");
        }
        kinds.insert(start);
    }
    assert!(kinds.contains("True") && kinds.contains("False") && kinds.len() > 2, "{kinds:?}");
}

fn check_schema(schema: &Value, made: bool) {
    let record =
        if made { record("INFERENCE", &section(1, "Feeding", BREAD), None, None) } else { Record::default() };
    for source in [BREAD, BRAKES, "", "42", "生地を休ませる。水は35度。"] {
        let request = ModelRequest {
            messages: vec![Message::new("system", "Be brief."), Message::new("user", source)],
            schema: Some(Arc::new(schema.clone())),
            ..ModelRequest::default()
        };
        let value: Value = serde_json::from_str(&Heuristic::default().answer(&request, &record)).unwrap();
        let validator = jsonschema::validator_for(schema).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}\n{value}\n{schema}");
    }
}

#[test]
fn schemas_are_met() {
    let text = json!({"type": "string"});
    let schemas = [
        json!({"type": "object", "properties": {"question": text, "answer": text, "reasoning_steps": {"type": "array", "items": text, "minItems": 3, "maxItems": 3}}, "required": ["question", "answer", "reasoning_steps"], "additionalProperties": false}),
        json!({"type": "object", "properties": {"question": {"type": "string", "maxLength": 20}, "score": {"type": "integer", "minimum": 1, "maximum": 5}}, "required": ["question", "score"]}),
        json!({"type": "object", "required": ["undeclared"], "additionalProperties": {"type": "boolean"}}),
        json!({"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 2, "uniqueItems": true}),
        json!({"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "minItems": 4}),
        json!({"type": "array", "prefixItems": [{"const": 7}, {"type": "string", "minLength": 300}], "items": false}),
        json!({"type": "integer", "multipleOf": 7, "minimum": 10}),
        json!({"type": "number", "maximum": -3.5}),
        json!({"type": ["null", "string"], "minLength": 5, "maxLength": 9}),
        json!({"anyOf": [{"type": "null"}, {"type": "object", "properties": {"when": text}, "required": ["when"]}]}),
        json!({"$defs": {"node": {"type": "object", "properties": {"name": text, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}, "required": ["name", "children"]}}, "$ref": "#/$defs/node"}),
        json!({"allOf": [{"type": "object", "properties": {"a": text}, "required": ["a"]}, {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}]}),
        json!({"type": "object", "properties": {"never": false, "title": {"type": "string", "maxLength": 12}, "tags": {"type": "array", "items": text, "uniqueItems": true, "minItems": 5}}, "required": ["title", "tags"]}),
        json!({"enum": [1, null, "x"]}),
        json!(true),
    ];
    for schema in &schemas {
        check_schema(schema, false);
        check_schema(schema, true);
    }
}

/// The answer to a planned question on `BREAD` for a schema of these properties, all required.
fn answer_of(properties: &Value) -> Value {
    let schema = json!({"type": "object", "properties": properties, "additionalProperties": false,
        "required": properties.as_object().unwrap().keys().collect::<Vec<_>>()});
    let request = ModelRequest {
        messages: vec![Message::new("user", BREAD)],
        schema: Some(Arc::new(schema.clone())),
        ..ModelRequest::default()
    };
    let record = record("SECTION_SUMMARY", &section(1, "Feeding", BREAD), None, None);
    let value: Value = serde_json::from_str(&Heuristic::default().answer(&request, &record)).unwrap();
    assert!(jsonschema::is_valid(&schema, &value), "{value}\n{schema}");
    value
}

#[test]
fn evidence_is_given_as_the_schema_wants_it() {
    let text = json!({"type": "string"});
    let list = |least: u64, most: u64, long: u64| json!({"type": "array", "minItems": least, "maxItems": most, "items": {"type": "string", "maxLength": long}});
    let steps = list(3, 3, 1000);
    let check = |properties: Value, count: usize| {
        let value = answer_of(&properties);
        let quotes: Vec<&str> = match &value["evidence"] {
            Value::String(quote) => vec![quote],
            quotes => quotes.as_array().unwrap().iter().map(|quote| quote.as_str().unwrap()).collect(),
        };
        assert_eq!(quotes.len(), count, "{quotes:?}");
        assert!(quotes.iter().all(|quote| BREAD.contains(quote) && quote.len() > 8), "{quotes:?}");
        value
    };
    let all =
        json!({"answer": text, "question": text, "reasoning_steps": steps, "evidence": list(1, 3, 200)});
    let value = check(all, 3);
    let names: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(names, ["evidence", "question", "reasoning_steps", "answer"]);
    check(json!({"question": text, "evidence": list(1, 1, 30), "answer": text}), 1);
    check(json!({"question": text, "answer": text, "evidence": list(5, 6, 60)}), 5);
    check(json!({"evidence": {"type": "string", "maxLength": 40}, "question": text, "answer": text}), 1);
    // If the schema asks for more than a pair, the pair's fields are still used.
    let more = json!({"question": text, "evidence": list(1, 3, 200), "score": {"type": "integer"}});
    assert!(check(more, 3)["score"].is_number());
    let without = json!({"question": text, "answer": text, "reasoning_steps": steps});
    assert!(answer_of(&without).get("evidence").is_none());
}

#[test]
fn without_a_schema_the_gist_is_given() {
    let request = ModelRequest { messages: vec![Message::new("user", BREAD)], ..ModelRequest::default() };
    let text = Heuristic::default().answer(&request, &Record::default());
    assert!(text.contains("starter") && text.len() < BREAD.len(), "{text}");
}

#[test]
fn a_message_is_answered_from_the_records_own_text() {
    let schema = json!({"type": "object", "required": ["mood", "reply"], "properties": {
        "mood": {"enum": ["glad", "angry"]}, "reply": {"type": "string"}}});
    let reply = |text: &str, schema: Option<Value>| {
        let mut record = Record::default();
        record.set("product", "kettle");
        record.set("mail", json!({"text": text}));
        let content =
            format!("A customer wrote about a kettle:\n\n{text}\n\nAnswer as JSON: {{\"mood\": \"angry\"}}");
        let messages = vec![Message::new("user", content)];
        let request = ModelRequest { messages, schema: schema.map(Arc::new), ..ModelRequest::default() };
        Heuristic::default().answer(&request, &record)
    };
    let lid = "The lid does not stay open when I fill it.";
    let light = "After three weeks the light on the base no longer comes on.";
    for text in [lid, light] {
        let value: Value = serde_json::from_str(&reply(text, Some(schema.clone()))).unwrap();
        assert_eq!(value["reply"], text);
        assert_eq!(reply(text, None), text);
    }
    // A text too short to be what the message is about leaves the message itself.
    assert!(reply("Broken.", None).contains("kettle"));
}
