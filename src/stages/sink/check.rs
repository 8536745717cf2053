//! Checks the options of a `sink`: fields that no stage sets, options that its format does not read, columns that
//! would replace each other.

use super::{ASSISTANT, MESSAGES, Sink, TOOLS, USER};
use crate::formats::Format;
use crate::pipeline::{CheckContext, FieldType};

impl Sink {
    /// Checks the parts of records that the format reads.
    pub(super) fn check_format(&self, context: &mut CheckContext<'_>) {
        if self.format.is_conversation() {
            self.check_conversation(context);
        }
        let given = self.part_options();
        for part in self.format.parts() {
            let option = given.iter().find(|(name, _)| *name == part.name).and_then(|(_, field)| *field);
            match option {
                Some(field) => context.needs_type(&format!("/{}", part.name), field, &(part.kind)()),
                None if !part.is_required => {}
                None => needs_default(context, part.name, &(part.kind)()),
            }
        }
        for (option, is_given) in self.options_of_formats() {
            if is_given && !self.reads(option) {
                context
                    .problem(&format!("/{option}"), format!("the format does not read `{option}`"))
                    .on_key()
                    .expected(self.read_options());
            }
        }
        if self.format == Format::Verl && self.data_source.is_none() {
            context
                .problem("", "`verl` chooses the reward function by `data_source`, and there is none")
                .expected("`data_source`, the name of the data set");
        }
        for (at, text) in [
            ("/system", &self.system),
            ("/data_source", &self.data_source),
            ("/ability", &self.ability),
            ("/agent", &self.agent),
        ] {
            if let Some(text) = text {
                context.render(at, text);
            }
        }
    }

    /// The options that only some formats read, and whether they are given.
    fn options_of_formats(&self) -> Vec<(&'static str, bool)> {
        let parts = self.part_options().into_iter().map(|(name, field)| (name, field.is_some()));
        let others = [
            ("user", self.user.is_some()),
            ("assistant", self.assistant.is_some()),
            ("turns", self.turns.is_some()),
            ("neutral", self.neutral.is_some()),
            ("data_source", self.data_source.is_some()),
            ("ability", self.ability.is_some()),
            ("agent", self.agent.is_some()),
        ];
        parts.chain(others).collect()
    }

    /// Whether the format reads this option.
    fn reads(&self, option: &str) -> bool {
        match option {
            // So that a pipeline can switch between formats of a conversation and `raw`.
            "user" | "assistant" => self.format.is_conversation() || self.format == Format::Raw,
            "turns" => self.format.has_turn_forms(),
            "neutral" => self.format == Format::Stepwise,
            "data_source" | "ability" => self.format == Format::Verl,
            "agent" => self.format == Format::NemoGym,
            part => self.format.parts().iter().any(|read| read.name == part),
        }
    }

    fn read_options(&self) -> String {
        let options = self.options_of_formats();
        let read: Vec<&str> = options.iter().map(|(name, _)| *name).filter(|name| self.reads(name)).collect();
        format!("one of `{}`", read.join("`, `"))
    }

    /// Checks the names and types of columns.
    pub(super) fn check_columns(&self, context: &mut CheckContext<'_>) {
        let own = self.format.keys();
        for (column, name) in &self.columns {
            let at = crate::pipeline::document::join("/columns", column);
            if !own.contains(&column.as_str()) {
                let problem = context.problem(&at, format!("the format has no column `{column}`")).on_key();
                match own {
                    [] => problem.hint("`fields` says which fields are written"),
                    own => problem.expected(format!("one of `{}`", own.join("`, `"))),
                };
            } else if own.iter().any(|other| other != column && self.name_of(other) == name) {
                context.problem(&at, format!("two columns would have the name `{name}`"));
            }
        }
        let names: Vec<&str> = own.iter().map(|column| self.name_of(column)).collect();
        for (index, field) in self.fields.iter().enumerate() {
            let at = format!("/fields/{index}");
            if names.contains(&field.as_str()) && !(field == MESSAGES && self.takes_messages()) {
                let message =
                    format!("the format writes a `{field}` of its own, which the field would replace");
                context.problem(&at, message).expected("a field of another name");
            } else if !["id", "record_id"].contains(&field.as_str()) {
                context.needs(&at, field);
            }
        }
        let every = self.format == Format::Raw && self.fields.is_empty();
        for (field, kind) in &self.types {
            let at = crate::pipeline::document::join("/types", field);
            if !every && !self.fields.contains(field) {
                let problem = context.problem(&at, format!("`{field}` is none of `fields`")).on_key();
                problem.expected("a field that is written; the format's own columns have types of their own");
            } else {
                context.needs_type(&at, field, &kind.field_type());
            }
        }
    }

    /// Checks that the fields of the conversation exist and can be one.
    fn check_conversation(&self, context: &mut CheckContext<'_>) {
        if !self.takes_messages() || !context.knows(MESSAGES) {
            needs_turn(context, "user", self.user.as_deref(), USER);
            needs_turn(context, "assistant", self.assistant.as_deref(), ASSISTANT);
            return;
        }
        let kind = context.type_of(MESSAGES);
        if context.has(MESSAGES) && !kind.could_be(&FieldType::messages()) {
            context
                .problem("", format!("`{MESSAGES}`, which is the conversation by default, is {kind}"))
                .expected("a list of messages, each with `role` and `content`")
                .hint("name the fields that hold the turns: `user: FIELD`, `assistant: FIELD`");
        }
    }

    /// Checks that lines have the key from which an array is made.
    pub(super) fn check_element(&self, context: &mut CheckContext<'_>) {
        let Some(element) = self.array.as_ref().and_then(|array| array.element.as_deref()) else { return };
        let written = |name: &&str| !name.is_empty();
        let provenance = if self.provenance.is_empty() { "" } else { "provenance" };
        let own = self.format.keys().iter().map(|column| self.name_of(column));
        let own = own.chain(self.fields.iter().map(String::as_str));
        let mut known: Vec<&str> = own.chain([provenance]).filter(written).collect();
        known.dedup();
        let every = self.format == Format::Raw && self.fields.is_empty();
        if every && provenance != element {
            context.needs("/array/element", element);
        } else if !every && !known.contains(&element) && element != TOOLS {
            let problem = context.problem("/array/element", format!("lines have no key `{element}`"));
            problem.expected(format!("one of `{}`", known.join("`, `")));
        }
    }
}

/// Reports a part whose default field no earlier stage sets or has another type; at the stage, since no option names
/// it.
fn needs_default(context: &mut CheckContext<'_>, part: &str, wanted: &FieldType) {
    let kind = context.type_of(part);
    let message = match context.knows(part) {
        true if kind.could_be(wanted) => return,
        true => format!("`{part}`, which the format reads, is {kind}"),
        false => format!("no earlier stage makes `{part}`, which the format reads"),
    };
    let hint = format!("name the field that holds it: `{part}: FIELD`");
    context.problem("", message).expected(wanted.to_string()).hint(hint);
}

/// Reports a turn's field that no earlier stage makes, or that cannot be a text; if no option names it, at the
/// stage.
fn needs_turn(context: &mut CheckContext<'_>, option: &str, given: Option<&str>, default: &str) {
    let Some(field) = given else {
        let kind = context.type_of(default);
        let message = match context.knows(default) {
            true if kind.could_be(&FieldType::text()) => return,
            true => format!("`{default}`, which is the {option}'s turn by default, is {kind}"),
            false => format!("no earlier stage makes `{default}`, which is the {option}'s turn by default"),
        };
        let expected = if context.knows(default) { "a text" } else { "a field that an earlier stage makes" };
        let hint = format!("name the field that holds it: `{option}: FIELD`");
        context.problem("", message).expected(expected).hint(hint);
        return;
    };
    context.needs_type(&format!("/{option}"), field, &FieldType::text());
}
