//! `magpie.yaml`: the bytes that a server gets, that equal prompts are distinct samples, and what is filtered out.

use std::collections::BTreeSet;

use serde_json::json;

use super::lines;
use super::made::Made;
use crate::harness::model_server::{ModelServer, Question, Reply};
use crate::harness::{project, synthmill};

const RECIPE: &str = "magpie.yaml";
const TEMPLATE: &str = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n";

/// Answers as a server would: an instruction for the bare template, else tags or an answer.
fn answer(question: &Question) -> Reply {
    if question.path.ends_with("/chat/completions") {
        return match question.prompt.contains("Describe it as JSON") {
            true => Reply::answer(
                r#"{"intent": "learn", "category": "advice", "difficulty": "easy", "quality": "good"}"#,
            ),
            false => Reply::answer("Begin early, and write down what you do."),
        };
    }
    Reply::answer(&format!("How do I learn {} new words a day?", question.body["seed"]))
}

#[test]
fn a_thousand_samples_of_one_prompt_have_a_thousand_seeds_and_ids() {
    let server = ModelServer::start(answer);
    let dir = project();
    let urls = ["instructor", "responder", "tagger"]
        .map(|model| format!("models.{model}.base_urls=[\"{}\"]", server.url));
    let mut words =
        vec!["-q", "run", "pipelines/recipes/magpie.yaml", "--var", "samples=1000", "--out", "out"];
    urls.iter().for_each(|url| words.extend(["--set", url]));
    synthmill(dir.path(), &words, 0);
    let questions = server.questions();
    let raw: Vec<&Question> =
        questions.iter().filter(|question| !question.path.ends_with("/chat/completions")).collect();
    assert_eq!((raw.len(), questions.len()), (1000, 3000));
    for question in &raw {
        assert!(question.path.ends_with("/v1/completions"), "{}", question.path);
        assert_eq!(question.body["prompt"], TEMPLATE, "the template's bytes and nothing else");
        for key in ["messages", "role", "system"] {
            assert_eq!(question.body.get(key), None, "{}", question.body);
        }
        assert!(question.body["stop"].as_array().unwrap().contains(&json!("<|im_end|>")));
    }
    let seeds: BTreeSet<String> = raw.iter().map(|question| question.body["seed"].to_string()).collect();
    assert_eq!(seeds.len(), 1000);
    let lines = lines(&dir.path().join("out"), "instructions.jsonl");
    let distinct =
        |field: &str| lines.iter().map(|line| line[field].to_string()).collect::<BTreeSet<_>>().len();
    assert_eq!((lines.len(), distinct("id"), distinct("instruction")), (1000, 1000, 1000));
    // The conversation does not hold the template: the instruction is the user's turn.
    let asked = questions.iter().filter(|question| question.prompt.starts_with("How do I learn"));
    for question in asked {
        assert_eq!(question.body["messages"].as_array().unwrap().len(), 1, "{}", question.body);
    }
}

#[test]
fn equal_instructions_are_not_collapsed() {
    let dir = project();
    let same = "models.instructor.mock={rules: [{answer: How do I learn to swim?}]}";
    let good = "models.tagger.mock={rules: [{answer: {intent: a, category: advice, difficulty: easy, quality: good}}]}";
    let made = Made::by(dir.path(), RECIPE, &["--var", "samples=300", "--set", same, "--set", good]);
    let ids: BTreeSet<String> = made.lines("chats.jsonl").iter().map(|line| line["id"].to_string()).collect();
    assert_eq!((ids.len(), made.lines("chats.jsonl").len()), (300, 300));
    assert_eq!(made.status["requests"], 900);
}

#[test]
fn what_is_no_instruction_is_dropped_with_the_reason_and_asked_no_further() {
    let dir = project();
    let rules = "models.instructor.mock={rules: [\
        {when: row % 10 == 0, answer: 'Hm?'}, \
        {when: row % 10 == 1, answer: 'Translate this into German:'}, \
        {when: row % 10 == 2, answer: 'assistant I can help you with that.'}, \
        {when: row % 10 == 3, answer: 'Say <|im_sep|> what it means.'}, \
        {when: row % 10 == 4, answer: 'Write a very long story about', finish_reason: length}, \
        {answer: 'Explain how the number {{ row }} is written in Roman numerals.'}]}";
    let tags = "models.tagger.mock={rules: [\
        {when: row % 10 == 5, answer: {intent: a, category: math, difficulty: easy, quality: average}}, \
        {answer: {intent: a, category: math, difficulty: easy, quality: excellent}}]}";
    let replies = "models.responder.mock={rules: [\
        {when: row % 10 == 6, answer: 'It is written', finish_reason: length}, {answer: 'It is written {{ row }}.'}]}";
    let made = Made::by(
        dir.path(),
        RECIPE,
        &["--var", "samples=200", "--set", rules, "--set", tags, "--set", replies],
    );
    for (reason, count) in [
        ("short", 20),
        ("ends_with_colon", 20),
        ("not_the_user", 40),
        ("cut_off", 20),
        ("low_quality", 20),
        ("response_cut_off", 20),
        ("ok", 60),
    ] {
        assert_eq!(made.ended(reason), count, "{reason}");
    }
    // 200 instructions, tags of the half that may be one, and an answer to those that are good.
    assert_eq!(made.status["requests"], 200 + 100 + 80);
    for line in made.lines("chats.jsonl") {
        assert_eq!(line["messages"][0]["role"], "user");
        assert!(line["messages"][0]["content"].as_str().unwrap().starts_with("Explain how"));
    }
}
