//! Type checks of templates and expressions: loops over values that are not lists, sums and comparisons of
//! different kinds, names inside a text.
//!
//! Visits Jinja's syntax tree with what is known of the fields. A name whose kind the template itself tests (`is
//! string`), or that it sets, has an unknown type, so that no branch is reported that is never taken.

mod ast;
mod local_names;
mod operators;

use minijinja::machinery::ast::{CompareOpKind, Expr, Stmt, UnaryOpKind};
use minijinja::machinery::{parse, parse_expr};

use self::ast::{
    constant_text, each_body, each_expr, each_inner, of_argument, of_constant, path, shown, target_names,
};
use self::local_names::LocalNames;
use super::CheckContext;
use crate::pipeline::field_type::FieldType;

/// Filters that return a text.
const TO_TEXT: [&str; 20] = [
    "capitalize",
    "e",
    "escape",
    "format",
    "indent",
    "join",
    "language",
    "lower",
    "pprint",
    "regex_replace",
    "regex_search",
    "replace",
    "safe",
    "string",
    "title",
    "tojson",
    "trim",
    "truncate",
    "upper",
    "wordwrap",
];
/// Filters that take a text and reject null.
const OF_TEXTS: [&str; 7] = ["capitalize", "indent", "lower", "replace", "title", "trim", "upper"];
/// Filters that take the elements of a list or the characters of a text.
const OF_LISTS: [&str; 14] = [
    "batch", "count", "first", "join", "last", "length", "list", "map", "max", "min", "reverse", "sort",
    "sum", "unique",
];

/// A type error in a template.
struct TypeError {
    message: String,
    word: Option<String>,
    hint: Option<String>,
    line: usize,
}

impl CheckContext<'_> {
    /// Checks the types in a template or expression; returns false if a problem was reported. Syntax errors are
    /// reported elsewhere.
    pub(super) fn check_types(&mut self, at: &str, source: &str, is_expression: bool) -> bool {
        let found = match is_expression {
            true => {
                let Ok(tree) = parse_expr(source) else { return true };
                let mut own = LocalNames::default();
                own.expr(&tree);
                self.tested.extend(own.tested.iter().cloned());
                let mut checker = TypeChecker::new(self, own);
                checker.expr(&tree);
                checker.found
            }
            false => {
                let Ok(tree) = parse(source, "template", minijinja::syntax::SyntaxConfig::default()) else {
                    return true;
                };
                let mut own = LocalNames::default();
                own.stmt(&tree);
                let mut checker = TypeChecker::new(self, own);
                checker.stmt(&tree);
                checker.found
            }
        };
        for one in &found {
            let place =
                if one.line > 1 { format!(" (line {} of the text)", one.line) } else { String::new() };
            let problem = self.problem(at, format!("{}{place}", one.message));
            problem.row = Some(one.line);
            problem.word.clone_from(&one.word);
            problem.hint.clone_from(&one.hint);
        }
        found.is_empty()
    }

    /// The type of an expression's value; any if it does not compile.
    pub fn type_of_expression(&self, source: &str) -> FieldType {
        let Ok(tree) = parse_expr(source) else { return FieldType::any() };
        let mut own = LocalNames::default();
        own.expr(&tree);
        TypeChecker::new(self, own).expr(&tree)
    }
}

struct TypeChecker<'c> {
    context: &'c CheckContext<'c>,
    own: LocalNames,
    /// The names that loops and blocks introduce, innermost last.
    scopes: Vec<(String, FieldType)>,
    found: Vec<TypeError>,
}

impl<'c> TypeChecker<'c> {
    fn new(context: &'c CheckContext<'c>, own: LocalNames) -> Self {
        Self { context, own, scopes: Vec::new(), found: Vec::new() }
    }

    fn stmt(&mut self, stmt: &Stmt<'_>) {
        let depth = self.scopes.len();
        match stmt {
            Stmt::ForLoop(one) => {
                let kind = self.expr(&one.iter);
                self.check_loop(&one.iter, &kind);
                if let Expr::Var(target) = &one.target {
                    self.scopes.push((target.id.to_owned(), kind.item()));
                } else {
                    self.unknown(&target_names(&one.target));
                }
                self.unknown(&["loop"]);
                one.filter_expr.iter().for_each(|filter| drop(self.expr(filter)));
                one.body.iter().for_each(|stmt| self.stmt(stmt));
                self.scopes.truncate(depth);
                one.else_body.iter().for_each(|stmt| self.stmt(stmt));
            }
            Stmt::EmitExpr(emit) => {
                let kind = self.expr(&emit.expr);
                if kind.is_null() {
                    let name = shown(&emit.expr, &kind);
                    self.report(
                        &emit.expr,
                        format!("{name} is null, and nothing could be written for it"),
                        None,
                    );
                }
            }
            Stmt::WithBlock(block) => {
                for (target, value) in &block.assignments {
                    let kind = self.expr(value);
                    match target {
                        Expr::Var(target) => self.scopes.push((target.id.to_owned(), kind)),
                        _ => self.unknown(&target_names(target)),
                    }
                }
                block.body.iter().for_each(|stmt| self.stmt(stmt));
            }
            Stmt::Macro(declared) => {
                declared.args.iter().for_each(|argument| self.unknown(&target_names(argument)));
                self.unknown(&["caller"]);
                declared.body.iter().for_each(|stmt| self.stmt(stmt));
            }
            Stmt::CallBlock(block) => {
                block.call.args.iter().for_each(|argument| drop(self.expr(of_argument(argument))));
                block.macro_decl.args.iter().for_each(|argument| self.unknown(&target_names(argument)));
                block.macro_decl.body.iter().for_each(|stmt| self.stmt(stmt));
            }
            _ => {
                each_expr(stmt, &mut |expr| drop(self.expr(expr)));
                each_body(stmt, &mut |stmt| self.stmt(stmt));
            }
        }
        self.scopes.truncate(depth);
    }

    fn unknown(&mut self, names: &[&str]) {
        self.scopes.extend(names.iter().map(|name| ((*name).to_owned(), FieldType::any())));
    }

    /// Reports a loop over a value without elements.
    fn check_loop(&mut self, expr: &Expr<'_>, kind: &FieldType) {
        let name = shown(expr, kind);
        if kind.is_text() {
            let hint = path(expr).map(|path| {
                format!("`{path} | lines` goes through its lines, `{path} | list` through its characters")
            });
            self.report(expr, format!("{name} is {kind}, and a loop would go through its characters"), hint);
        } else if kind.is_number() || kind.is_boolean() {
            self.report(expr, format!("{name} is {kind}, and a loop wants a list"), None);
        }
    }

    fn report(&mut self, expr: &Expr<'_>, message: String, hint: Option<String>) {
        let line = expr.span().start_line as usize;
        self.found.push(TypeError { message, word: path(expr), hint, line: line.max(1) });
    }

    fn expr(&mut self, expr: &Expr<'_>) -> FieldType {
        match expr {
            Expr::Var(name) => self.name(name.id),
            Expr::Const(value) => of_constant(&value.value),
            Expr::GetAttr(attribute) => {
                let outer = self.expr(&attribute.expr);
                self.attribute(&attribute.expr, &outer, attribute.name)
            }
            Expr::GetItem(item) => {
                let outer = self.expr(&item.expr);
                self.expr(&item.subscript_expr);
                match constant_text(&item.subscript_expr) {
                    Some(name) if outer.is_object() => outer.get(&name).unwrap_or(FieldType::any()),
                    None if outer.is_list() || outer.is_text() => outer.item(),
                    _ => FieldType::any(),
                }
            }
            Expr::Slice(slice) => {
                let whole = self.expr(&slice.expr);
                if whole.is_text() || whole.is_list() { whole } else { FieldType::any() }
            }
            Expr::UnaryOp(one) => {
                self.expr(&one.expr);
                if matches!(one.op, UnaryOpKind::Not) { FieldType::boolean() } else { FieldType::number() }
            }
            Expr::BinOp(both) => {
                let (left, right) = (self.expr(&both.left), self.expr(&both.right));
                self.operator(both.op, (&both.left, &left), (&both.right, &right))
            }
            Expr::Compare(chain) => {
                let mut left_kind = self.expr(&chain.expr);
                let mut left = &chain.expr;
                for step in &chain.ops {
                    let right_kind = self.expr(&step.expr);
                    match !matches!(step.op, CompareOpKind::In | CompareOpKind::NotIn) {
                        true => {
                            let ordered = !matches!(step.op, CompareOpKind::Eq | CompareOpKind::Ne);
                            self.check_comparison((left, &left_kind), (&step.expr, &right_kind), ordered);
                        }
                        false => self.check_membership((left, &left_kind), (&step.expr, &right_kind)),
                    }
                    (left, left_kind) = (&step.expr, right_kind);
                }
                FieldType::boolean()
            }
            Expr::IfExpr(one) => {
                self.expr(&one.test_expr);
                let yes = self.expr(&one.true_expr);
                yes.or(one.false_expr.as_ref().map_or(FieldType::null(), |no| self.expr(no)))
            }
            Expr::Filter(filter) => {
                // The input of `default` may well not exist.
                let quiet = matches!(filter.name, "default" | "d");
                let before = self.found.len();
                let kind = filter.expr.as_ref().map_or(FieldType::any(), |expr| self.expr(expr));
                if quiet {
                    self.found.truncate(before);
                }
                filter.args.iter().for_each(|argument| drop(self.expr(of_argument(argument))));
                self.filter_type(filter.name, filter.expr.as_ref(), &kind)
            }
            Expr::List(list) => {
                let items = list.items.iter().map(|item| self.expr(item)).collect::<Vec<_>>();
                FieldType::list(items.into_iter().fold(FieldType::never(), FieldType::or))
            }
            Expr::Call(call) => {
                call.args.iter().for_each(|argument| drop(self.expr(of_argument(argument))));
                if let Expr::GetAttr(method) = &call.expr {
                    self.expr(&method.expr);
                }
                match &call.expr {
                    Expr::Var(function) if function.id == "range" => FieldType::list(FieldType::integer()),
                    _ => FieldType::any(),
                }
            }
            Expr::Test(test) => {
                test.args.iter().for_each(|argument| drop(self.expr(of_argument(argument))));
                FieldType::boolean()
            }
            Expr::Tuple(_) | Expr::Map(_) => {
                each_inner(expr, &mut |inner| drop(self.expr(inner)));
                if matches!(expr, Expr::Map(_)) { FieldType::object() } else { FieldType::any_list() }
            }
        }
    }

    fn name(&self, name: &str) -> FieldType {
        if let Some((_, kind)) = self.scopes.iter().rev().find(|(known, _)| known == name) {
            return kind.clone();
        }
        if self.own.set.contains(name) || self.own.tested.contains(name) {
            return FieldType::any();
        }
        match name {
            "vars" => FieldType::object(),
            _ => self.context.type_of(name),
        }
    }

    fn attribute(&mut self, outer: &Expr<'_>, kind: &FieldType, name: &str) -> FieldType {
        if kind.is_text() || kind.is_number() || kind.is_boolean() || kind.is_list() || kind.is_null() {
            let outer_name = shown(outer, kind);
            self.report(outer, format!("{outer_name} is {kind}: there is no `{name}` in it"), None);
            return FieldType::any();
        }
        if kind.is_object() { kind.get(name).unwrap_or(FieldType::any()) } else { FieldType::any() }
    }

    fn filter_type(&mut self, name: &str, on: Option<&Expr<'_>>, kind: &FieldType) -> FieldType {
        let counts = matches!(name, "length" | "count");
        let has_none = kind.is_number() || kind.is_boolean() || counts && kind.is_null();
        if let Some(on) = on.filter(|_| OF_TEXTS.contains(&name) && kind.is_null()) {
            let value = shown(on, kind);
            self.report(on, format!("{value} is null, and `{name}` wants a text"), None);
        } else if let Some(on) = on.filter(|_| OF_LISTS.contains(&name) && has_none) {
            let value = shown(on, kind);
            self.report(on, format!("{value} is {kind}, and `{name}` wants a list or a text"), None);
        }
        match name {
            _ if TO_TEXT.contains(&name) => FieldType::text(),
            "length" | "count" | "wordcount" | "int" => FieldType::integer(),
            "float" | "round" | "abs" => FieldType::number(),
            "mean" => FieldType::number().or_null(),
            "bool" => FieldType::boolean(),
            "list" | "sort" | "unique" if kind.is_list() || kind.is_text() => FieldType::list(kind.item()),
            "lines" | "split" | "numbers" => FieldType::texts(),
            "suffix_sums" => FieldType::list(FieldType::number()),
            "diff" => FieldType::list(FieldType::object()),
            "first" | "last" if kind.is_list() || kind.is_text() => kind.item(),
            _ => FieldType::any(),
        }
    }
}
