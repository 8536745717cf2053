//! Rewrites a template's tree so that operators become filters that check the kinds of their operands.
//!
//! minijinja orders any two values, so that the text `10` is greater than every number, and has no hook for
//! operators. So each comparison in the tree becomes a call of a filter whose name no template can write (`a < b`
//! is `a | <(b)`), and likewise arithmetic, joined texts and conditions. Positions are preserved, so that errors
//! point into the user's own text. The filters are in `checked_operators`.

use std::collections::BTreeMap;

use minijinja::Value;
use minijinja::machinery::Span;
use minijinja::machinery::ast::{
    AutoEscape, BinOp, BinOpKind, Block, Call, CallArg, CallBlock, Compare, CompareOpKind, Const, Do,
    EmitExpr, EmitRaw, Expr, Filter, FilterBlock, ForLoop, GetAttr, GetItem, IfCond, IfExpr, List, Macro,
    Map, Set, SetBlock, Slice, Spanned, Stmt, Template, Test, Tuple, UnaryOp, UnaryOpKind, Var, WithBlock,
};

use super::checked_operators::{CHAIN, KEPT, NUMBER, TEXT, TRUTH};
use super::describe::{describe, operator};

/// The operands of one checked operator, as the user wrote them.
#[derive(Debug, Clone)]
pub(super) struct OperatorSite {
    /// The left or only operand.
    pub(super) left: String,
    /// The right operand.
    pub(super) right: String,
}

/// Rewrites trees, and records the operands of each checked operator.
#[derive(Debug, Default)]
pub(super) struct Rewriter {
    /// By the number passed to the filter.
    pub(super) sites: Vec<OperatorSite>,
    /// The input of each filter, by the byte offset of its name.
    pub(super) operands: BTreeMap<usize, String>,
}

impl Rewriter {
    pub(super) fn statement<'a>(&mut self, statement: &Stmt<'a>) -> Stmt<'a> {
        match statement {
            Stmt::Template(node) => {
                let children = self.statements(&node.children);
                Stmt::Template(Spanned::new(Template { children }, node.span()))
            }
            Stmt::EmitExpr(node) => {
                let expr = self.expression(&node.expr);
                Stmt::EmitExpr(Spanned::new(EmitExpr { expr }, node.span()))
            }
            Stmt::EmitRaw(node) => Stmt::EmitRaw(Spanned::new(EmitRaw { raw: node.raw }, node.span())),
            Stmt::ForLoop(node) => {
                let looped = ForLoop {
                    target: copy(&node.target),
                    iter: self.expression(&node.iter),
                    filter_expr: node.filter_expr.as_ref().map(|filter| self.condition(filter)),
                    recursive: node.recursive,
                    body: self.statements(&node.body),
                    else_body: self.statements(&node.else_body),
                };
                Stmt::ForLoop(Spanned::new(looped, node.span()))
            }
            Stmt::IfCond(node) => {
                let condition = IfCond {
                    expr: self.condition(&node.expr),
                    true_body: self.statements(&node.true_body),
                    false_body: self.statements(&node.false_body),
                };
                Stmt::IfCond(Spanned::new(condition, node.span()))
            }
            Stmt::WithBlock(node) => {
                let assign = |(target, value): &(Expr<'a>, Expr<'a>)| (copy(target), self.kept(value));
                let assignments = node.assignments.iter().map(assign).collect();
                let body = self.statements(&node.body);
                Stmt::WithBlock(Spanned::new(WithBlock { assignments, body }, node.span()))
            }
            Stmt::Set(node) => {
                let set = Set { target: copy(&node.target), expr: self.kept(&node.expr) };
                Stmt::Set(Spanned::new(set, node.span()))
            }
            Stmt::SetBlock(node) => {
                let block = SetBlock {
                    target: copy(&node.target),
                    filter: node.filter.as_ref().map(|filter| self.expression(filter)),
                    body: self.statements(&node.body),
                };
                Stmt::SetBlock(Spanned::new(block, node.span()))
            }
            Stmt::AutoEscape(node) => {
                let escape =
                    AutoEscape { enabled: self.expression(&node.enabled), body: self.statements(&node.body) };
                Stmt::AutoEscape(Spanned::new(escape, node.span()))
            }
            Stmt::FilterBlock(node) => {
                let block = FilterBlock {
                    filter: self.expression(&node.filter),
                    filter_span: node.filter_span,
                    body: self.statements(&node.body),
                };
                Stmt::FilterBlock(Spanned::new(block, node.span()))
            }
            Stmt::Block(node) => {
                let block =
                    Block { name: node.name, required: node.required, body: self.statements(&node.body) };
                Stmt::Block(Spanned::new(block, node.span()))
            }
            Stmt::Macro(node) => Stmt::Macro(self.declared(node)),
            Stmt::CallBlock(node) => {
                let block = CallBlock {
                    call: self.call(&node.call),
                    call_expr_span: node.call_expr_span,
                    macro_decl: self.declared(&node.macro_decl),
                };
                Stmt::CallBlock(Spanned::new(block, node.span()))
            }
            Stmt::Do(node) => Stmt::Do(Spanned::new(Do { call: self.call(&node.call) }, node.span())),
            // Refused before (`names`): there is no other template.
            Stmt::Include(_) | Stmt::Import(_) | Stmt::FromImport(_) | Stmt::Extends(_) => {
                Stmt::Template(Spanned::new(Template { children: Vec::new() }, Span::default()))
            }
        }
    }

    fn statements<'a>(&mut self, statements: &[Stmt<'a>]) -> Vec<Stmt<'a>> {
        statements.iter().map(|statement| self.statement(statement)).collect()
    }

    fn declared<'a>(&mut self, node: &Spanned<Macro<'a>>) -> Spanned<Macro<'a>> {
        let declared = Macro {
            name: node.name,
            args: node.args.iter().map(copy).collect(),
            defaults: node.defaults.iter().map(|value| self.expression(value)).collect(),
            body: self.statements(&node.body),
        };
        Spanned::new(declared, node.span())
    }

    pub(super) fn expression<'a>(&mut self, expr: &Expr<'a>) -> Expr<'a> {
        match expr {
            Expr::Var(_) | Expr::Const(_) => copy(expr),
            Expr::Slice(node) => {
                let slice = Slice {
                    expr: self.expression(&node.expr),
                    start: self.optional(node.start.as_ref()),
                    stop: self.optional(node.stop.as_ref()),
                    step: self.optional(node.step.as_ref()),
                };
                Expr::Slice(Spanned::new(slice, node.span()))
            }
            Expr::UnaryOp(node) => {
                let (op, expr) = match node.op {
                    UnaryOpKind::Not => (UnaryOpKind::Not, self.condition(&node.expr)),
                    UnaryOpKind::Neg => (UnaryOpKind::Neg, self.checked(NUMBER, &node.expr)),
                };
                Expr::UnaryOp(Spanned::new(UnaryOp { op, expr }, node.span()))
            }
            Expr::BinOp(node) => self.binary(node),
            Expr::Compare(node) => self.chain(node),
            Expr::IfExpr(node) => {
                let choice = IfExpr {
                    test_expr: self.condition(&node.test_expr),
                    true_expr: self.expression(&node.true_expr),
                    false_expr: self.optional(node.false_expr.as_ref()),
                };
                Expr::IfExpr(Spanned::new(choice, node.span()))
            }
            Expr::Filter(node) => {
                if let Some(operand) = &node.expr {
                    self.operands.insert(node.span().start_offset as usize, describe(operand));
                }
                let filter = Filter {
                    name: node.name,
                    expr: self.optional(node.expr.as_ref()),
                    args: self.arguments(&node.args),
                };
                Expr::Filter(Spanned::new(filter, node.span()))
            }
            Expr::Test(node) => self.test(node),
            Expr::GetAttr(node) => {
                let attr = GetAttr { expr: self.expression(&node.expr), name: node.name };
                Expr::GetAttr(Spanned::new(attr, node.span()))
            }
            Expr::GetItem(node) => {
                let item = GetItem {
                    expr: self.expression(&node.expr),
                    subscript_expr: self.expression(&node.subscript_expr),
                };
                Expr::GetItem(Spanned::new(item, node.span()))
            }
            Expr::Call(node) => Expr::Call(self.call(node)),
            Expr::List(node) => {
                Expr::List(Spanned::new(List { items: self.expressions(&node.items) }, node.span()))
            }
            Expr::Tuple(node) => {
                Expr::Tuple(Spanned::new(Tuple { items: self.expressions(&node.items) }, node.span()))
            }
            Expr::Map(node) => {
                let map = Map { keys: self.expressions(&node.keys), values: self.expressions(&node.values) };
                Expr::Map(Spanned::new(map, node.span()))
            }
        }
    }

    fn expressions<'a>(&mut self, items: &[Expr<'a>]) -> Vec<Expr<'a>> {
        items.iter().map(|item| self.expression(item)).collect()
    }

    fn optional<'a>(&mut self, expr: Option<&Expr<'a>>) -> Option<Expr<'a>> {
        expr.map(|expr| self.expression(expr))
    }

    fn arguments<'a>(&mut self, args: &[CallArg<'a>]) -> Vec<CallArg<'a>> {
        let rewritten = |argument: &CallArg<'a>| match argument {
            CallArg::Pos(value) => CallArg::Pos(self.expression(value)),
            CallArg::Kwarg(name, value) => CallArg::Kwarg(name, self.expression(value)),
            CallArg::PosSplat(value) => CallArg::PosSplat(self.expression(value)),
            CallArg::KwargSplat(value) => CallArg::KwargSplat(self.expression(value)),
        };
        args.iter().map(rewritten).collect()
    }

    fn call<'a>(&mut self, node: &Spanned<Call<'a>>) -> Spanned<Call<'a>> {
        let expr = self.expression(&node.expr);
        Spanned::new(Call { expr, args: self.arguments(&node.args) }, node.span())
    }

    /// A condition: everything joined by `and`, `or` and `not` is checked.
    pub(super) fn condition<'a>(&mut self, expr: &Expr<'a>) -> Expr<'a> {
        match expr {
            Expr::BinOp(node) if matches!(node.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
                let (left, right) = (self.condition(&node.left), self.condition(&node.right));
                Expr::BinOp(Spanned::new(BinOp { op: node.op, left, right }, node.span()))
            }
            Expr::UnaryOp(_) | Expr::Test(_) | Expr::Compare(_) | Expr::Const(_) => self.expression(expr),
            Expr::BinOp(node) if is_comparison(node.op) => self.expression(expr),
            _ => self.checked(TRUTH, expr),
        }
    }

    fn binary<'a>(&mut self, node: &Spanned<BinOp<'a>>) -> Expr<'a> {
        let (left, right) = (&node.left, &node.right);
        match node.op {
            op if is_comparison(op) || matches!(op, BinOpKind::Add) => {
                self.compared(operator(op), left, right, node.span())
            }
            op => {
                let (left, right) = match op {
                    BinOpKind::ScAnd | BinOpKind::ScOr => (self.expression(left), self.expression(right)),
                    BinOpKind::Concat => (self.checked(TEXT, left), self.checked(TEXT, right)),
                    // `'-' * 20` is intended; the text of a field is not.
                    _ => (self.checked(NUMBER, left), self.checked(NUMBER, right)),
                };
                Expr::BinOp(Spanned::new(BinOp { op, left, right }, node.span()))
            }
        }
    }

    /// A test that compares is treated as the operator of that name.
    fn test<'a>(&mut self, node: &Spanned<Test<'a>>) -> Expr<'a> {
        if let (Some(op), [CallArg::Pos(right)]) = (comparing(node.name), node.args.as_slice()) {
            return self.compared(op, &node.expr, right, node.span());
        }
        let test =
            Test { name: node.name, expr: self.expression(&node.expr), args: self.arguments(&node.args) };
        Expr::Test(Spanned::new(test, node.span()))
    }

    fn compared<'a>(&mut self, op: &'static str, left: &Expr<'a>, right: &Expr<'a>, span: Span) -> Expr<'a> {
        let site = self.site(describe(left), describe(right));
        let args = vec![CallArg::Pos(self.expression(right)), CallArg::Pos(constant(site, span))];
        let filter = Filter { name: op, expr: Some(self.expression(left)), args };
        Expr::Filter(Spanned::new(filter, span))
    }

    /// `a < b <= c`: one filter with all operands, each given once.
    fn chain<'a>(&mut self, node: &Spanned<Compare<'a>>) -> Expr<'a> {
        let span = node.span();
        let mut args = vec![CallArg::Pos(constant(self.sites.len(), span))];
        let mut left = &node.expr;
        for compared in &node.ops {
            self.site(describe(left), describe(&compared.expr));
            args.push(CallArg::Pos(constant(chained(compared.op), span)));
            left = &compared.expr;
        }
        for compared in &node.ops {
            args.push(CallArg::Pos(self.expression(&compared.expr)));
        }
        let filter = Filter { name: CHAIN, expr: Some(self.expression(&node.expr)), args };
        Expr::Filter(Spanned::new(filter, span))
    }

    fn checked<'a>(&mut self, check: &'static str, expr: &Expr<'a>) -> Expr<'a> {
        if matches!(expr, Expr::Const(_)) {
            return copy(expr);
        }
        let span = expr.span();
        let site = self.site(describe(expr), String::new());
        let args = vec![CallArg::Pos(constant(site, span))];
        Expr::Filter(Spanned::new(Filter { name: check, expr: Some(self.expression(expr)), args }, span))
    }

    fn kept<'a>(&mut self, expr: &Expr<'a>) -> Expr<'a> {
        // A namespace is the one value that can be modified, and is recognised by its own type.
        if matches!(expr, Expr::Const(_) | Expr::Call(_)) {
            return self.expression(expr);
        }
        self.checked(KEPT, expr)
    }

    fn site(&mut self, left: String, right: String) -> usize {
        self.sites.push(OperatorSite { left, right });
        self.sites.len() - 1
    }
}

fn is_comparison(op: BinOpKind) -> bool {
    use BinOpKind::{Eq, Gt, Gte, In, Lt, Lte, Ne};
    matches!(op, Eq | Ne | Lt | Lte | Gt | Gte | In)
}

/// The operator that a test is equivalent to.
pub(super) fn comparing(test: &str) -> Option<&'static str> {
    match test {
        "eq" | "equalto" | "==" => Some("=="),
        "ne" | "!=" => Some("!="),
        "lt" | "lessthan" | "<" => Some("<"),
        "le" | "<=" => Some("<="),
        "gt" | "greaterthan" | ">" => Some(">"),
        "ge" | ">=" => Some(">="),
        "in" => Some("in"),
        _ => None,
    }
}

fn chained(op: CompareOpKind) -> &'static str {
    match op {
        CompareOpKind::Eq => "==",
        CompareOpKind::Ne => "!=",
        CompareOpKind::Lt => "<",
        CompareOpKind::Lte => "<=",
        CompareOpKind::Gt => ">",
        CompareOpKind::Gte => ">=",
        CompareOpKind::In => "in",
        CompareOpKind::NotIn => "not in",
    }
}

fn constant<'a>(value: impl Into<Value>, span: Span) -> Expr<'a> {
    Expr::Const(Spanned::new(Const { value: value.into() }, span))
}

/// Copies an expression without operators.
fn copy<'a>(expr: &Expr<'a>) -> Expr<'a> {
    match expr {
        Expr::Var(node) => Expr::Var(Spanned::new(Var { id: node.id }, node.span())),
        Expr::Const(node) => constant(node.value.clone(), node.span()),
        other => Rewriter::default().expression(other),
    }
}
