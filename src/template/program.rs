//! A compiled template or expression: parsed, checked, with its operators rewritten, as bytecode.
//!
//! minijinja compiles what it parses itself, and offers no hook to change the tree in between. So its parser,
//! code generator and interpreter are called here one after the other (`unstable_machinery`; the version is
//! pinned).

use std::collections::BTreeMap;

use minijinja::machinery::{self, CodeGenerator, Instructions, ast, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Error, Value};
use self_cell::self_cell;

use super::environment::ENVIRONMENT;
use super::names::{self, NameUses};
use super::rewrite::Rewriter;
use super::{TemplateError, error_messages, foreign_operators, limits};

/// The name of templates in the engine's own errors.
const NAME: &str = "template";

/// Bytecode that borrows the text it was compiled from.
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

/// A compiled program.
pub(super) struct TemplateProgram {
    compiled: Compiled,
    /// The operands of checked operators, and of filters.
    rewriter: Rewriter,
    pub(super) reads: NameUses,
}

/// How an expression is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// As a condition.
    Condition,
    /// As a value.
    Value,
}

impl TemplateProgram {
    /// Compiles a template.
    pub(super) fn template(source: &str) -> Result<Self, TemplateError> {
        // A line with nothing but a statement is removed.
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

    /// Renders a template.
    pub(super) fn render(&self, context: Value) -> Result<String, TemplateError> {
        let mut text = String::new();
        self.run(context, &mut text).map(|_| text)
    }

    /// Evaluates an expression.
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

impl std::fmt::Debug for TemplateProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TemplateProgram").field(self.compiled.borrow_owner()).finish()
    }
}
