//! `prompt`: renders the question to a model from a record's fields.
//!
//! Comes before `llm`, which sends the messages. Templates are compiled once; a field that no earlier stage makes
//! is reported when the pipeline is loaded. `images` decides which images are attached.

mod images;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::images::ImageSelector;
use super::{Role, StageDescription};
use crate::llm::SHARED_CHARS;
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};
use crate::template::Template;

/// Renders a system and a user message for a model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Prompt {
    /// The system message, as a Jinja template over the record's fields; left out when it renders to
    /// nothing.
    #[serde(default)]
    system: Option<String>,
    /// A file with the template of the system message.
    #[serde(default)]
    system_file: Option<String>,
    /// The beginning of the user message that many records share, such as the source of several questions: a Jinja
    /// template. `user` follows after an empty line. Servers cache shared prefixes; for an API that needs the end of
    /// the prefix marked, set `prompt_cache` on the model.
    #[serde(default)]
    shared: Option<String>,
    /// A file with the template of `shared`.
    #[serde(default)]
    shared_file: Option<String>,
    /// The user message, as a Jinja template over the record's fields.
    #[serde(default)]
    user: Option<String>,
    /// A file with the template of the user message.
    #[serde(default)]
    user_file: Option<String>,
    /// Text files that templates can use under these names, the same for every record: with `{context:
    /// config/context.txt}`, `{{ context }}` is the file's text. A path may name `vars`; an empty path is an empty
    /// text.
    #[serde(default)]
    texts: BTreeMap<String, String>,
    /// The images that are sent with the user message, for vision models: an expression whose value is a list, such
    /// as `section.images`, or a field with one or more paths. Paths name local PNG, JPEG, GIF or WebP files; those
    /// that cannot be sent are left out with a warning.
    #[serde(default)]
    images: Option<String>,
    /// A record with fewer images that can be sent is rejected.
    #[serde(default)]
    min_images: usize,
    /// The maximum number of images; further ones are not sent.
    #[serde(default = "max_images")]
    max_images: usize,
    /// The maximum size of an image, in bytes; larger ones are left out. Encoded in a request, an image takes a third
    /// more.
    #[serde(default = "max_image_bytes")]
    max_image_bytes: u64,
    /// The folder to which image paths in a record's field are relative; by default the working directory. May name
    /// `vars`.
    #[serde(default)]
    image_root: Option<String>,
    /// The field in which the messages are stored.
    #[serde(default = "output")]
    output: String,
}

fn output() -> String {
    "prompt".into()
}

fn max_images() -> usize {
    8
}

fn max_image_bytes() -> u64 {
    4 << 20
}

const PROMPT: ProducedField = ProducedField::named_by(
    "output",
    "prompt",
    FieldType::messages,
    "The messages: the system message, unless it is empty, and the user message, with `shared_chars`, the \
     number of characters that come from `shared`.",
);

impl StageDescription for Prompt {
    const NAME: &'static str = "prompt";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str =
        "Renders the system and user messages for a model from the record's fields, with Jinja templates.";
    const MAKES: &'static [ProducedField] = &[PROMPT];
    const EXAMPLE: &'static str = r#"name: prompt-example
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - prompt:
      system: You write short, exact summaries.
      user: |
        Summarise "{{ section.title }}" of {{ document.title }} in one sentence:
        {{ section.text }}
  - sink: {path: prompts.jsonl, format: raw, fields: [id, prompt]}
"#;
}

impl StageConfig for Prompt {
    fn check(&self, context: &mut CheckContext<'_>) {
        if self.user.is_none() && self.user_file.is_none() {
            context.problem("", "`prompt` has neither `user` nor `user_file`").expected("one of them");
        }
        let hidden = self.check_texts(context);
        for (name, inline, file) in [
            ("system", &self.system, &self.system_file),
            ("shared", &self.shared, &self.shared_file),
            ("user", &self.user, &self.user_file),
        ] {
            if let Some(source) = inline {
                context.template(&format!("/{name}"), source);
            }
            let Some(path) = file else { continue };
            let at = format!("/{name}_file");
            if inline.is_some() {
                context
                    .problem(&at, format!("`{name}` and `{name}_file` are both given"))
                    .expected("one of them");
            }
            let Some(path) = context.render(&at, path) else { continue };
            if let Some(source) = context.read_file(&at, &path) {
                context.template(&at, &source);
            }
        }
        self.check_images(context);
        context.removes(&hidden);
        context.makes_named(&PROMPT, &self.output);
        context.keeps_items();
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let user = template(context, self.user.as_deref(), self.user_file.as_deref())?
            .ok_or_else(|| BuildError::Other("neither `user` nor `user_file` is given".into()))?;
        let system = template(context, self.system.as_deref(), self.system_file.as_deref())?;
        let shared = template(context, self.shared.as_deref(), self.shared_file.as_deref())?;
        let texts = self.read_texts(context)?;
        Ok(Processor::Transform(Box::new(Renderer {
            system: system.map(|system| system.with_texts(&texts)),
            shared: shared.map(|shared| shared.with_texts(&texts)),
            user: user.with_texts(&texts),
            attached: self.attached(context)?,
            output: self.output.clone(),
        })))
    }
}

impl Prompt {
    /// Checks the text files and makes their names visible to the templates; returns those that must be removed
    /// again, since they are not fields.
    fn check_texts(&self, context: &mut CheckContext<'_>) -> Vec<&str> {
        let mut names = Vec::new();
        for (name, path) in &self.texts {
            let at = format!("/texts/{}", name.replace('~', "~0").replace('/', "~1"));
            if context.has(name) {
                let message = format!("records have a field `{name}`, which would hide the text");
                context.problem(&at, message).on_key().expected("a name that no stage makes");
                continue;
            }
            if let Some(path) = context.render(&at, path).filter(|path| !path.is_empty()) {
                context.read_file(&at, &path);
            }
            names.push(name.as_str());
        }
        names.iter().for_each(|name| context.makes_as(name, FieldType::text()));
        names
    }

    fn read_texts(&self, context: &BuildContext) -> Result<BTreeMap<String, String>, BuildError> {
        let mut texts = BTreeMap::new();
        for (name, path) in &self.texts {
            let path = context.render(path)?;
            let text = match path.as_str() {
                "" => String::new(),
                _ => context.read_file(path)?,
            };
            texts.insert(name.clone(), text.trim().to_owned());
        }
        Ok(texts)
    }
}

fn template(
    context: &BuildContext,
    inline: Option<&str>,
    file: Option<&str>,
) -> Result<Option<Template>, BuildError> {
    if let Some(source) = inline {
        return Ok(Some(context.template(source)?));
    }
    let Some(path) = file else { return Ok(None) };
    let path = context.render(path)?;
    Ok(Some(context.template(&context.read_file(path)?)?))
}

struct Renderer {
    system: Option<Template>,
    shared: Option<Template>,
    user: Template,
    attached: Option<ImageSelector>,
    output: String,
}

impl Transform for Renderer {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let mut messages = Vec::with_capacity(2);
        if let Some(system) = &self.system {
            let text = system.render(record)?;
            if !text.trim().is_empty() {
                messages.push(json!({"role": "system", "content": text.trim()}));
            }
        }
        let mut message = self.user_message(record)?;
        if let Some(attached) = &self.attached {
            let images = attached.of(record)?;
            if !images.is_empty() {
                message["images"] = images.into();
            }
        }
        messages.push(message);
        record.set(&self.output, messages);
        Ok(TransformOutput::Pass)
    }
}

impl Renderer {
    /// The user message: one text, with the length of its shared beginning.
    fn user_message(&self, record: &Record) -> Result<Value, StageError> {
        let user = self.user.render(record)?;
        let user = user.trim();
        let Some(shared) = &self.shared else { return Ok(json!({"role": "user", "content": user})) };
        let shared = shared.render(record)?;
        let shared = shared.trim();
        let between = if shared.is_empty() || user.is_empty() { "" } else { "\n\n" };
        let content = [shared, between, user].concat();
        Ok(json!({"role": "user", "content": content, SHARED_CHARS: shared.chars().count()}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{build, record};

    #[test]
    fn renders_both_messages_and_leaves_an_empty_system_message_out() {
        let part = build::<Prompt>(json!({"system": "{{ role }}", "user": "About {{ topic }}.\n"}));
        let Processor::Transform(part) = part else { panic!("not a transform") };
        let mut full = record(json!({"role": "Teacher", "topic": "tides"}));
        part.process(&mut full).unwrap();
        assert_eq!(
            full.fields["prompt"],
            json!([{"role": "system", "content": "Teacher"}, {"role": "user", "content": "About tides."}])
        );
        let mut bare = record(json!({"role": " ", "topic": "tides"}));
        part.process(&mut bare).unwrap();
        assert_eq!(bare.fields["prompt"], json!([{"role": "user", "content": "About tides."}]));
    }

    #[test]
    fn the_shared_part_comes_first_in_one_text() {
        let check = |topic: &str, question: &str, content: &str, shared: usize| {
            let part = build::<Prompt>(json!({"shared": "On {{ topic }}\n", "user": "\n{{ question }}"}));
            let Processor::Transform(part) = part else { panic!("not a transform") };
            let mut one = record(json!({"topic": topic, "question": question}));
            part.process(&mut one).unwrap();
            let expected = json!([{"role": "user", "content": content, "shared_chars": shared}]);
            assert_eq!(one.fields["prompt"], expected);
        };
        check("Öl.", "Why?", "On Öl.\n\nWhy?", 6);
        check("Öl.", " ", "On Öl.", 6);
    }

    #[test]
    fn texts_are_read_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.txt");
        std::fs::write(&path, "A library.\n").unwrap();
        let part = build::<Prompt>(json!({
            "user": "{% if none %}{{ none }}{% endif %}{{ context }} Ask about {{ topic }}.",
            "texts": {"context": path, "none": ""},
        }));
        let Processor::Transform(part) = part else { panic!("not a transform") };
        let mut one = record(json!({"topic": "fees"}));
        part.process(&mut one).unwrap();
        assert_eq!(one.fields["prompt"][0]["content"], "A library. Ask about fees.");
        assert_eq!(one.get("context"), None, "no field of the record");
    }

    #[test]
    fn a_missing_field_rejects_the_record() {
        let part = build::<Prompt>(json!({"user": "{{ topic }}"}));
        let Processor::Transform(part) = part else { panic!("not a transform") };
        let error = part.process(&mut record(json!({}))).unwrap_err();
        assert_eq!(error.class, "template");
    }
}
