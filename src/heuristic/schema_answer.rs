//! Fills any JSON schema with the words of a message, for users' own pipelines that run without a model.
//!
//! Each text property gets a different sentence of the message, chosen by the property's name if that says what is
//! wanted. Limits of length, count and range are kept; `pattern`, `not` and `if` are ignored. Planned questions come
//! here only if their schema asks for more than a question-answer pair.

use serde_json::{Map, Number, Value, json};

use super::draft::capitalized;
use super::passage::Passage;
use super::sentences::shorten;
use super::terms::key_terms;
use super::wording::{self, english_grammar};

/// How deep optional properties are filled, and references followed.
const OPTIONAL_DEPTH: usize = 3;
const DEEPEST: usize = 24;

/// A value that matches `schema`, built from `source`; `made` holds texts for the properties of the same names.
pub(super) fn fill(schema: &Value, source: &str, made: Option<&Value>) -> Value {
    let passage = passage(source);
    let order = passage.most_central(&passage.all(), passage.sentences.len());
    let mut filler = SchemaFiller { root: schema, passage: &passage, order, next: 0, made };
    filler.value(schema, "", 0)
}

/// The most central sentences of a message; the message itself if it has none.
pub(super) fn gist(source: &str) -> String {
    let passage = passage(source);
    let text = passage.compose(&passage.most_central(&passage.all(), 3));
    if text.is_empty() { source.trim().to_owned() } else { text }
}

/// The message as a passage, without the lines that only say what to do with it.
fn passage(source: &str) -> Passage {
    let mut passage = Passage::of(&json!({"text": source}), "", None);
    let orders = &english_grammar().instruction_verbs;
    let is_order = |first: &str, text: &str| orders.contains(first) || text.contains("JSON");
    if passage.sentences.iter().any(|one| !is_order(&one.words[0].lower, &one.text)) {
        passage.sentences.retain(|one| !is_order(&one.words[0].lower, &one.text));
    }
    passage
}

struct SchemaFiller<'a> {
    root: &'a Value,
    passage: &'a Passage,
    /// Sentences by position in the text, and the number of those used.
    order: Vec<usize>,
    next: usize,
    made: Option<&'a Value>,
}

impl<'a> SchemaFiller<'a> {
    fn value(&mut self, schema: &'a Value, name: &str, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::Null;
        }
        let Some(object) = schema.as_object() else { return self.text(&Map::new(), name) };
        if let Some(target) = object.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return found.map_or(Value::Null, |found| self.value(found, name, depth + 1));
        }
        if let Some(value) = object.get("const") {
            return value.clone();
        }
        if let Some(values) = object.get("enum").and_then(Value::as_array) {
            return self.one_of(values, name);
        }
        for word in ["anyOf", "oneOf"] {
            let Some(options) = object.get(word).and_then(Value::as_array) else { continue };
            let null = |option: &&Value| option.get("type").and_then(Value::as_str) == Some("null");
            if let Some(option) = options.iter().find(|option| !null(option)).or(options.first()) {
                return self.value(option, name, depth + 1);
            }
        }
        if let Some(parts) = object.get("allOf").and_then(Value::as_array)
            && !object.contains_key("properties")
        {
            return self.all_of(parts, name, depth);
        }
        match kind(object) {
            "object" => self.object(object, depth),
            "array" => self.array(object, name, depth),
            "integer" => self.number(object, true),
            "number" => self.number(object, false),
            "boolean" => Value::Bool(self.hash(name).is_multiple_of(2)),
            "null" => Value::Null,
            _ => self.text(object, name),
        }
    }

    /// A fixed number for a name and this message.
    fn hash(&self, name: &str) -> usize {
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes());
        for sentence in self.passage.sentences.iter().take(8) {
            hasher.update(sentence.text.as_bytes());
        }
        hasher.update(&self.next.to_le_bytes());
        usize::from(hasher.finalize().as_bytes()[0])
    }

    /// The value of an enumeration that the message names, or one by hash.
    fn one_of(&mut self, values: &[Value], name: &str) -> Value {
        let named =
            |value: &&Value| value.as_str().is_some_and(|text| !self.passage.containing(text).is_empty());
        let value = values.iter().find(named).or_else(|| values.get(self.hash(name) % values.len().max(1)));
        value.cloned().unwrap_or_default()
    }

    /// Several object schemas that apply together.
    fn all_of(&mut self, parts: &'a [Value], name: &str, depth: usize) -> Value {
        let mut all = Map::new();
        let mut last = Value::Null;
        for part in parts {
            match self.value(part, name, depth + 1) {
                Value::Object(fields) => all.extend(fields),
                other => last = other,
            }
        }
        if all.is_empty() { last } else { Value::Object(all) }
    }

    fn object(&mut self, schema: &'a Map<String, Value>, depth: usize) -> Value {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut fields = Map::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if property != &Value::Bool(false)
                && (depth < OPTIONAL_DEPTH || required.contains(&name.as_str()))
            {
                fields.insert(name.clone(), self.value(property, name, depth + 1));
            }
        }
        let other = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        for name in required {
            if !fields.contains_key(name) {
                fields.insert(name.to_owned(), self.value(other, name, depth + 1));
            }
        }
        for (part, name) in
            schema.get("allOf").and_then(Value::as_array).into_iter().flatten().zip(["part"; 64])
        {
            if let Value::Object(more) = self.value(part, name, depth + 1) {
                fields.extend(more);
            }
        }
        Value::Object(fields)
    }

    fn array(&mut self, schema: &'a Map<String, Value>, name: &str, depth: usize) -> Value {
        let size =
            |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let least = size("minItems").unwrap_or(0);
        let made = self.made.and_then(|made| made.get(name)).and_then(Value::as_array);
        let usual = match made {
            Some(made) => made.len(),
            None if depth <= OPTIONAL_DEPTH + 1 => 3,
            None => 0,
        };
        let prefix = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let items = schema.get("items");
        let open = items != Some(&Value::Bool(false));
        let mut count =
            least.max(usual).max(prefix.len()).min(size("maxItems").unwrap_or(usize::MAX)).min(1000);
        count = if open { count } else { count.min(prefix.len()) };
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let anything = &Value::Bool(true);
        let mut values: Vec<Value> = Vec::new();
        for index in 0..count {
            let of = prefix.get(index).or(items).unwrap_or(anything);
            let ready = made.and_then(|made| made.get(index)).filter(|_| kind_of(of) == "string");
            let mut value = ready.cloned().unwrap_or_else(|| self.value(of, name, depth + 1));
            if unique && values.contains(&value) {
                match another(of, &values) {
                    Some(other) => value = other,
                    None if values.len() >= least => break,
                    None => value = different(&value, index),
                }
            }
            values.push(value);
        }
        Value::Array(values)
    }

    fn number(&self, schema: &Map<String, Value>, whole: bool) -> Value {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let step = bound("multipleOf").filter(|step| *step > 0.0);
        let unit = step.unwrap_or(if whole { 1.0 } else { 0.5 });
        let low = bound("minimum")
            .or(bound("exclusiveMinimum").map(|low| if whole { low.floor() + 1.0 } else { low }));
        let above = |value: f64| bound("exclusiveMinimum").is_none_or(|low| value > low);
        let below = |value: f64| {
            bound("exclusiveMaximum").is_none_or(|high| value < high)
                && bound("maximum").is_none_or(|high| value <= high)
        };
        let fits = |value: f64| low.is_none_or(|low| value >= low) && above(value) && below(value);
        let stepped = |value: f64| step.is_none_or(|step| (value / step).fract() == 0.0);
        let words = self.passage.sentences.iter().flat_map(|sentence| &sentence.words);
        let named = words.filter_map(|word| word.lower.parse::<f64>().ok()).find(|value| {
            value.is_finite() && fits(*value) && stepped(*value) && (!whole || value.fract() == 0.0)
        });
        let high = bound("maximum").or(bound("exclusiveMaximum"));
        let start =
            low.or(high.map(|high| high.min(1.0) - if high < 1.0 { unit } else { 0.0 })).unwrap_or(1.0);
        let first = if step.is_some() || whole { (start / unit).ceil() * unit } else { start };
        let middle = low.zip(high).map(|(low, high)| f64::midpoint(low, high));
        let value = named
            .or_else(|| [first, first + unit].into_iter().find(|value| fits(*value)))
            .or(middle)
            .unwrap_or(first);
        if whole { json!(value as i64) } else { Number::from_f64(value).map_or(Value::Null, Value::Number) }
    }

    fn text(&mut self, schema: &Map<String, Value>, name: &str) -> Value {
        let limit =
            |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let ready = self.made.and_then(|made| made.get(name)).and_then(Value::as_str).map(str::to_owned);
        let mut text = ready.unwrap_or_else(|| self.sentence(name));
        if let Some(most) = limit("maxLength")
            && text.chars().count() > most
        {
            let cut = shorten(&text, most.saturating_sub(2));
            text = cut.chars().take(most).collect();
        }
        let least = limit("minLength").unwrap_or(0);
        let filling = if text.trim().is_empty() { "…".to_owned() } else { format!(" {text}") };
        while text.chars().count() < least {
            text.push_str(&filling);
            text = text.chars().take(limit("maxLength").unwrap_or(usize::MAX)).collect();
        }
        Value::String(text)
    }

    /// A text for a property of this name.
    fn sentence(&mut self, name: &str) -> String {
        if self.order.is_empty() {
            return name.replace('_', " ");
        }
        let lower = name.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if has(&["question", "query"]) {
            return self.question();
        }
        if has(&["summary", "abstract", "answer", "description", "output", "response"]) {
            return self.passage.compose(&self.passage.most_central(&self.passage.all(), 3));
        }
        let index = self.order[self.next % self.order.len()];
        self.next += 1;
        let text = self.passage.sentences[index].with_full_stop();
        if has(&["title", "name", "topic", "headline", "label", "keyword", "tag", "term"]) {
            let terms = key_terms(self.passage, &[index]);
            return terms.first().map_or_else(|| shorten(&text, 50), |term| capitalized(&term.text));
        }
        text
    }

    fn question(&mut self) -> String {
        let terms = key_terms(self.passage, &self.order);
        let wordings = &self.passage.phrases.fact;
        let Some(term) = terms.get(self.next % terms.len().max(1)) else {
            return format!(
                "{}?",
                shorten(&self.passage.sentences[self.order[0]].text, 80).trim_end_matches(['.', '!', '?'])
            );
        };
        self.next += 1;
        capitalized(&wording::fill(&wordings[0], &[("term", term.shown.as_str())]))
    }
}

/// The type of a schema: the first that is not null, or the one that its keywords imply.
fn kind(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut names = kinds.iter().filter_map(Value::as_str);
            names.clone().find(|kind| *kind != "null").or(names.next()).unwrap_or("string")
        }
        _ if schema.contains_key("properties") || schema.contains_key("required") => "object",
        _ if schema.contains_key("items") || schema.contains_key("prefixItems") => "array",
        _ if schema.contains_key("minimum") || schema.contains_key("maximum") => "number",
        _ => "string",
    }
}

fn kind_of(schema: &Value) -> &str {
    schema.as_object().map_or("string", kind)
}

/// A value of an enumeration that is not among `values`.
fn another(schema: &Value, values: &[Value]) -> Option<Value> {
    let all = schema.get("enum").and_then(Value::as_array)?;
    all.iter().find(|value| !values.contains(value)).cloned()
}

/// A value like `value` that differs from it.
fn different(value: &Value, index: usize) -> Value {
    match value {
        Value::String(text) => Value::String(format!("{text} ({})", index + 1)),
        Value::Number(number) => json!(number.as_i64().unwrap_or(0) + i64::try_from(index).unwrap_or(0)),
        Value::Bool(truth) => Value::Bool(!truth),
        other => other.clone(),
    }
}
