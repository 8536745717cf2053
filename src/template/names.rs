//! The names in a template: what it uses of a record, and unknown filters, tests, functions, methods and
//! statements, which are refused before anything is rendered.
//!
//! Jinja resolves names while it renders, when a model may have been paid already. Here a template's tree is
//! visited once, with the names visible at each point; `template` compiles and renders.

use std::collections::{BTreeSet, HashSet};

use minijinja::ErrorKind;
use minijinja::machinery::Span;
use minijinja::machinery::ast::{Call, CallArg, CallType, Expr, Macro, Spanned, Stmt};

use super::TemplateError;
use super::environment::ENVIRONMENT;
use super::known_names::{FILTERS, FUNCTIONS, METHODS, TESTS, instead_of_method};
use super::regexes;
use super::values::RECORD;
use crate::nearest::nearest;

/// The names that a template uses and does not set itself.
#[derive(Debug, Default)]
pub(super) struct NameUses {
    /// The top-level names, without what follows a dot.
    pub(super) tops: BTreeSet<String>,
    /// The names, dotted if it reaches inside (`section.title`).
    pub(super) dotted: BTreeSet<String>,
    /// The fields it uses by `record["name"]`; `None` if it uses the record as a whole.
    pub(super) of_record: Option<BTreeSet<String>>,
}

/// Collects the names that `statement` uses; the error is the first unknown one.
pub(super) fn of_statement(source: &str, statement: &Stmt<'_>) -> Result<NameUses, TemplateError> {
    let mut walk = NameCollector::new(source);
    walk.statement(statement);
    walk.finish()
}

/// The same of an expression.
pub(super) fn of_expression(source: &str, expression: &Expr<'_>) -> Result<NameUses, TemplateError> {
    let mut walk = NameCollector::new(source);
    walk.expression(expression);
    walk.finish()
}

struct NameCollector<'s> {
    source: &'s str,
    /// Names set by the template, by scope.
    scopes: Vec<HashSet<String>>,
    reads: NameUses,
    error: Option<TemplateError>,
}

impl<'s> NameCollector<'s> {
    fn new(source: &'s str) -> Self {
        let reads = NameUses { of_record: Some(BTreeSet::new()), ..NameUses::default() };
        Self { source, scopes: vec![HashSet::new()], reads, error: None }
    }

    fn finish(self) -> Result<NameUses, TemplateError> {
        self.error.map_or(Ok(self.reads), Err)
    }

    fn statements(&mut self, statements: &[Stmt<'_>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(looped) => {
                self.expression(&looped.iter);
                self.scopes.push(HashSet::from(["loop".to_owned()]));
                self.assign(&looped.target);
                looped.filter_expr.iter().for_each(|filter| self.expression(filter));
                self.statements(&looped.body);
                self.scopes.pop();
                self.scopes.push(HashSet::new());
                self.statements(&looped.else_body);
                self.scopes.pop();
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr);
                self.statements(&condition.true_body);
                self.statements(&condition.false_body);
            }
            Stmt::WithBlock(with) => {
                self.scopes.push(HashSet::new());
                for (target, value) in &with.assignments {
                    self.expression(value);
                    self.assign(target);
                }
                self.statements(&with.body);
                self.scopes.pop();
            }
            Stmt::Set(set) => {
                self.expression(&set.expr);
                self.assign(&set.target);
            }
            Stmt::SetBlock(set) => {
                self.scopes.push(HashSet::new());
                self.statements(&set.body);
                self.scopes.pop();
                set.filter.iter().for_each(|filter| self.expression(filter));
                self.assign(&set.target);
            }
            Stmt::AutoEscape(escape) => {
                self.expression(&escape.enabled);
                self.statements(&escape.body);
            }
            Stmt::FilterBlock(block) => {
                self.scopes.push(HashSet::new());
                self.statements(&block.body);
                self.scopes.pop();
                self.expression(&block.filter);
            }
            Stmt::Block(block) => {
                self.scopes.push(HashSet::from(["super".to_owned()]));
                self.statements(&block.body);
                self.scopes.pop();
            }
            Stmt::Include(include) => self.stands_alone("include", include.span()),
            Stmt::Import(import) => self.stands_alone("import", import.span()),
            Stmt::FromImport(import) => self.stands_alone("from", import.span()),
            Stmt::Extends(extends) => self.stands_alone("extends", extends.span()),
            Stmt::Macro(declared) => {
                self.set(declared.name);
                self.macro_body(declared);
            }
            Stmt::CallBlock(block) => {
                self.call(&block.call);
                self.macro_body(&block.macro_decl);
            }
            Stmt::Do(done) => self.call(&done.call),
        }
    }

    fn macro_body(&mut self, declared: &Macro<'_>) {
        declared.defaults.iter().for_each(|value| self.expression(value));
        self.scopes.push(HashSet::from(["caller".to_owned()]));
        declared.args.iter().for_each(|argument| self.assign(argument));
        self.statements(&declared.body);
        self.scopes.pop();
    }

    fn expression(&mut self, expr: &Expr<'_>) {
        if let Some(path) = path(expr) {
            self.read(&path);
            self.subscripts(expr);
            return;
        }
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                let bounds = [&slice.start, &slice.stop, &slice.step];
                bounds.into_iter().flatten().for_each(|bound| self.expression(bound));
            }
            Expr::UnaryOp(op) => self.expression(&op.expr),
            Expr::BinOp(op) => {
                self.expression(&op.left);
                self.expression(&op.right);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|op| self.expression(&op.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                choice.false_expr.iter().for_each(|other| self.expression(other));
            }
            Expr::Filter(filter) => {
                filter.expr.iter().for_each(|inner| self.expression(inner));
                self.arguments(&filter.args);
                self.filter(filter.name, filter.span());
                self.named_in_arguments(filter.name, &filter.args, filter.span());
            }
            Expr::Test(test) => {
                self.expression(&test.expr);
                self.arguments(&test.args);
                self.test(test.name, test.span());
                if test.name == "search" {
                    self.pattern(&test.args, test.span());
                }
            }
            Expr::GetAttr(attr) => self.expression(&attr.expr),
            Expr::GetItem(item) => {
                self.expression(&item.expr);
                self.expression(&item.subscript_expr);
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|part| self.expression(part)),
        }
    }

    /// The expressions inside the brackets of a path.
    fn subscripts(&mut self, expr: &Expr<'_>) {
        match expr {
            Expr::GetAttr(attr) => self.subscripts(&attr.expr),
            Expr::GetItem(item) => {
                self.subscripts(&item.expr);
                self.expression(&item.subscript_expr);
            }
            _ => {}
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            let (CallArg::Pos(expr)
            | CallArg::Kwarg(_, expr)
            | CallArg::PosSplat(expr)
            | CallArg::KwargSplat(expr)) = argument;
            self.expression(expr);
        }
    }

    fn call(&mut self, call: &Spanned<Call<'_>>) {
        match call.identify_call() {
            CallType::Function(name) => {
                if !self.is_set(name) && !FUNCTIONS.contains(&name) {
                    self.unknown(call.span(), "function", name, || {
                        match FILTERS.contains(&name) || METHODS.contains(&name) {
                            true => Some(format!("`{name}` is a filter: write `x | {name}`")),
                            false => nearest(name, FUNCTIONS).map(|near| format!("did you mean `{near}`?")),
                        }
                    });
                }
            }
            CallType::Method(value, name) => {
                self.expression(value);
                let own = matches!(value, Expr::Var(var) if var.id == "loop" || var.id == "self");
                if !own && !METHODS.contains(&name) {
                    self.unknown(call.span(), "method", name, || instead_of_method(name));
                }
            }
            CallType::Block(_) => {}
            CallType::Object(value) => self.expression(value),
        }
        self.arguments(&call.args);
    }

    fn filter(&mut self, name: &str, span: Span) {
        let asked = ENVIRONMENT.empty_state().apply_filter(name, &[]);
        if asked.is_err_and(|error| error.kind() == ErrorKind::UnknownFilter) {
            self.unknown(span, "filter", name, || did_you_mean(name, &FILTERS));
        }
    }

    fn test(&mut self, name: &str, span: Span) {
        let asked = ENVIRONMENT.empty_state().perform_test(name, &[]);
        if asked.is_err_and(|error| error.kind() == ErrorKind::UnknownTest) {
            self.unknown(span, "test", name, || did_you_mean(name, &TESTS));
        }
    }

    /// Filters and tests named by a text, as in `map('upper')`.
    fn named_in_arguments(&mut self, filter: &str, arguments: &[CallArg<'_>], span: Span) {
        let text = |at: usize| match arguments.get(at) {
            Some(CallArg::Pos(Expr::Const(constant))) => constant.value.as_str().map(str::to_owned),
            _ => None,
        };
        match filter {
            "map" => text(0).into_iter().for_each(|name| self.filter(&name, span)),
            "select" | "reject" => text(0).into_iter().for_each(|name| self.test(&name, span)),
            "selectattr" | "rejectattr" => text(1).into_iter().for_each(|name| self.test(&name, span)),
            "regex_search" | "regex_replace" => self.pattern(arguments, span),
            _ => {}
        }
    }

    /// A regular expression that is a constant.
    fn pattern(&mut self, arguments: &[CallArg<'_>], span: Span) {
        let Some(CallArg::Pos(expr)) = arguments.first() else { return };
        if let Some(source) = constant_text(expr)
            && let Some(problem) = regexes::problem(&source)
            && self.error.is_none()
        {
            self.error = Some(self.error_at(span, problem, &source));
        }
    }

    fn read(&mut self, path: &[String]) {
        let Some(top) = path.first().filter(|top| !self.is_set(top) && !FUNCTIONS.contains(&top.as_str()))
        else {
            return;
        };
        self.reads.tops.insert(top.clone());
        self.reads.dotted.insert(path.join("."));
        if top == RECORD {
            match (&mut self.reads.of_record, path.len()) {
                (of_record, 1) => *of_record = None,
                (Some(names), _) => drop(names.insert(path[1].clone())),
                (None, _) => {}
            }
        }
    }

    fn assign(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(var) => self.set(var.id),
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            // Inside a namespace, which is used in order to be changed.
            other => self.expression(other),
        }
    }

    fn set(&mut self, name: &str) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned());
        }
    }

    fn is_set(&self, name: &str) -> bool {
        name == "self" || self.scopes.iter().any(|scope| scope.contains(name))
    }

    fn stands_alone(&mut self, tag: &str, span: Span) {
        let error = self.error_at(
            span,
            format!("there is nothing for `{{% {tag} %}}` to read: a template stands alone"),
            tag,
        );
        let hint = "texts that several prompts share go into files, which `texts` of `prompt` names";
        self.error.get_or_insert(TemplateError { hint: Some(hint.to_owned()), ..error });
    }

    fn unknown(&mut self, span: Span, what: &str, name: &str, hint: impl FnOnce() -> Option<String>) {
        if self.error.is_none() {
            let error = self.error_at(span, format!("templates have no {what} `{name}`"), name);
            self.error = Some(TemplateError { hint: hint(), ..error });
        }
    }

    fn error_at(&self, span: Span, message: String, word: &str) -> TemplateError {
        // The span begins with the expression, which may be some lines before the name.
        let (start, end) = (span.start_offset as usize, span.end_offset as usize);
        let within = self.source.get(start..end).and_then(|text| text.rfind(word)).unwrap_or_default();
        let line = self.source.get(..start + within).map_or(0, |before| before.matches('\n').count()) + 1;
        TemplateError { word: Some(word.to_owned()), ..TemplateError::new(message, Some(line)) }
    }
}

fn did_you_mean(name: &str, known: &[&str]) -> Option<String> {
    nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
}

/// The path of names from a variable inwards, as in `section.title` and `record["a b"]`; `None` if it is not one.
/// What follows an index or a computed name is left out.
fn path(expr: &Expr<'_>) -> Option<Vec<String>> {
    match expr {
        Expr::Var(var) => Some(vec![var.id.to_owned()]),
        Expr::GetAttr(attr) => {
            let mut names = path(&attr.expr)?;
            if is_exact(&attr.expr) {
                names.push(attr.name.to_owned());
            }
            Some(names)
        }
        Expr::GetItem(item) => {
            let mut names = path(&item.expr)?;
            if let Some(name) = constant_text(&item.subscript_expr).filter(|_| is_exact(&item.expr)) {
                names.push(name);
            }
            Some(names)
        }
        _ => None,
    }
}

fn is_exact(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Var(_) => true,
        Expr::GetAttr(attr) => is_exact(&attr.expr),
        Expr::GetItem(item) => is_exact(&item.expr) && constant_text(&item.subscript_expr).is_some(),
        _ => false,
    }
}

fn constant_text(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
        _ => None,
    }
}
