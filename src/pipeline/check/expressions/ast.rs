//! Traversal of Jinja's syntax tree: the parts of a statement or an expression.

use minijinja::Value;
use minijinja::machinery::ast::{CallArg, Expr, Stmt};
use minijinja::value::ValueKind;

use crate::pipeline::field_type::FieldType;

/// The expression as a dotted name, if it is one.
pub(super) fn path(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Var(name) => Some(name.id.to_owned()),
        Expr::GetAttr(attribute) => Some(format!("{}.{}", path(&attribute.expr)?, attribute.name)),
        _ => None,
    }
}

/// The text of a constant.
pub(super) fn constant_text(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Const(value) => value.value.as_str().map(str::to_owned),
        _ => None,
    }
}

/// The names that a loop, a `set` or a macro introduces.
pub(super) fn target_names<'a>(target: &Expr<'a>) -> Vec<&'a str> {
    match target {
        Expr::Var(name) => vec![name.id],
        Expr::List(list) => list.items.iter().flat_map(target_names).collect(),
        Expr::Tuple(tuple) => tuple.items.iter().flat_map(target_names).collect(),
        _ => Vec::new(),
    }
}

/// The value of an argument.
pub(super) fn of_argument<'e, 's>(argument: &'e CallArg<'s>) -> &'e Expr<'s> {
    match argument {
        CallArg::Pos(expr)
        | CallArg::Kwarg(_, expr)
        | CallArg::PosSplat(expr)
        | CallArg::KwargSplat(expr) => expr,
    }
}

/// Visits the expressions directly in a statement.
pub(super) fn each_expr(stmt: &Stmt<'_>, visit: &mut dyn FnMut(&Expr<'_>)) {
    match stmt {
        Stmt::EmitExpr(emit) => visit(&emit.expr),
        Stmt::ForLoop(one) => {
            visit(&one.iter);
            one.filter_expr.iter().for_each(visit);
        }
        Stmt::IfCond(one) => visit(&one.expr),
        Stmt::WithBlock(block) => block.assignments.iter().for_each(|(_, value)| visit(value)),
        Stmt::Set(set) => visit(&set.expr),
        Stmt::FilterBlock(block) => visit(&block.filter),
        Stmt::CallBlock(block) => block.call.args.iter().for_each(|argument| visit(of_argument(argument))),
        Stmt::Do(one) => one.call.args.iter().for_each(|argument| visit(of_argument(argument))),
        _ => {}
    }
}

/// Visits the statements inside a statement.
pub(super) fn each_body(stmt: &Stmt<'_>, visit: &mut dyn FnMut(&Stmt<'_>)) {
    let bodies: [&[Stmt<'_>]; 2] = match stmt {
        Stmt::Template(template) => [&template.children, &[]],
        Stmt::ForLoop(one) => [&one.body, &one.else_body],
        Stmt::IfCond(one) => [&one.true_body, &one.false_body],
        Stmt::WithBlock(block) => [&block.body, &[]],
        Stmt::SetBlock(set) => [&set.body, &[]],
        Stmt::AutoEscape(block) => [&block.body, &[]],
        Stmt::FilterBlock(block) => [&block.body, &[]],
        Stmt::Block(block) => [&block.body, &[]],
        Stmt::Macro(declared) => [&declared.body, &[]],
        Stmt::CallBlock(block) => [&block.macro_decl.body, &[]],
        _ => [&[], &[]],
    };
    bodies.into_iter().flatten().for_each(visit);
}

/// Visits the expressions directly inside an expression.
pub(super) fn each_inner(expr: &Expr<'_>, visit: &mut dyn FnMut(&Expr<'_>)) {
    match expr {
        Expr::Var(_) | Expr::Const(_) => {}
        Expr::Slice(slice) => {
            visit(&slice.expr);
            [&slice.start, &slice.stop, &slice.step].into_iter().flatten().for_each(visit);
        }
        Expr::UnaryOp(one) => visit(&one.expr),
        Expr::BinOp(both) => [&both.left, &both.right].into_iter().for_each(visit),
        Expr::Compare(chain) => {
            visit(&chain.expr);
            chain.ops.iter().for_each(|step| visit(&step.expr));
        }
        Expr::IfExpr(one) => {
            [&one.test_expr, &one.true_expr].into_iter().for_each(&mut *visit);
            one.false_expr.iter().for_each(visit);
        }
        Expr::Filter(filter) => {
            filter.expr.iter().for_each(&mut *visit);
            filter.args.iter().for_each(|argument| visit(of_argument(argument)));
        }
        Expr::Test(test) => {
            visit(&test.expr);
            test.args.iter().for_each(|argument| visit(of_argument(argument)));
        }
        Expr::GetAttr(attribute) => visit(&attribute.expr),
        Expr::GetItem(item) => [&item.expr, &item.subscript_expr].into_iter().for_each(visit),
        Expr::Call(call) => {
            visit(&call.expr);
            call.args.iter().for_each(|argument| visit(of_argument(argument)));
        }
        Expr::List(list) => list.items.iter().for_each(visit),
        Expr::Tuple(tuple) => tuple.items.iter().for_each(visit),
        Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(visit),
    }
}

/// How a message refers to a value: by its name if it has one, otherwise by what it is.
pub(super) fn shown(expr: &Expr<'_>, kind: &FieldType) -> String {
    match (path(expr), expr) {
        (Some(path), _) => format!("`{path}`"),
        (None, Expr::Const(value)) if kind.is_text() => format!("the text `{}`", value.value),
        (None, Expr::Const(value)) => format!("the number `{}`", value.value),
        _ => format!("a value that {}", if kind.is_text() { "is a text" } else { "is computed" }),
    }
}

/// The type of a constant.
pub(super) fn of_constant(value: &Value) -> FieldType {
    match value.kind() {
        ValueKind::String => FieldType::text(),
        ValueKind::Bool => FieldType::boolean(),
        ValueKind::Number if value.is_integer() => FieldType::integer(),
        ValueKind::Number => FieldType::number(),
        ValueKind::None => FieldType::null(),
        _ => FieldType::any(),
    }
}
