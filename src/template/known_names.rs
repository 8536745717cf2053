//! The built-in names of templates, to be suggested for an unknown one.
//!
//! Whether a filter or test exists is decided by the environment; functions and methods are listed completely.

use crate::nearest::nearest;

/// Filters.
pub(super) const FILTERS: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "bins",
    "bool",
    "capitalize",
    "chain",
    "count",
    "default",
    "dictsort",
    "diff",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "language",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "mean",
    "min",
    "numbers",
    "pprint",
    "regex_replace",
    "regex_search",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "suffix_sums",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "wordcount",
    "zip",
];

/// Tests.
pub(super) const TESTS: [&str; 22] = [
    "defined",
    "undefined",
    "none",
    "boolean",
    "odd",
    "even",
    "number",
    "integer",
    "float",
    "string",
    "sequence",
    "mapping",
    "iterable",
    "lower",
    "upper",
    "in",
    "divisibleby",
    "startingwith",
    "endingwith",
    "eq",
    "quoted_from",
    "search",
];

/// Functions.
pub(super) const FUNCTIONS: [&str; 7] =
    ["range", "dict", "namespace", "debug", "super", "caller", "pass_at_k"];

/// Methods of texts, lists and maps, as in Python.
pub(super) const METHODS: [&str; 29] = [
    "capitalize",
    "count",
    "endswith",
    "find",
    "format",
    "get",
    "isalnum",
    "isalpha",
    "isascii",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "items",
    "join",
    "keys",
    "lower",
    "lstrip",
    "replace",
    "rfind",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
    "values",
];

/// What to write instead of an unknown method.
pub(super) fn instead_of_method(name: &str) -> Option<String> {
    let near = nearest(name, METHODS.iter().copied()).filter(|near| *near != name);
    match name {
        "append" | "extend" | "insert" => {
            Some("a list cannot be changed; `list + [item]` makes a new one".to_owned())
        }
        "len" | "size" => Some("write `x | length`".to_owned()),
        _ if FILTERS.contains(&name) => Some(format!("`{name}` is a filter: write `x | {name}`")),
        _ => near.map(|near| format!("did you mean `{near}`?")),
    }
}
