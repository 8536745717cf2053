//! The check of `judge`'s options: their combinations, the names they use, and the fields that the stage sets.

use serde_json::{Map, Value};

use super::answer::TAKEN;
use super::{
    ANSWERED_BY, CandidateOrder, JUDGEMENT, JUDGING, Judge, JudgeMode, PREFERRED, RATINGS, REASONS, SCORE,
    answered_by, preferred, score,
};
use crate::nearest::one_of;
use crate::pipeline::{CheckContext, FieldType, RESERVED_PARAMS};

/// The maximum number of ratings on a scale: each is a choice in the schema of the answer.
const MOST_NUMBERS: i64 = 101;
/// The maximum number of votes.
const MOST_VOTES: u32 = 100;

impl Judge {
    pub(super) fn check_options(&self, context: &mut CheckContext<'_>) {
        context.model("/model", &self.model);
        let names = self.check_aspects(context);
        self.check_combinations(context);
        self.check_numbers(context);
        for name in RESERVED_PARAMS.iter().filter(|name| self.params.contains_key(**name)) {
            context
                .problem(&format!("/params/{name}"), format!("`{name}` cannot be set in `params`"))
                .expected("a sampling parameter such as `temperature` or `max_tokens`")
                .on_key();
        }
        for problem in self.on_error.problems() {
            context.problem("/on_error", problem);
        }
        if let Some(question) = &self.question {
            context.template("/question", question);
        }
        self.check_prompts(context);
        let candidate = self.check_texts(context);
        self.declare_fields(context, candidate, &names);
    }

    /// Checks the aspects and returns their names.
    fn check_aspects(&self, context: &mut CheckContext<'_>) -> Vec<String> {
        let mut aspects = self.aspects.clone();
        let mut at = "/aspects";
        if let Some(path) = &self.aspects_file {
            if !self.aspects.is_empty() {
                context
                    .problem("/aspects_file", "`aspects` and `aspects_file` are both given")
                    .expected("one of them");
            }
            at = "/aspects_file";
            let Some(path) = context.render(at, path) else { return Vec::new() };
            let Some(text) = context.read_file(at, &path) else { return Vec::new() };
            match aspects_of(&text) {
                Ok(found) => aspects = found,
                Err(message) => {
                    context.problem(at, format!("`{path}`: {message}"));
                    return Vec::new();
                }
            }
        }
        if aspects.is_empty() && self.mode == JudgeMode::Rate {
            let problem =
                context.problem("", "nothing is rated: there are neither `aspects` nor `aspects_file`");
            problem.expected("`aspects`: a name and a rubric for each");
        }
        for (name, rubric) in &aspects {
            let at = if at == "/aspects" { format!("/aspects/{name}") } else { at.to_owned() };
            if TAKEN.contains(&name.as_str()) || !is_name(name) {
                context
                    .problem(&at, format!("`{name}` is no name of an aspect"))
                    .expected(format!("letters, digits and `_`; not {}", one_of(TAKEN)))
                    .on_key();
            } else if rubric.as_str().is_some_and(|rubric| rubric.trim().is_empty()) {
                context.problem(&at, format!("`{name}` has no rubric")).expected("what its ratings mean");
            }
        }
        let names: Vec<String> = aspects.keys().cloned().collect();
        for (index, name) in self.not_applicable.iter().enumerate().filter(|(_, name)| !names.contains(name))
        {
            context
                .problem(&format!("/not_applicable/{index}"), format!("there is no aspect `{name}`"))
                .expected(one_of(names.iter().map(String::as_str)));
        }
        names
    }

    /// Reports options that have no effect in combination with others.
    fn check_combinations(&self, context: &mut CheckContext<'_>) {
        if self.of.is_none() {
            if self.order.is_some() {
                context
                    .problem("/order", "one text has no order")
                    .on_key()
                    .hint("`of` names a list of candidates");
            }
            if self.mode == JudgeMode::Pairwise {
                context
                    .problem("/mode", "`pairwise` compares two candidates")
                    .hint("name their list with `of`");
            }
        }
        if self.mode == JudgeMode::Pairwise {
            let given = [
                ("scale", self.scale.is_some()),
                ("not_applicable", !self.not_applicable.is_empty()),
                ("separate", self.separate),
            ];
            for (name, _) in given.iter().filter(|(_, given)| *given) {
                context
                    .problem(
                        &format!("/{name}"),
                        format!("`{name}` is for ratings, which `pairwise` does not ask for"),
                    )
                    .on_key();
            }
        }
    }

    fn check_numbers(&self, context: &mut CheckContext<'_>) {
        if let Some([low, high]) = self.scale
            && (low >= high || high.saturating_sub(low) >= MOST_NUMBERS)
        {
            context.problem("/scale", format!("`[{low}, {high}]` is no scale")).expected(format!(
                "the lowest and the highest number, at most {MOST_NUMBERS} numbers in all"
            ));
        }
        if self.votes == 0 || self.votes > MOST_VOTES {
            context
                .problem("/votes", format!("found the number `{}`", self.votes))
                .expected(format!("a number from 1 to {MOST_VOTES}"));
        }
        let same_order = self.of.is_none() || self.order == Some(CandidateOrder::Given);
        let declared = context.models.get(&self.model).and_then(|model| model.params.get("temperature"));
        let temperature = self.params.get("temperature").or(declared).and_then(Value::as_f64);
        if self.votes > 1 && same_order && temperature == Some(0.0) {
            context.warning(
                "/votes",
                "each vote asks the same with `temperature: 0`, so that all votes will be equal",
            );
        }
    }

    /// Checks the messages' templates, which can use `judging`.
    fn check_prompts(&self, context: &mut CheckContext<'_>) {
        if context.has(JUDGING) {
            context
                .problem("", format!("records have a field `{JUDGING}`, which `judge` uses for its question"))
                .hint("rename it before");
            return;
        }
        context.makes_as(JUDGING, judging());
        let messages = [("system", &self.system, &self.system_file), ("user", &self.user, &self.user_file)];
        for (name, inline, file) in messages {
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
        context.removes(&[JUDGING]);
    }

    /// Checks that there are texts to judge. Returns the type of a candidate.
    fn check_texts(&self, context: &mut CheckContext<'_>) -> FieldType {
        let Some(of) = &self.of else {
            context.needs_type("/text", &self.text, &FieldType::text());
            return FieldType::any();
        };
        if context.knows(of) && !context.is_field(of) {
            context
                .problem("/of", format!("`{of}` is no field of its own"))
                .expected("the name of a field")
                .hint(format!("make it one with `set: {{candidates: {{expr: {of}}}}}`"));
            return FieldType::any();
        }
        context.needs_type("/of", of, &FieldType::any_list());
        let candidate = context.type_of(of).elements();
        let (first, _) = self.text.split_once('.').unwrap_or((&self.text, ""));
        if candidate.is_object() && candidate.has_names() && candidate.get(first).is_none() {
            let names: Vec<String> = candidate.fields().map(|(name, _)| name.to_owned()).collect();
            context
                .problem("/text", format!("the candidates of `{of}` have no `{}`", self.text))
                .expected(one_of(names.iter().map(String::as_str)));
        }
        candidate
    }

    fn declare_fields(&self, context: &mut CheckContext<'_>, candidate: FieldType, names: &[String]) {
        let of_aspects = |kind: FieldType| {
            FieldType::object_of(names.iter().map(|name| (name.clone(), kind.clone())).collect(), false)
        };
        let made = [
            (RATINGS, of_aspects(FieldType::number().or_null())),
            (REASONS, FieldType::object()),
            (SCORE, score()),
        ];
        match (&self.of, self.mode) {
            (Some(_), JudgeMode::Pairwise) => context.makes_as(PREFERRED, preferred()),
            (Some(of), JudgeMode::Rate) => {
                let mut rated = match candidate.is_object() {
                    true => candidate,
                    false if candidate.is_text() => FieldType::object_of(
                        vec![("index".into(), FieldType::integer()), (self.text.clone(), FieldType::text())],
                        false,
                    ),
                    false => FieldType::object(),
                };
                for (name, kind) in made {
                    rated = rated.with(name, kind);
                }
                context.makes_as(of, FieldType::list(rated));
            }
            (None, _) => made.into_iter().for_each(|(name, kind)| context.makes_as(name, kind)),
        }
        context.makes_as(ANSWERED_BY, answered_by());
        context.makes_named(&JUDGEMENT, &self.into);
    }
}

/// The type of `judging`, the field that the messages' templates can use.
fn judging() -> FieldType {
    let aspect = FieldType::object_of(
        vec![
            ("name".into(), FieldType::text()),
            ("rubric".into(), FieldType::text()),
            ("not_applicable".into(), FieldType::boolean()),
        ],
        false,
    );
    FieldType::object_of(
        vec![
            ("texts".into(), FieldType::texts()),
            ("question".into(), FieldType::text().or_null()),
            ("aspects".into(), FieldType::list(aspect)),
            ("low".into(), FieldType::integer()),
            ("high".into(), FieldType::integer()),
            ("list".into(), FieldType::boolean()),
            ("form".into(), FieldType::text()),
        ],
        false,
    )
}

fn is_name(name: &str) -> bool {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    letters && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// Reads a file of aspects.
pub(super) fn aspects_of(text: &str) -> Result<Map<String, Value>, String> {
    let aspects: Map<String, Value> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    match aspects.iter().find(|(_, rubric)| !rubric.is_string()) {
        Some((name, _)) => Err(format!("the rubric of `{name}` is no text")),
        None => Ok(aspects),
    }
}
