//! Tests of templates and expressions as their users see them.

mod checked_operators;

use super::*;
use serde_json::json;

fn record() -> Record {
    let Value::Object(fields) = json!({"section": {"title": "Setup"}, "n": 3, "id": "row-1"}) else {
        unreachable!()
    };
    Record::new(fields)
}

#[test]
fn renders_fields_vars_and_the_rows_own_id() {
    let vars = Map::from_iter([("lang".to_owned(), json!("de"))]);
    let template = Template::new("{{ id }}: {{ section.title }} {{ n + 1 }} {{ vars.lang }}", &vars).unwrap();
    assert_eq!(template.render(&record()).unwrap(), "row-1: Setup 4 de");
    assert_eq!(template.variables(), ["id", "n", "section.title", "vars.lang"]);
}

#[test]
fn what_is_sliced_is_read_too() {
    let template = Template::new("{{ section.title[:n] }}{{ [1, 2, 3][1:] }}", &Map::new()).unwrap();
    assert_eq!(template.variables(), ["n", "section.title"]);
    assert_eq!(template.render(&record()).unwrap(), "Set[2, 3]");
    assert!(Expression::new("section.title[:2] == 'Se'", &Map::new()).unwrap().is_true(&record()).unwrap());
}

#[test]
fn an_undefined_name_is_an_error() {
    let template = Template::new("{{ section.titel }}", &Map::new()).unwrap();
    let error = template.render(&record()).unwrap_err();
    assert!(error.message.contains("undefined"), "{error}");
}

#[test]
fn an_endless_template_runs_out_of_fuel() {
    let source = "{% for i in range(9999) %}{% for j in range(9999) %}{{ i }}{% endfor %}{% endfor %}";
    assert!(Template::new(source, &Map::new()).unwrap().render(&record()).is_err());
}

#[test]
fn expressions_decide_and_compute() {
    let expression = Expression::new("n > 2 and section.title == 'Setup'", &Map::new()).unwrap();
    assert!(expression.is_true(&record()).unwrap());
    let list = Expression::new("[section.title, '<b>']", &Map::new()).unwrap();
    assert_eq!(list.value(&record()).unwrap(), json!(["Setup", "<b>"]));
    assert!(Expression::new("n >", &Map::new()).is_err());
    assert!(Expression::new("n %} {% if 1", &Map::new()).is_err());
}

/// The value of an expression over the fields of `fields`, as JSON, or the whole message.
fn check(source: &str, fields: &Value, expected: Result<Value, &str>) {
    let Value::Object(fields) = fields else { panic!("no object") };
    let found = Expression::new(source, &Map::new())
        .and_then(|expression| expression.value(&Record::new(fields.clone())))
        .map_err(|error| error.to_string());
    assert_eq!(found, expected.map_err(str::to_owned), "{source}");
}

/// Whether a condition is true, or the whole message.
fn decide(source: &str, fields: &Value, expected: Result<bool, &str>) {
    let Value::Object(fields) = fields else { panic!("no object") };
    let found = Expression::new(source, &Map::new())
        .and_then(|expression| expression.is_true(&Record::new(fields.clone())))
        .map_err(|error| error.to_string());
    assert_eq!(found, expected.map_err(str::to_owned), "{source}");
}

/// The text of a template, or the whole message.
fn render(source: &str, fields: &Value, expected: Result<&str, &str>) {
    let Value::Object(fields) = fields else { panic!("no object") };
    let found = Template::new(source, &Map::new())
        .and_then(|template| template.render(&Record::new(fields.clone())))
        .map_err(|error| error.to_string());
    assert_eq!(found.as_deref().map_err(String::as_str), expected, "{source}");
}

/// A row of a table, where all are texts, and what other sources give.
fn row() -> Value {
    json!({"score": "10", "na": "N/A", "empty": "", "flag": "false", "yes": "true", "price": "2.5", "word": "tea",
           "n": 4, "x": 0.5, "null": null, "list": [1, 2], "words": ["a", "b"], "mixed": [1, "a"], "truth": true,
           "map": {"a": 1}, "digits": ["10", "9"], "day": "2024-01-02"})
}

#[test]
fn pythons_methods_and_plain_json() {
    let row = json!({"name": " Kim ", "facts": ["it's <b> & more"], "map": {"a": 1}});
    render(
        "{{ name.strip().upper() }} {{ 'a,b'.split(',') | join('-') }} {{ name.startswith(' ') }}",
        &row,
        Ok("KIM a-b True"),
    );
    render(
        "{% for k, v in map.items() %}{{ k }}={{ v }}{% endfor %} {{ '{} {}'.format(1, 'a') }}",
        &row,
        Ok("a=1 1 a"),
    );
    render("{{ facts | tojson }}", &row, Ok("[\"it's <b> & more\"]"));
    render("{{ map | tojson(indent=2) }}", &row, Ok("{\n  \"a\": 1\n}"));
}

#[test]
fn any_field_can_be_named() {
    let row = json!({"Product name": "kettle", "5-star": 1, "my-col": "x", "meta.lang": "en", "meta": {"kind": "web", "lang": "de"},
                     "a.b.c": 7, "only.dotted": 1});
    render(
        "{{ record['Product name'] }} {{ record[\"5-star\"] + 1 }} {{ record['my-col'] | upper }}",
        &row,
        Ok("kettle 2 X"),
    );
    render(
        "{{ meta.lang }} {{ meta.kind }} {{ record['meta.lang'] }} {{ a.b.c }} {{ only.dotted }}",
        &row,
        Ok("en web en 7 1"),
    );
    render("{{ record | length }} {{ record.meta.kind }}", &row, Ok("7 web"));
    render(
        "{% for k, v in record.items() %}{{ k }},{% endfor %}",
        &row,
        Ok("Product name,5-star,my-col,meta.lang,meta,a.b.c,only.dotted,"),
    );
    let own = json!({"record": {"title": "x"}});
    render("{{ record.title }}", &own, Ok("x"));
    let names =
        Template::new("{{ record['Product name'] }}{{ record.meta.kind }}{{ a['b'].c[0].d }}", &Map::new())
            .unwrap();
    assert_eq!(names.variables(), ["a.b.c", "record.Product name", "record.meta.kind"]);
}

#[test]
fn unknown_names_are_found_before_rendering() {
    let refused = |source: &str, message: &str, line: usize, hint: Option<&str>| {
        let error = Template::new(source, &Map::new()).unwrap_err();
        let found = (error.message.as_str(), error.line.unwrap_or_default(), error.hint.as_deref());
        assert_eq!(found, (message, line, hint), "{source}");
    };
    let upper = Some("did you mean `upper`?");
    refused("a\n{{ text | uper }}", "templates have no filter `uper`", 2, upper);
    refused("{{ a|trim|uper }}", "templates have no filter `uper`", 1, upper);
    refused("{% if a is evn %}{% endif %}", "templates have no test `evn`", 1, Some("did you mean `even`?"));
    refused("{% if a is not xyzzy %}{% endif %}", "templates have no test `xyzzy`", 1, None);
    refused("{% filter uper %}x{% endfilter %}", "templates have no filter `uper`", 1, upper);
    refused("{{ a | map('uper') }}", "templates have no filter `uper`", 1, upper);
    refused("{{ a | selectattr('b', 'gtt', 1) }}", "templates have no test `gtt`", 1, None);
    refused("{{ a.strp() }}", "templates have no method `strp`", 1, Some("did you mean `strip`?"));
    refused(
        "{{ a.trim() }}",
        "templates have no method `trim`",
        1,
        Some("`trim` is a filter: write `x | trim`"),
    );
    refused(
        "{% for x in a %}\n{{ x.append(1) }}{% endfor %}",
        "templates have no method `append`",
        2,
        Some("a list cannot be changed; `list + [item]` makes a new one"),
    );
    refused(
        "{{ upper(a) }}",
        "templates have no function `upper`",
        1,
        Some("`upper` is a filter: write `x | upper`"),
    );
    refused("{{ lipsum() }}", "templates have no function `lipsum`", 1, None);
    for tag in ["include 'a'", "import 'a' as b", "from 'a' import b", "extends 'a'"] {
        let error = Template::new(&format!("{{% {tag} %}}"), &Map::new()).unwrap_err();
        assert!(error.message.ends_with("to read: a template stands alone"), "{error}");
    }
}

#[test]
fn names_that_the_template_sets_are_not_read_from_the_record() {
    let reads = |source: &str| Template::new(source, &Map::new()).unwrap().variables().join(" ");
    for (source, expected) in [
        ("a | uper {# b | uper #} {{ 'c | uper is evn' }}", ""),
        ("{% raw %}{{ a | uper }}{% endraw %} | uper", ""),
        ("{% for x in xs %}{{ x.a }} {{ loop.index }}{{ y }}{% else %}{{ x }}{% endfor %}", "x xs y"),
        ("{% set a = b %}{{ a }}{% with c = a %}{{ c }}{% endwith %}{{ c }}", "b c"),
        (
            "{% macro m(p, q=r) %}{{ p }}{{ s }}{{ caller() }}{% endmacro %}{{ m(1) }}{% call m(2) %}{{ t }}{% endcall %}",
            "r s t",
        ),
        ("{% set ns = namespace(a=b) %}{% set ns.a = c %}{{ ns.a }}", "b c"),
        ("{% set t %}{{ u }}{% endset %}{{ t }}", "u"),
        ("{{ a[b].c }}{{ d['e'][0].f }}{{ g[:h] }}{{ i.strip() }}", "a b d.e g h i"),
        ("{% for k, v in m.items() if v > w %}{{ k }}{% endfor %}", "m w"),
        ("{{ range(3) | list }}{{ dict(a=1) }}", ""),
    ] {
        assert_eq!(reads(source), expected, "{source}");
    }
}

#[test]
fn a_source_that_is_too_deep_is_refused_before_it_is_parsed() {
    let refused = |source: &str| {
        let error = Template::new(source, &Map::new()).unwrap_err();
        assert!(error.message.contains("more than") || error.message.contains("recursion"), "{error}");
    };
    let many = |part: &str| part.repeat(20_000);
    for expression in [
        format!("a{}", many(" or a")),
        format!("a{}", many(" + a")),
        format!("a{}", many(".b")),
        format!("a{}", many("[0]")),
        format!("a{}", many(" | trim")),
        format!("a{}", many(" if a else a")),
        format!("{}a", many("not ")),
        format!("{}a", many("- ")),
        format!("{}a{}", many("("), many(")")),
        format!("{}a{}", many("["), many("]")),
        format!("{}a{}", many("{1:"), many("}")),
        format!("{}a", many("a ~ (")),
        format!("a{}", many(" < a")),
        format!("a{}", many("()")),
    ] {
        refused(&format!("{{{{ {expression} }}}}"));
        assert!(Expression::new(&expression, &Map::new()).is_err());
    }
    refused(&format!("{{% if a %}}{}{{% endif %}}", many("{% elif a %}")));
    refused(&format!("{}{}", many("{% if a %}"), many("{% endif %}")));
}

/// The deepest sources that are taken fit the stack of a thread, in a program that is not optimized.
#[test]
fn what_is_taken_fits_the_stack() {
    let many = |part: &str, times: usize| part.repeat(times);
    for expression in [
        format!("n{}", many(" or n", 199)),
        format!("n{}", many(" + n", 199)),
        format!("n{}", many(" ~ n", 199)),
        format!("{}n{}", many("(", 70), many(")", 70)),
        format!("{}n{}", many("[", 70), many("]", 70)),
        format!("{}n", many("not ", 199)),
        format!("n{}", many(" if n else n", 99)),
        format!("n{}", many(" | string", 199)),
        format!("[{}]", many("n,", 50_000)),
        format!("n in [{}]", many("1, ", 50_000)),
    ] {
        let expression = Expression::new(&expression, &Map::new()).unwrap();
        let _ = expression.value(&record());
    }
    let nested = format!("{}x{}", many("{% if n %}", 70), many("{% endif %}", 70));
    assert_eq!(Template::new(&nested, &Map::new()).unwrap().render(&record()).unwrap(), "x");
}

#[test]
fn time_and_memory_of_a_render_are_bounded() {
    let row = json!({"n": 3, "text": "x".repeat(1 << 20)});
    let doubled = "{% set ns = namespace(a='xxxxxxxx') %}{% for i in range(40) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a | length }}";
    for source in [
        doubled,
        "{% for i in range(9999) %}{% for j in range(9999) %}{{ i }}{% endfor %}{% endfor %}",
        "{{ 'x' * 10**9 }}",
        "{{ [1] * 10**9 }}",
        "{{ range(10**9) | list }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'a' | indent(10**9) }}",
        "{{ 'a\nb' | indent(10**9) }}",
        "{{ text | replace('x', text) | length }}",
        "{{ text.replace('x', text) | length }}",
        "{{ range(90000) | join(text) | length }}",
        "{{ [1] | batch(10**9, 1) | list | length }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for x in [1] recursive %}{{ loop([x, x]) }}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(90000) %}{% set ns.l = [ns.l] %}{% endfor %}x",
        "{% set ns = namespace(l=[1]) %}{% for i in range(90000) %}{% set ns.l = {'a': ns.l} %}{% endfor %}x",
        "{% for x in [1] recursive %}{{ [x, x] | string | length }}{{ loop([[x, x]]) }}{% endfor %}",
        "{% for i in range(90000) %}{{ text == text ~ 'a' }}{% endfor %}",
        "{% for i in range(90000) %}{% if 'y' in text %}{% endif %}{% endfor %}",
        "{% set t %}{% for i in range(90000) %}{{ text }}{% endfor %}{% endset %}{{ t | length }}",
        "{{ text | batch(1) | list | batch(1) | list | length }}",
    ] {
        let found = Template::new(source, &Map::new())
            .and_then(|template| template.render(&Record::new(row.as_object().unwrap().clone())));
        assert!(found.is_err(), "{source}: {}", found.unwrap().len());
    }
    render(
        doubled,
        &row,
        Err("the template does too much: more than 1048576 steps, or more than 64 MiB of text and lists"),
    );
    render("{{ text | length }} {{ text | upper | length }}", &row, Ok("1048576 1048576"));
}
