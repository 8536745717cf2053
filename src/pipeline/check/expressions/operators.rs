//! Type checks of operators: the same rules that `template` applies while a run lasts.

use minijinja::machinery::ast::{BinOpKind, Expr};

use super::TypeChecker;
use super::ast::{constant_text, path, shown};
use crate::pipeline::field_type::FieldType;

/// An operand and its type.
type Operand<'e, 's> = (&'e Expr<'s>, &'e FieldType);

impl TypeChecker<'_> {
    /// The type of an operator's result; reports operands that can never be valid.
    pub(super) fn operator(
        &mut self,
        op: BinOpKind,
        left: Operand<'_, '_>,
        right: Operand<'_, '_>,
    ) -> FieldType {
        match op {
            BinOpKind::Eq
            | BinOpKind::Ne
            | BinOpKind::Lt
            | BinOpKind::Lte
            | BinOpKind::Gt
            | BinOpKind::Gte => {
                self.check_comparison(left, right, !matches!(op, BinOpKind::Eq | BinOpKind::Ne));
                FieldType::boolean()
            }
            BinOpKind::In => {
                self.check_membership(left, right);
                FieldType::boolean()
            }
            BinOpKind::ScAnd | BinOpKind::ScOr => left.1.clone().or(right.1.clone()),
            BinOpKind::Concat => {
                for (expr, kind) in [left, right].into_iter().filter(|(_, kind)| kind.is_null()) {
                    self.report(expr, format!("{} is null, which has no text", shown(expr, kind)), None);
                }
                FieldType::text()
            }
            BinOpKind::Mul | BinOpKind::Rem => {
                // `'-' * 20` is intended; the text of a field is not.
                let named = |operand: &Operand<'_, '_>| constant_text(operand.0).is_none();
                let wrong = |operand: &Operand<'_, '_>| {
                    named(operand) && (operand.1.is_text() || operand.1.is_null())
                };
                if wrong(&left) || wrong(&right) {
                    self.report_mismatch("cannot be reckoned with", left, right);
                }
                FieldType::any()
            }
            _ => self.check_arithmetic(op, left, right),
        }
    }

    /// Sums, which also join texts and lists, and operators that only numbers have.
    fn check_arithmetic(
        &mut self,
        op: BinOpKind,
        left: Operand<'_, '_>,
        right: Operand<'_, '_>,
    ) -> FieldType {
        // `true` counts as 1.
        let number = FieldType::number().or(FieldType::boolean());
        let both = |kind: &FieldType| left.1.could_be(kind) && right.1.could_be(kind);
        let joins =
            matches!(op, BinOpKind::Add) && (both(&FieldType::text()) || both(&FieldType::any_list()));
        if !both(&number) && !joins {
            self.report_mismatch("cannot be reckoned with", left, right);
        }
        match (both(&number), joins) {
            (true, false) => FieldType::number(),
            (false, true) if left.1.is_text() => FieldType::text(),
            _ => FieldType::any(),
        }
    }

    /// Reports a comparison of values whose kinds have no order or are never equal: a text and a number or a
    /// truth value. An empty text is equal to none of them.
    pub(super) fn check_comparison(&mut self, left: Operand<'_, '_>, right: Operand<'_, '_>, ordered: bool) {
        let kinds = left.1.only_kind().zip(right.1.only_kind());
        let unordered = kinds.is_some_and(|(one, other)| one != other)
            || left.1.is_object() && right.1.is_object()
            || left.1.is_null()
            || right.1.is_null();
        let empty = |operand: Operand<'_, '_>| constant_text(operand.0).is_some_and(|text| text.is_empty());
        let never_equal = never_equal(left.1, right.1) && !empty(left) && !empty(right);
        if ordered && unordered || !ordered && never_equal {
            self.report_mismatch("cannot be compared with", left, right);
        }
    }

    /// Reports a membership test in a value that has no elements, or none of that kind.
    pub(super) fn check_membership(&mut self, item: Operand<'_, '_>, within: Operand<'_, '_>) {
        let kind = within.1;
        if kind.is_number() || kind.is_boolean() || kind.is_null() {
            let name = shown(within.0, kind);
            self.report(within.0, format!("{name} is {kind}, and nothing is in it"), None);
        } else if (kind.is_list() || kind.is_object()) && never_equal(item.1, &kind.item())
            || kind.is_text() && !item.1.could_be(&FieldType::text())
        {
            let name = shown(within.0, kind);
            let searched = shown(item.0, item.1);
            self.report(within.0, format!("{name} is {kind}, and {searched} is never in it"), None);
        }
    }

    fn report_mismatch(&mut self, cannot: &str, left: Operand<'_, '_>, right: Operand<'_, '_>) {
        // The message is about the operand that has a name; if both have one, about the text.
        let by_right = path(left.0).is_none() || path(right.0).is_some() && right.1.is_text();
        let (one, other) = if by_right { (right, left) } else { (left, right) };
        let message =
            format!("{} is {}, and {cannot} {}", shown(one.0, one.1), one.1, shown(other.0, other.1));
        let to_number = one.1.is_text() && other.1.is_number();
        let hint = path(one.0)
            .filter(|_| to_number)
            .map(|path| format!("`{path} | float` is the number that it says"));
        self.report(one.0, message, hint);
    }
}

/// Whether values of the two types are never equal, and cannot be called unequal either.
fn never_equal(one: &FieldType, other: &FieldType) -> bool {
    let counts = |kind: &FieldType| kind.is_number() || kind.is_boolean();
    one.is_text() && counts(other) || counts(one) && other.is_text()
}
