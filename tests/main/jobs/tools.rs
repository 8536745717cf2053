//! A conversation in which a model calls tools whose results another model invents.

use serde_json::{Value, json};

use crate::harness::{outputs, project, synthmill};

const PIPELINE: &str = r#"
name: tools
models:
  agent:
    provider: mock
    mock:
      rules:
        - when: messages | length == 1
          answer: ""
          tool_calls:
            - {id: a, type: function, function: {name: weather, arguments: '{"city": "Oslo"}'}}
            - {id: b, type: function, function: {name: weather, arguments: '{"city": "Bergen"}'}}
        - {answer: "Colder in Bergen."}
  world: {provider: mock, mock: {rules: [{answer: "{{ mock.prompt | length }} C"}]}}
stages:
  - generate: {count: 1}
  - set: {tools: [{type: function, function: {name: weather, parameters: {type: object}}}]}
  - add_message: {user: Where is it colder?}
  - repeat:
      times: 4
      while: (messages | last).role != 'assistant'
      stages:
        - llm: {model: agent, continue: messages, tools: tools, keep: [tool_calls]}
        - for_each:
            in: tool_calls | default([])
            at_least: 0
            collect: {into: results, fields: [result]}
            stages:
              - prompt: {user: "Degrees: {{ element.function.arguments }}"}
              - llm: {model: world, output: result}
        - add_message: {tool: "{{ call.arguments.city }}: {{ results[call.index].result }}"}
  - sink: {path: chats.jsonl, format: messages, fields: [tools]}
"#;

#[test]
fn calls_get_results_until_the_model_answers() {
    let dir = project();
    std::fs::write(dir.path().join("tools.yaml"), PIPELINE).unwrap();
    synthmill(dir.path(), &["run", "tools.yaml", "--out", "out"], 0);
    let lines = outputs(&dir.path().join("out"));
    let line: Value = serde_json::from_str(&lines["chats.jsonl"][0]).unwrap();
    let call = |id: &str, city: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": "weather", "arguments": format!("{{\"city\": \"{city}\"}}")}})
    };
    let result = |id: &str, content: &str| json!({"role": "tool", "tool_call_id": id, "name": "weather", "content": content});
    let expected = json!([
        {"role": "user", "content": "Where is it colder?"},
        {"role": "assistant", "content": "", "tool_calls": [call("a", "Oslo"), call("b", "Bergen")]},
        result("a", "Oslo: 25 C"),
        result("b", "Bergen: 27 C"),
        {"role": "assistant", "content": "Colder in Bergen."},
    ]);
    assert_eq!(line["messages"], expected);
    assert_eq!(line["tools"][0]["function"]["name"], "weather");
}
