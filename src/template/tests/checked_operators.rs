//! Values of unlike kinds in expressions: what has an answer, and what is said of the rest.

use super::*;

#[test]
fn a_text_and_a_number_have_no_order() {
    let row = row();
    let float = "; `score | float` (or `| int`) is its number";
    for (source, expected) in [
        ("score >= 4", format!("`score` is the text `10`, which cannot be compared by `>=` with `4`, the number 4{float}")),
        ("4 < score", format!("`4` is the number 4, which cannot be compared by `<` with `score`, the text `10`{float}")),
        ("score == 10", format!("`score` is the text `10`, which cannot be compared by `==` with `10`, the number 10{float}")),
        ("score != n", format!("`score` is the text `10`, which cannot be compared by `!=` with `n`, the number 4{float}")),
        ("score in [10, 11]", "`score` is the text `10`, which cannot be compared by `in` with `[...]`, a list".to_owned()),
        ("score not in list", "`score` is the text `10`, which cannot be compared by `in` with `list`, a list".to_owned()),
        ("1 < score < 20", format!("`1` is the number 1, which cannot be compared by `<` with `score`, the text `10`{float}")),
        ("score is gt 3", format!("`score` is the text `10`, which cannot be compared by `>` with `3`, the number 3{float}")),
        ("null > 3", "`null` is null, which cannot be compared by `>` with `3`, the number 3; `null is not none and ...` leaves null out".to_owned()),
        ("truth > 3", "`truth` is true, which cannot be compared by `>` with `3`, the number 3".to_owned()),
        ("list > 3", "`list` is a list, which cannot be compared by `>` with `3`, the number 3".to_owned()),
        ("empty < 3", "`empty` is the text ``, which cannot be compared by `<` with `3`, the number 3; `empty | float` (or `| int`) is its number".to_owned()),
        ("n == '4'", "`n` is the number 4, which cannot be compared by `==` with `'4'`, the text `4`; leave out the quotes of '4'".to_owned()),
        ("truth == 'true'", "`truth` is true, which cannot be compared by `==` with `'true'`, the text `true`; write `true` or `false` without quotes".to_owned()),
        ("yes == true", "`yes` is the text `true`, which cannot be compared by `==` with `true`, true; compare it with a text: `yes == 'true'`".to_owned()),
        ("score > price", "`score` and `price` are the text `10` and the text `2.5`, which would be ordered letter by letter; `score | float` is its number".to_owned()),
    ] {
        decide(source, &row, Err(&expected));
    }
    // Neither is it a number because it is said to be one.
    let Value::Object(fields) = row else { panic!() };
    let condition = Expression::new("na | float > 1", &Map::new()).unwrap();
    assert!(condition.is_true(&Record::new(fields)).is_err());
}

#[test]
fn what_can_be_compared_is() {
    let row = row();
    for (source, expected) in [
        ("score | float >= 4", true),
        ("score | int == 10", true),
        ("score == '10'", true),
        ("n == 4 and n != 5 and n < 5 and n >= 4.0", true),
        ("1 < n < 5", true),
        ("1 < n < 3", false),
        ("1 < n in [4]", true),
        ("null == none and null is none", true),
        ("null != 4", true),
        ("null == 'x'", false),
        ("empty == 4", false),
        ("empty != 4", true),
        ("word < 'z'", true),
        ("day > '2023-12-31'", true),
        ("n in list", false),
        ("n in mixed and true", false),
        ("'a' in mixed", true),
        ("'ea' in word", true),
        ("'a' in map", true),
        ("'b' not in map", true),
        ("word not in words", true),
        ("list == [1, 2]", true),
        ("truth == true", true),
        ("word", true),
        ("empty", false),
        ("null", false),
        ("yes and not empty", true),
        ("list | select('gt', 1) | list == [2]", true),
    ] {
        decide(source, &row, Ok(expected));
    }
}

#[test]
fn a_text_that_means_no_is_not_a_condition() {
    let row = row();
    let says = "`flag` is the text `false`, which would count as true; compare it: `flag == 'true'`, or `flag != ''` where any text is meant";
    for source in [
        "flag",
        "not flag",
        "flag and n > 3",
        "n > 3 and (flag or true)",
        "flag if flag else 1",
        "not (n == 4 and flag)",
    ] {
        decide(source, &row, Err(says));
    }
    render("{% if flag %}x{% endif %}", &row, Err(says));
    render("{{ 'x' if flag }}", &row, Err(says));
    render("{% for i in [1] if flag %}x{% endfor %}", &row, Err(says));
    render("{{ flag or 'none' }} {{ na }}", &row, Ok("false N/A"));
    check("flag | bool", &row, Err(says));
}

#[test]
fn a_text_is_not_an_arithmetic_operand() {
    let row = row();
    check("n + 1", &row, Ok(json!(5)));
    check("n * x - 1 / 2", &row, Ok(json!(1.5)));
    check("word + '!'", &row, Ok(json!("tea!")));
    check("list + words", &row, Ok(json!([1, 2, "a", "b"])));
    check("score ~ price", &row, Ok(json!("102.5")));
    check("9223372036854775807 + 1", &row, Ok(json!(9_223_372_036_854_775_808_u64)));
    check("'-' * 3", &row, Ok(json!("---")));
    check(
        "score * 2",
        &row,
        Err(
            "`score` is the text `10`, with which nothing can be reckoned; `score | float` (or `| int`) is its number",
        ),
    );
    check(
        "score + 2",
        &row,
        Err(
            "`score` is the text `10` and `2` is the number 2: they cannot be added; `score | float` is its number, `~` joins texts",
        ),
    );
    check(
        "score + price",
        &row,
        Err(
            "`score` and `price` are the text `10` and the text `2.5`, which would be joined; `score | float` is its number, or `score ~ price` to join them",
        ),
    );
    check(
        "null + 2",
        &row,
        Err(
            "`null` is null and `2` is the number 2: they cannot be added; `null is not none and ...` leaves null out",
        ),
    );
    check(
        "null * 2",
        &row,
        Err("`null` is null, which has no text; `null | default(0, true)` takes 0 for it"),
    );
}

#[test]
fn only_what_has_an_order_is_put_in_order() {
    let row = row();
    check("[3, 1, 2.5] | sort", &row, Ok(json!([1, 2.5, 3])));
    check("['b', 'a'] | sort(reverse=true)", &row, Ok(json!(["b", "a"])));
    check("[{'s': 2}, {'s': 1}] | sort(attribute='s') | first", &row, Ok(json!({"s": 1})));
    check("[{'s': 2}, {'s': 2}] | unique(attribute='s')", &row, Ok(json!([{"s": 2}])));
    check("[{'s': 2}, {'s': 1}] | join(attribute='s', d='-')", &row, Ok(json!("2-1")));
    check("'x' | int(default=3)", &row, Ok(json!(3)));
    check("list | max", &row, Ok(json!(2)));
    check("[] | max is undefined", &row, Ok(json!(true)));
    check(
        "mixed | sort",
        &row,
        Err(
            "`mixed`: the number 1 cannot be compared by `sort` with the text `a`; `map('float')` makes numbers of texts",
        ),
    );
    check(
        "[{'s': 2}, {'s': 'x'}] | max(attribute='s')",
        &row,
        Err(
            "`[...]`: the number 2 cannot be compared by `max` with the text `x`; `map('float')` makes numbers of texts",
        ),
    );
    check(
        "digits | max",
        &row,
        Err(
            "`max` is given texts of numbers, such as the text `10`, which would be ordered letter by letter; `map('float')` makes them numbers",
        ),
    );
    check("digits | map('float') | max", &row, Ok(json!(10.0)));
}

#[test]
fn null_is_an_error_where_a_text_is_wanted() {
    let row = row();
    let message = "`null` is null, which has no text; `null or ''` leaves it empty";
    for source in ["a {{ null }}", "{{ 'a' ~ null }}", "{{ null ~ 'a' }}"] {
        render(source, &row, Err(message));
    }
    render(
        "{{ map.a }}{{ [null, 1] | join(' ') }}",
        &row,
        Err("`[...]`: the list holds null, which has no text; `reject('none')` before it leaves null out"),
    );
    render(
        "{{ null or '' }}|{{ null | default('-', true) }}|{{ empty }}|{{ 'x' if null else 'y' }}",
        &row,
        Ok("|-||y"),
    );
    render("{{ [null] | tojson }} {{ null is none }}", &row, Ok("[null] True"));
    render("a\n{{ map.b }}", &row, Err("undefined value: `map.b` is undefined"));
}

#[test]
fn a_failed_conversion_reports_its_input() {
    let row = row();
    check(
        "na | float",
        &row,
        Err("`na | float`: the text `N/A` is no number; `float(0)` takes 0 for what is none"),
    );
    check("na | int(0)", &row, Ok(json!(0)));
    check("' 7 ' | int", &row, Ok(json!(7)));
    check(
        "null | int",
        &row,
        Err("`null` is null, which has no text; `null | default(0, true)` takes 0 for it"),
    );
    check("null | float(1)", &row, Ok(json!(1)));
    check(
        "-score",
        &row,
        Err(
            "`score` is the text `10`, with which nothing can be reckoned; `score | float` (or `| int`) is its number",
        ),
    );
    check("-n", &row, Ok(json!(-4)));
    check("null | trim", &row, Err("`null` is null, which has no text; `null or ''` leaves it empty"));
    check("null.strip()", &row, Err("`.strip()`: none has no method named strip"));
}
