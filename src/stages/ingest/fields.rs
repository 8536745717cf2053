//! The fields of file records as far as they are known before a run: those of the first rows.

use serde_json::Value;

use super::Ingest;
use super::rows::Rows;
use crate::pipeline::{CheckContext, FieldType};
use crate::stages::StageDescription;

/// The number of rows inspected before a run.
const PEEK: usize = 100;

/// Declares the fields of the first rows and their types; there may be others if not all rows were read. Returns
/// the first row that cannot be read, and why.
pub(super) fn declare_fields(
    context: &mut CheckContext<'_>,
    rows: Rows,
    has_header: bool,
) -> Option<(u64, String)> {
    let mut wrong = None;
    let mut row_type = FieldType::never();
    let mut whole = true;
    for (seen, (number, row)) in rows.enumerate() {
        if seen == PEEK {
            // A header names all columns, and their values are texts.
            whole = has_header;
            break;
        }
        match row {
            Ok(fields) => row_type = row_type.or(FieldType::of_value(&Value::Object(fields))),
            Err(message) => {
                context.may_have_other_fields();
                wrong.get_or_insert((number, message));
            }
        }
    }
    for (name, kind) in row_type.fields() {
        context.makes_for_some(name, if whole { kind.clone() } else { kind.clone().presumed() });
    }
    if !whole {
        context.may_have_other_fields();
    }
    declare_origin(context, true);
    wrong
}

/// Declares the fields that describe the origin of records.
pub(super) fn declare_origin(context: &mut CheckContext<'_>, is_row: bool) {
    let mut source = vec![];
    for made in Ingest::MAKES {
        if let Some(name) = made.name.strip_prefix("source.").filter(|name| is_row || *name != "row") {
            source.push((name.to_owned(), (made.kind)()));
        }
    }
    context.makes_for_some("source", FieldType::object_of(source, false));
    context.makes_for_some("group", FieldType::texts());
}
