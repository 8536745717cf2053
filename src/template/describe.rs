//! Prints parts of an expression as the user wrote them, for messages: `score`, `section.title`, `record["a b"] |
//! trim`.

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr};
use minijinja::value::ValueKind;

/// The maximum length, in characters; longer expressions are truncated.
const LONGEST: usize = 60;

/// The expression as text; unusual expressions are described by their kind.
pub(super) fn describe(expr: &Expr<'_>) -> String {
    let text = text(expr);
    if text.chars().count() <= LONGEST {
        return text;
    }
    let cut: String = text.chars().take(LONGEST).collect();
    format!("{cut}...")
}

fn text(expr: &Expr<'_>) -> String {
    match expr {
        Expr::Var(var) => var.id.to_owned(),
        Expr::Const(constant) => match constant.value.kind() {
            ValueKind::Bool => (if constant.value.is_true() { "true" } else { "false" }).to_owned(),
            ValueKind::None => "none".to_owned(),
            _ => format!("{:?}", constant.value),
        },
        Expr::GetAttr(attr) => format!("{}.{}", text(&attr.expr), attr.name),
        Expr::GetItem(item) => format!("{}[{}]", text(&item.expr), text(&item.subscript_expr)),
        Expr::Slice(slice) => format!("{}[:]", text(&slice.expr)),
        Expr::Filter(filter) => {
            let before = filter.expr.as_ref().map(|expr| format!("{} | ", text(expr))).unwrap_or_default();
            format!("{before}{}{}", filter.name, arguments(&filter.args))
        }
        Expr::Call(call) => match call.args.is_empty() {
            true => format!("{}()", text(&call.expr)),
            false => format!("{}{}", text(&call.expr), arguments(&call.args)),
        },
        Expr::BinOp(op) => format!("{} {} {}", text(&op.left), operator(op.op), text(&op.right)),
        Expr::List(_) => "[...]".to_owned(),
        Expr::Map(_) => "{...}".to_owned(),
        _ => "the expression".to_owned(),
    }
}

fn arguments(args: &[CallArg<'_>]) -> &'static str {
    if args.is_empty() { "" } else { "(...)" }
}

/// An operator as it is written.
pub(super) fn operator(op: BinOpKind) -> &'static str {
    match op {
        BinOpKind::Eq => "==",
        BinOpKind::Ne => "!=",
        BinOpKind::Lt => "<",
        BinOpKind::Lte => "<=",
        BinOpKind::Gt => ">",
        BinOpKind::Gte => ">=",
        BinOpKind::ScAnd => "and",
        BinOpKind::ScOr => "or",
        BinOpKind::Add => "+",
        BinOpKind::Sub => "-",
        BinOpKind::Mul => "*",
        BinOpKind::Div => "/",
        BinOpKind::FloorDiv => "//",
        BinOpKind::Rem => "%",
        BinOpKind::Pow => "**",
        BinOpKind::Concat => "~",
        BinOpKind::In => "in",
    }
}
