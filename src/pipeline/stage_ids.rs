//! The ids of stages: the given one, or the type, then `type-2`, ...

use std::collections::HashSet;

use serde_json::Value;

/// The type and id of a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StageId {
    /// The stage's type as written; empty if the entry is not a stage.
    pub(crate) kind: String,
    /// Its id.
    pub(crate) id: String,
}

/// Assigns ids to the entries of one list of stages, in order. A stage without an id is numbered if the name of
/// its type is taken.
pub(crate) fn stage_ids(entries: &[Value]) -> Vec<StageId> {
    let kinds: Vec<&str> = entries.iter().map(kind_of).collect();
    let given = |index: usize| entries[index].get(kinds[index])?.get("id")?.as_str();
    let mut taken: HashSet<String> =
        (0..entries.len()).filter_map(|index| given(index).map(str::to_owned)).collect();
    let mut ids = Vec::with_capacity(entries.len());
    for (index, kind) in kinds.iter().enumerate() {
        let id = match given(index) {
            Some(id) => id.to_owned(),
            None => next_free(kind, &taken),
        };
        taken.insert(id.clone());
        ids.push(StageId { kind: (*kind).to_owned(), id });
    }
    ids
}

fn kind_of(entry: &Value) -> &str {
    entry.as_object().and_then(|map| map.keys().next()).map_or("", String::as_str)
}

fn next_free(kind: &str, taken: &HashSet<String>) -> String {
    let mut id = kind.to_owned();
    let mut number = 1;
    while taken.contains(&id) {
        number += 1;
        id = format!("{kind}-{number}");
    }
    id
}

/// Describes the stage that a body pointer such as `/stages/3/sink` belongs to.
pub(crate) fn stage_name(pointer: &str) -> String {
    let mut parts = pointer.split('/').skip(2);
    match (parts.next().and_then(|index| index.parse::<usize>().ok()), parts.next()) {
        (Some(index), Some(kind)) => format!("stage {} (`{kind}`)", index + 1),
        _ => "another stage".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_given_or_counted() {
        let stages = [
            json!({"llm": {}}),
            json!({"llm": null}),
            json!({"sink": {"id": "llm-3"}}),
            json!({"llm": {}}),
            json!({"sink": {}}),
            json!("odd"),
        ];
        let ids: Vec<String> = stage_ids(&stages).into_iter().map(|stage| stage.id).collect();
        assert_eq!(ids, ["llm", "llm-2", "llm-3", "llm-4", "sink", ""]);
    }
}
