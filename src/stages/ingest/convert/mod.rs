//! `convert`: programs that make Markdown of files which `ingest` does not read itself.
//!
//! This file has the options and their check: which files a converter is for, and whether its program exists. `run`
//! runs it, once a file, and keeps the outcome. What it wrote is read as a document (`document`).

mod run;

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

pub(super) use self::run::FileConverters;
use super::files;
use crate::pipeline::CheckContext;
use crate::sandbox::SandboxMode;
use crate::stages::exec::check::check_program;
use crate::stages::exec::command::Argument;

/// What stands for the file in the arguments of a converter.
pub(super) const PATH: &str = "{path}";

/// The converters by the globs of their files, in the order of the pipeline.
#[derive(Debug, Clone, Default)]
pub(super) struct Converters(Vec<(String, Converter)>);

/// A program that makes Markdown of a file: its command, or a map with more options.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Converter {
    /// The program and its arguments, in which `{path}` stands for the absolute path of the file.
    Command(Vec<String>),
    /// With options.
    Options(ConverterOptions),
}

/// The options of a converter.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConverterOptions {
    /// The program and its arguments, in which `{path}` stands for the absolute path of the file. A name without `/` is
    /// looked up in `/usr/local/bin`, `/usr/bin` and `/bin`; no shell interprets the arguments.
    command: Vec<String>,
    /// The most seconds that it may take for a file.
    #[serde(default = "timeout")]
    timeout: f64,
    /// Whether it must run in a sandbox. `off` is for programs that you trust with what is in the files.
    #[serde(default)]
    sandbox: SandboxMode,
}

fn timeout() -> f64 {
    60.0
}

impl Converter {
    fn command(&self) -> &[String] {
        match self {
            Self::Command(command) => command,
            Self::Options(options) => &options.command,
        }
    }

    fn timeout(&self) -> f64 {
        match self {
            Self::Command(_) => timeout(),
            Self::Options(options) => options.timeout,
        }
    }

    fn sandbox(&self) -> SandboxMode {
        match self {
            Self::Command(_) => SandboxMode::default(),
            Self::Options(options) => options.sandbox,
        }
    }

    /// Where the command stands below the converter.
    fn command_at(&self) -> &'static str {
        match self {
            Self::Command(_) => "",
            Self::Options(_) => "/command",
        }
    }

    /// Reports what is wrong with the converter at `at`.
    fn check(&self, context: &mut CheckContext<'_>, at: &str) {
        let timeout = self.timeout();
        if !(timeout > 0.0 && timeout <= 86_400.0) {
            context
                .problem(&format!("{at}/timeout"), format!("found the number `{timeout}`"))
                .expected("more than 0 seconds, and at most a day");
        }
        let at = format!("{at}{}", self.command_at());
        let Some((program, arguments)) = self.command().split_first() else {
            context.problem(&at, "the command is empty").expected("a program and its arguments");
            return;
        };
        check_program(context, &format!("{at}/0"), program);
        let mut names_file = false;
        for (index, argument) in (1..).zip(arguments) {
            let Some(argument) = context.render(&format!("{at}/{index}"), argument) else { continue };
            names_file |= argument.contains(PATH);
            if let Argument::Path(path) = Argument::of(&argument)
                && path.is_file()
            {
                context.depends_on(&argument);
            }
        }
        if !names_file {
            context
                .problem(&at, "no argument names the file that is converted")
                .expected(format!("an argument with `{PATH}`, which stands for its path"));
        }
    }
}

impl Converters {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of the converter of a file: the first whose glob matches it.
    fn of(&self, path: &str) -> Option<usize> {
        self.0.iter().position(|(glob, _)| is_match(glob, path))
    }

    /// Whether a file is converted.
    pub(super) fn convert(&self, path: &str) -> bool {
        self.of(path).is_some()
    }

    /// How the converters are confined; `None` if there are none.
    pub(super) fn sandbox(&self) -> Option<SandboxMode> {
        let mut modes = self.0.iter().map(|(_, converter)| converter.sandbox());
        let first = modes.next()?;
        Some(modes.find(|mode| *mode == SandboxMode::Required).unwrap_or(first))
    }

    /// Reports what is wrong with the converters.
    pub(super) fn check(&self, context: &mut CheckContext<'_>) {
        for (glob, converter) in &self.0 {
            let at = at(glob);
            if let Err(message) = files::compile(glob) {
                context.problem(&at, message).on_key().expected("a glob such as `*.rst`");
            }
            converter.check(context, &at);
        }
    }

    /// Warns of converters that none of the files are for.
    pub(super) fn check_use(&self, context: &mut CheckContext<'_>, files: &[&str]) {
        for (index, (glob, _)) in self.0.iter().enumerate() {
            if files.iter().any(|file| self.of(file) == Some(index)) {
                continue;
            }
            let message = match files.iter().find(|file| is_match(glob, file)) {
                Some(file) => format!("`{glob}` converts no file: an earlier glob matches `{file}` first"),
                None => format!("`{glob}` converts no file: no file of `paths` matches it"),
            };
            context.warning(&at(glob), message);
        }
    }
}

fn is_match(glob: &str, path: &str) -> bool {
    // A glob that does not compile was reported.
    files::compile(glob).is_ok_and(|glob| files::is_match(&glob, path))
}

/// The place of a converter in the body of the stage.
fn at(glob: &str) -> String {
    format!("/convert/{}", glob.replace('~', "~0").replace('/', "~1"))
}

impl<'de> Deserialize<'de> for Converters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Converters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a map of globs to commands")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Converters, A::Error> {
                let mut converters = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    converters.push(entry);
                }
                Ok(Converters(converters))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl JsonSchema for Converters {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Converters".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        std::collections::BTreeMap::<String, Converter>::json_schema(generator)
    }
}
