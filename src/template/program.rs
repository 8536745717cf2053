//! A template or expression ready to run: parsed, checked, with its operators rewritten, as the engine's code.
//!
//! minijinja compiles what it parses itself, and has no place to change the tree in between. So its parser, its code
//! generator and its interpreter are called here one after the other (`unstable_machinery`; the version is pinned).

use std::collections::BTreeMap;

use minijinja::machinery::{self, CodeGenerator, Instructions, ast, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Error, Value};
use self_cell::self_cell;

use super::environment::ENVIRONMENT;
use super::names::{self, NameUses};
use super::rewrite::Rewriter;
use super::{TemplateError, error_messages, foreign_operators, limits};

/// The name templates have in the engine's own errors.
const NAME: &str = "template";

/// Code that borrows the text it was made of.
struct Code<'s> {
    instructions: Instructions<'s>,
    blocks: BTreeMap<&'s str, Instructions<'s>>,
}

self_cell!(
    struct Compiled {
        owner: String,
        #[covariant]
        dependent: Code,
    }
);

/// What is run.
pub(super) struct Program {
    compiled: Compiled,
    /// What stands at the operators that are checked, and before filters.
    rewriter: Rewriter,
    pub(super) reads: NameUses,
}

/// What an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To decide.
    Condition,
    /// To be a value.
    Value,
}

impl Program {
    /// Compiles a template.
    pub(super) fn template(source: &str) -> Result<Self, TemplateError> {
        // A line that holds a statement alone leaves no line behind.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        limits::check(source, false, &syntax)?;
        Self::new(source, |source, rewriter| {
            let tree = machinery::parse(source, NAME, syntax).map_err(|error| {
                TemplateError::from(error).or_hint(|| foreign_operators::in_template(source))
            })?;
            let reads = names::of_statement(source, &tree)?;
            let mut code = CodeGenerator::new(NAME, source);
            code.compile_stmt(&rewriter.statement(&tree));
            Ok((code, reads))
        })
    }

    /// Compiles an expression.
    pub(super) fn expression(source: &str, purpose: Purpose) -> Result<Self, TemplateError> {
        limits::check(source, true, &SyntaxConfig::default())?;
        Self::new(source, |source, rewriter| {
            let tree: ast::Expr<'_> = machinery::parse_expr(source).map_err(|error| {
                TemplateError::from(error).or_hint(|| foreign_operators::in_expression(source))
            })?;
            let reads = names::of_expression(source, &tree)?;
            let tree = match purpose {
                Purpose::Condition => rewriter.condition(&tree),
                Purpose::Value => rewriter.expression(&tree),
            };
            let mut code = CodeGenerator::new(NAME, source);
            code.compile_expr(&tree);
            Ok((code, reads))
        })
    }

    fn new(
        source: &str,
        compile: impl for<'s> FnOnce(
            &'s str,
            &mut Rewriter,
        ) -> Result<(CodeGenerator<'s>, NameUses), TemplateError>,
    ) -> Result<Self, TemplateError> {
        let mut rewriter = Rewriter::default();
        let mut reads = NameUses::default();
        let compiled = Compiled::try_new(source.to_owned(), |source| {
            let (code, read) = compile(source, &mut rewriter)?;
            reads = read;
            let (instructions, blocks) = code.finish();
            Ok::<_, TemplateError>(Code { instructions, blocks })
        })?;
        Ok(Self { compiled, rewriter, reads })
    }

    /// The text that a template makes.
    pub(super) fn render(&self, context: Value) -> Result<String, TemplateError> {
        let mut text = String::new();
        self.run(context, &mut text).map(|_| text)
    }

    /// The value of an expression.
    pub(super) fn value(&self, context: Value) -> Result<Value, TemplateError> {
        self.run(context, &mut String::new()).map(Option::unwrap_or_default)
    }

    fn run(&self, context: Value, text: &mut String) -> Result<Option<Value>, TemplateError> {
        let result: Result<Option<Value>, Error> = self.compiled.with_dependent(|_, code| {
            let mut output = make_string_output(text);
            let (instructions, blocks) = (&code.instructions, &code.blocks);
            machinery::eval(&ENVIRONMENT, instructions, context, blocks, &mut output, AutoEscape::None)
                .map(|(value, _)| value)
        });
        result.map_err(|error| error_messages::explain(&error, self.compiled.borrow_owner(), &self.rewriter))
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Program").field(self.compiled.borrow_owner()).finish()
    }
}
