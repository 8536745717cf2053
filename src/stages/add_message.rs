//! `add_message`: adds a message to a conversation.
//!
//! Stands before `llm: {continue: ...}`, which adds the model's own. In a `repeat` the two make a conversation of many
//! turns; the results of tools that the model called are added here too.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Role, StageDescription};
use crate::pipeline::{CheckContext, FieldType, ProducedField};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};
use crate::template::Template;

/// The field that holds a call while its result is rendered.
const CALL: &str = "call";

/// Adds a message to a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddMessage {
    /// The field that holds the conversation, a list of messages; it is created if the record does not have it.
    #[serde(default = "messages")]
    to: String,
    /// A user message, as a Jinja template over the record's fields. Exactly one of `user`, `assistant`, `system` and
    /// `tool` must be given.
    #[serde(default)]
    user: Option<String>,
    /// An assistant message from a template; to append a model's answer, use `llm` with `continue`.
    #[serde(default)]
    assistant: Option<String>,
    /// A system message; most models accept only one, at the beginning.
    #[serde(default)]
    system: Option<String>,
    /// The result of a tool. The template is rendered once for each call in the assistant's last message that has no
    /// result yet, and each becomes a message; without such calls nothing is appended. The template can use `call`,
    /// with `index` (from 0), `name`, `arguments` (an object) and `id`: `"{{ results[call.index].answer }}"`.
    #[serde(default)]
    tool: Option<String>,
}

fn messages() -> String {
    "messages".into()
}

const CONVERSATION: ProducedField = ProducedField::named_by(
    "to",
    "messages",
    FieldType::messages,
    "The conversation, ending with the new message.",
);

impl StageDescription for AddMessage {
    const NAME: &'static str = "add_message";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Appends a message of the user, the assistant, the system or a tool to a conversation, which `llm` \
         can continue.";
    const MAKES: &'static [ProducedField] = &[CONVERSATION];
    const EXAMPLE: &'static str = r#"name: add-message-example
models:
  user: {provider: heuristic}
  assistant: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - add_message: {system: You know the manual and answer in a few sentences.}
  - repeat:
      times: 3
      stages:
        - prompt:
            system: You play a customer who has read a page of a manual. Write the next question only.
            user: |
              {{ section.text }}

              {% for message in messages if message.role != 'system' %}{{ message.role }}: {{ message.content }}
              {% endfor %}
        - llm: {model: user, output: question}
        - add_message: {user: "{{ question }}"}
        - llm: {model: assistant, continue: messages}
  - sink: {path: chats.jsonl, format: messages}
"#;
}

impl AddMessage {
    /// The messages that are given, each with its option's name, which is the message's role.
    fn given(&self) -> Vec<(&'static str, &str)> {
        let options = [
            ("user", &self.user),
            ("assistant", &self.assistant),
            ("system", &self.system),
            ("tool", &self.tool),
        ];
        options.into_iter().filter_map(|(role, text)| Some((role, text.as_deref()?))).collect()
    }
}

impl StageConfig for AddMessage {
    fn check(&self, context: &mut CheckContext<'_>) {
        let given = self.given();
        if given.is_empty() {
            context
                .problem("", "`add_message` adds nothing")
                .expected("one of `user`, `assistant`, `system` and `tool`");
        }
        for (role, _) in given.iter().skip(1) {
            context
                .problem(&format!("/{role}"), format!("`{}` is given already", given[0].0))
                .on_key()
                .expected("one message: a further one is a stage of its own");
        }
        if self.to.is_empty() || self.to.contains('.') || self.to == CALL {
            context
                .problem("/to", format!("`{}` cannot hold a conversation", self.to))
                .expected("the name of a field, without dots");
        } else if context.has(&self.to) {
            context.needs_type("/to", &self.to, &FieldType::messages().or_null());
        }
        for (role, source) in given {
            let at = format!("/{role}");
            match role {
                "tool" => check_with_call(context, &at, source),
                _ => drop(context.template(&at, source)),
            }
        }
        context.makes_named(&CONVERSATION, &self.to);
        context.keeps_items();
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let [(role, source)] = self.given()[..] else {
            return Err(BuildError::Other("not one message is given".into()));
        };
        Ok(Processor::Transform(Box::new(MessageAdder {
            to: self.to.clone(),
            role,
            text: context.template(source)?,
        })))
    }
}

/// Checks a template that can use `call`, a field that exists only while the template is rendered.
fn check_with_call(context: &mut CheckContext<'_>, at: &str, source: &str) {
    let before = context.has(CALL).then(|| context.type_of(CALL));
    let fields = [
        ("index", FieldType::integer()),
        ("id", FieldType::text().or_null()),
        ("name", FieldType::text().or_null()),
        ("arguments", FieldType::any()),
    ];
    let fields = fields.map(|(name, kind)| (name.to_owned(), kind));
    context.removes(&[CALL]);
    context.makes_as(CALL, FieldType::object_of(fields.into(), false));
    context.template(at, source);
    context.removes(&[CALL]);
    if let Some(before) = before {
        context.makes_as(CALL, before);
    }
}

struct MessageAdder {
    to: String,
    role: &'static str,
    text: Template,
}

impl Transform for MessageAdder {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let added = match self.role {
            "tool" => self.results(record)?,
            role => vec![json!({"role": role, "content": self.content(record)?})],
        };
        match record.fields.get_mut(&self.to) {
            Some(Value::Array(messages)) => messages.extend(added),
            None | Some(Value::Null) => record.set(&self.to, added),
            Some(_) => {
                let message = format!("`{}` is no list of messages", self.to);
                return Err(StageError::new("input", message));
            }
        }
        Ok(TransformOutput::Pass)
    }
}

impl MessageAdder {
    fn content(&self, record: &Record) -> Result<String, StageError> {
        let text = self.text.render(record)?;
        match text.trim() {
            "" => Err(StageError::new("empty_message", format!("the message of `{}` is empty", self.role))),
            text => Ok(text.to_owned()),
        }
    }

    /// A message for each call that has no result yet. A result may be empty.
    fn results(&self, record: &mut Record) -> Result<Vec<Value>, StageError> {
        let calls = open_calls(record.get(&self.to));
        let hidden = record.fields.get(CALL).cloned();
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            record.set(CALL, call.as_template_sees_it());
            let text = self.text.render(record);
            match &hidden {
                Some(before) => record.set(CALL, before.clone()),
                None => drop(record.fields.shift_remove(CALL)),
            }
            results.push(call.result(text?.trim()));
        }
        Ok(results)
    }
}

/// A call of a tool that waits for its result.
struct OpenCall {
    index: usize,
    id: Option<Value>,
    name: Option<Value>,
    arguments: Value,
}

impl OpenCall {
    fn as_template_sees_it(&self) -> Value {
        json!({"index": self.index, "id": self.id, "name": self.name, "arguments": self.arguments})
    }

    fn result(self, text: &str) -> Value {
        let mut message = Map::new();
        message.insert("role".to_owned(), "tool".into());
        message.extend(self.id.map(|id| ("tool_call_id".to_owned(), id)));
        message.extend(self.name.map(|name| ("name".to_owned(), name)));
        message.insert("content".to_owned(), text.into());
        Value::Object(message)
    }
}

/// The calls of the last message, apart from results that follow it already, that have no result.
fn open_calls(messages: Option<&Value>) -> Vec<OpenCall> {
    let messages = messages.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_result = |message: &&Value| message.get("role").is_some_and(|role| role == "tool");
    let results: Vec<&Value> = messages.iter().rev().take_while(is_result).collect();
    let has_result = |id: Option<&Value>| results.iter().any(|result| result.get("tool_call_id") == id);
    let asking = messages.len().checked_sub(results.len() + 1).map(|at| &messages[at]);
    let calls = asking.and_then(|message| message.get("tool_calls")).and_then(Value::as_array);
    let calls = calls.into_iter().flatten().enumerate();
    calls
        .filter(|(_, call)| !has_result(call.get("id")))
        .map(|(index, call)| OpenCall {
            index,
            id: call.get("id").cloned(),
            name: call.pointer("/function/name").cloned(),
            arguments: arguments(call.pointer("/function/arguments")),
        })
        .collect()
}

/// The arguments of a call, which the API sends as JSON text; a text that is not JSON is kept as it is.
fn arguments(written: Option<&Value>) -> Value {
    match written {
        Some(Value::String(text)) if text.trim().is_empty() => json!({}),
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        Some(other) => other.clone(),
        None => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{build, record};

    /// The conversation after the stage, or the class of its error.
    fn after(config: Value, fields: Value) -> Result<Value, String> {
        let Processor::Transform(part) = build::<AddMessage>(config) else { panic!("not a transform") };
        let mut record = record(fields.clone());
        part.process(&mut record).map_err(|error| error.class.into_owned())?;
        assert_eq!(record.get(CALL), fields.get(CALL));
        Ok(record.get("messages").cloned().unwrap())
    }

    #[test]
    fn a_message_is_added_and_the_list_made_where_there_is_none() {
        let first = json!({"role": "system", "content": "Be brief."});
        let asked = json!({"role": "user", "content": "What is tea?"});
        let config = json!({"user": " What is {{ topic }}?\n"});
        for (messages, expected) in [
            (json!({}), json!([asked])),
            (json!({"messages": null}), json!([asked])),
            (json!({"messages": []}), json!([asked])),
            (json!({"messages": [first]}), json!([first, asked])),
        ] {
            let mut fields = messages;
            fields["topic"] = json!("tea");
            assert_eq!(after(config.clone(), fields), Ok(expected));
        }
        assert_eq!(after(json!({"system": "Be brief."}), json!({})), Ok(json!([first])));
        let answer = json!([{"role": "assistant", "content": "Hello."}]);
        assert_eq!(after(json!({"assistant": "Hello."}), json!({})), Ok(answer));
    }

    #[test]
    fn what_is_no_message_is_an_error_of_the_record() {
        let class = |class: &str| Err(class.to_owned());
        assert_eq!(after(json!({"user": "{{ topic }}"}), json!({"topic": " "})), class("empty_message"));
        assert_eq!(after(json!({"user": "Hi"}), json!({"messages": "Hi"})), class("input"));
        assert_eq!(after(json!({"user": "{{ missing }}"}), json!({})), class("template"));
    }

    #[test]
    fn results_are_added_for_calls_that_have_none() {
        let call = |id: &str, city: &str| {
            json!({"id": id, "type": "function",
                "function": {"name": "weather", "arguments": format!("{{\"city\": \"{city}\"}}")}})
        };
        let result = |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "name": "weather", "content": text});
        let asked = json!({"role": "user", "content": "Oslo and Bergen?"});
        let calls = json!({"role": "assistant", "content": "", "tool_calls": [call("a", "Oslo"), call("b", "Bergen")]});
        let config = json!({"tool": "{{ degrees[call.index] }} C in {{ call.arguments.city }}"});
        let check = |messages: Value, added: &[Value]| {
            let mut expected = messages.as_array().cloned().unwrap();
            expected.extend_from_slice(added);
            let fields = json!({"messages": messages, "degrees": [12, 9], "call": "kept"});
            assert_eq!(after(config.clone(), fields), Ok(Value::from(expected)));
        };
        let (oslo, bergen) = (result("a", "12 C in Oslo"), result("b", "9 C in Bergen"));
        check(json!([asked, calls]), &[oslo.clone(), bergen.clone()]);
        check(json!([asked, calls, oslo]), std::slice::from_ref(&bergen));
        check(json!([asked, calls, bergen]), std::slice::from_ref(&oslo));
        check(json!([asked, calls, oslo, bergen]), &[]);
        check(json!([asked, {"role": "assistant", "content": "Cold."}]), &[]);
        check(json!([asked]), &[]);
        check(json!([]), &[]);
    }

    #[test]
    fn arguments_are_read_where_they_are_json() {
        for (written, expected) in [
            (json!("{\"a\": 1}"), json!({"a": 1})),
            (json!(""), json!({})),
            (json!("Oslo"), json!("Oslo")),
            (json!({"a": 1}), json!({"a": 1})),
        ] {
            assert_eq!(arguments(Some(&written)), expected);
        }
    }

    #[test]
    fn implausible_options_are_refused() {
        for (config, expected) in [
            (json!({"user": "{{ text }}"}), ""),
            (json!({"tool": "{{ call.name }} {{ text }}"}), ""),
            (json!({"to": "talk", "user": "Hi"}), ""),
            (json!({}), "`add_message` adds nothing"),
            (json!({"user": "Hi", "system": "Be brief."}), "`user` is given already"),
            (json!({"user": "{{ call.name }}"}), "no earlier stage makes `call.name`"),
            (json!({"tool": "{{ call.nam }}"}), "no earlier stage makes `call.nam`"),
            (json!({"to": "text", "user": "Hi"}), "`text` is a text"),
            (json!({"to": "a.b", "user": "Hi"}), "`a.b` cannot hold a conversation"),
            (json!({"to": "call", "user": "Hi"}), "`call` cannot hold a conversation"),
        ] {
            let declared: AddMessage = serde_json::from_value(config.clone()).unwrap();
            let (vars, models) = Default::default();
            let mut context = CheckContext::new(&vars, &models);
            context.makes_as("text", FieldType::text());
            declared.check(&mut context);
            let found: Vec<&str> = context.problems().iter().map(|problem| &*problem.message).collect();
            assert_eq!(found.len(), usize::from(!expected.is_empty()), "{config}: {found:?}");
            assert!(found.concat().contains(expected), "{config}: {found:?}");
        }
    }
}
