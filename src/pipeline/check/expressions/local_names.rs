//! The names that a template sets or tests, whose types are not those of the record's fields.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{Expr, Stmt};

use super::ast::{each_body, each_expr, each_inner, path, target_names};

/// Tests that do not depend on the kind of their value: they expect texts.
const OF_TEXTS: [&str; 2] = ["quoted_from", "search"];

/// The names that a template sets, and those whose kind it tests.
#[derive(Default)]
pub(super) struct LocalNames {
    pub(super) tested: BTreeSet<String>,
    pub(super) set: BTreeSet<String>,
}

impl LocalNames {
    /// Collects from a statement and everything in it.
    pub(super) fn stmt(&mut self, stmt: &Stmt<'_>) {
        each_expr(stmt, &mut |expr| self.expr(expr));
        match stmt {
            Stmt::Set(set) => self.target(&set.target),
            Stmt::SetBlock(set) => self.target(&set.target),
            Stmt::Macro(declared) => {
                self.set.insert(declared.name.to_owned());
            }
            _ => {}
        }
        each_body(stmt, &mut |stmt| self.stmt(stmt));
    }

    fn target(&mut self, target: &Expr<'_>) {
        self.set.extend(target_names(target).iter().map(|name| (*name).to_owned()));
    }

    /// Collects from an expression and everything in it.
    pub(super) fn expr(&mut self, expr: &Expr<'_>) {
        if let Expr::Test(test) = expr
            && !OF_TEXTS.contains(&test.name)
            && let Some(path) = path(&test.expr)
        {
            self.tested.insert(path.split('.').next().unwrap_or_default().to_owned());
        }
        each_inner(expr, &mut |inner| self.expr(inner));
    }
}
