//! Backslashes in answers: what a model forgot to double is mended, what it meant stays.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{ExtractedJson, extract};

/// The value's text of an answer with this raw text in it, bare, fenced, broken otherwise, as a key and nested.
#[track_caller]
fn read(raw: &str) -> (String, Option<String>) {
    let texts = [
        (format!("{{\"a\": \"{raw}\"}}"), "/a"),
        (format!("Sure:\n```json\n{{\"a\": \"{raw}\"}}\n```\nDone."), "/a"),
        (format!("{{'b': 1, \"a\": \"{raw}\",}}"), "/a"),
        (format!("{{\"b\": [{{\"c\": [1, \"{raw}\"]}}]}}"), "/b/0/c/1"),
    ];
    let mut found = None;
    for (text, place) in texts {
        let ExtractedJson { value, unclear, truncated } =
            extract(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(!truncated, "{text}");
        let got = (
            value
                .pointer(place)
                .and_then(Value::as_str)
                .unwrap_or_else(|| panic!("{value}: {text}"))
                .to_owned(),
            unclear,
        );
        assert_eq!(*found.get_or_insert_with(|| got.clone()), got, "{text}");
    }
    let ExtractedJson { value, .. } = extract(&format!("{{\"{raw}\": 1}}")).unwrap();
    let found = found.unwrap();
    assert_eq!(value, json!({&found.0: 1}), "as a key");
    found
}

#[track_caller]
fn check(raw: &str, expected: &str) {
    assert_eq!(read(raw), (expected.to_owned(), None), "{raw}");
}

/// A proper answer: read as JSON reads it.
#[track_caller]
fn same(raw: &str) {
    check(raw, &serde_json::from_str::<String>(&format!("\"{raw}\"")).unwrap());
}

#[track_caller]
fn unclear(raw: &str, escape: &str) {
    assert_eq!(read(raw).1.as_deref(), Some(escape), "{raw}");
}

#[test]
fn commands_that_lost_a_backslash_are_repaired() {
    check(r"Half is $\frac{1}{2}$.", r"Half is $\frac{1}{2}$.");
    check(r"$\alpha + \beta$", r"$\alpha + \beta$");
    check(r"$2 \times 3 \neq \rho$", r"$2 \times 3 \neq \rho$");
    check(r"$\nabla \cdot E = \frac{\rho}{\varepsilon_0}$", r"$\nabla \cdot E = \frac{\rho}{\varepsilon_0}$");
    check(r"\frac without dollars", r"\frac without dollars");
    check(r"it is 2 \times 3", r"it is 2 \times 3");
    check(r"$h\nu$", r"$h\nu$");
    check(r"$\nu$ and \\(\nu\\)", r"$\nu$ and \(\nu\)");
    check(r"\(\nu\) is it", r"\(\nu\) is it");
    check(r"\[ E = h\nu \]", r"\[ E = h\nu \]");
    check(r"$$E = h\nu$$", r"$$E = h\nu$$");
    check(r"$x \to 0$", r"$x \to 0$");
    check(r"$\tan \theta$, $\tau$", r"$\tan \theta$, $\tau$");
    check(r"$x \in A \text{ if } y \notin B$", r"$x \in A \text{ if } y \notin B$");
    check(r"$\left( x \right)$", r"$\left( x \right)$");
    check(r"$\langle x \rangle$", r"$\langle x \rangle$");
    check(r"$\rho \rightarrow 0$", r"$\rho \rightarrow 0$");
    check(r"$g_{\mu\nu}$", r"$g_{\mu\nu}$");
    check(r"$\underline{x} \sum_{i} \bar{x}$", r"$\underline{x} \sum_{i} \bar{x}$");
    check(r"\textbf{Bold} and \texttt{code}", r"\textbf{Bold} and \texttt{code}");
    check(r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}");
    check(r"\begin{cases} 1 \\[2pt] 2 \end{cases}", r"\begin{cases} 1 \\[2pt] 2 \end{cases}");
    check(r"the operator \nabla with \alpha", r"the operator \nabla with \alpha");
    check(r"so \nu is \alpha", r"so \nu is \alpha");
    check(r"用$\frac{1}{2}$和\boldsymbol{x}", r"用$\frac{1}{2}$和\boldsymbol{x}");
    check(r"a single $\frac{a}{b}$ beside $\\times$", r"a single $\frac{a}{b}$ beside $\times$");
    check(r"$\kappa = 5\times 10^{-3}$", r"$\kappa = 5\times 10^{-3}$");
    check(r"a\rightarrow b", r"a\rightarrow b");
    check(r"a word: \bword\b", r"a word: \bword\b");
    check(r"x $a \ne b$ y", r"x $a \ne b$ y");
    check(r"$a \not= b$", r"$a \not= b$");
    check(r"$$\nabla \times F$$", r"$$\nabla \times F$$");
    check(r"$$\n\\frac{a}{b}\neq c\n$$", "$$\n\\frac{a}{b}\\neq c\n$$");
    check(r"\n$\frac{1}{2}$\n", "\n$\\frac{1}{2}$\n");
}

#[test]
fn proper_answers_stay() {
    same(r"line one\nnew line\nnext\nnot this\nthen\tthe rest\r\nright");
    same(r"line one\nu and me");
    same(r"pane\ne vino\ni altri");
    same(r"as said\ne.g. this");
    same(r"fewer\nless\nmid\nexists\nparallel");
    same(r"name\tage\ntext\to\tau");
    same(r"fn main() {\n\treturn tan(x);\n\ttop := 1\n\ttext := filepath.Ext(p)\n\tto = 2\n}");
    same(r"$\\frac{a}{b}$ and $\\nabla \\times F$");
    same(r"$$\n\\nu = 1\n$$");
    same(r"$$\\begin{pmatrix} a \\\\ b \\end{pmatrix}$$");
    same(r"$$\nu = 1\n$$ where $\\alpha$");
    same(r"$$\n\\begin{aligned}\nu &= 1 \\\\\nv &= 2\n\\end{aligned}\n$$");
    same(r"It costs $5.\nu get $6 back.");
    same(r"first  \nu second");
    same(r"regex \\d+\\.\\bfoo\\b");
    same(r"C:\\new\\table and C:\\temp");
    same(r"Option C:\nThe answer\nB:\nno");
    same(r"A:\t5\nB:\t6");
    same(r"Choose C:\nnothing else");
    same(r"if x:\nprint(x)\nelse:\nreturn");
    same(r"\u00e9\u000c\u0008a");
    same(r#"say \"hi\" \/ \\ \n\n \t"#);
    same(r"| a | b |\n| --- | --- |\n| n | t |");
    same(r"ünïcode\nué\nnächste");
    same(r"$x$\nu is next to a formula");
    same(r"**bold**\nnu");
    same(r"abla dedi\nabla geldi");
    same(r"page 1\f\npage 2");
    same(r"escaped \\$5 and\nu \\$6");
    same(r"\\$\\nu");
    same(r"print('a\\nb')\nprint('c')");
    same(r"x = 1\ny = 2\nz = x\nt = 3");
}

#[test]
fn windows_paths_are_repaired() {
    check(r"C:\new\table", r"C:\new\table");
    check(r"C:\Users\kim\notes.txt", r"C:\Users\kim\notes.txt");
    check(r"open C:\temp now", r"open C:\temp now");
    check(r"C:\path\new.txt", r"C:\path\new.txt");
    check(r"D:\data\results\run.csv.", r"D:\data\results\run.csv.");
    check(r"%APPDATA%\npm\bin", r"%APPDATA%\npm\bin");
    check(r"C:\Program Files\nodejs\node.exe", r"C:\Program Files\nodejs\node.exe");
    check(r"first\nC:\tools\bin", "first\nC:\\tools\\bin");
    check(r"in C:\Users\kim\nThen go", "in C:\\Users\\kim\nThen go");
}

#[test]
fn ambiguous_escapes_are_unclear() {
    unclear(r"$$\nE = h\nu\nF\n$$ with \\alpha", "\\nu");
    unclear(r"f: X \to Y", "\\to");
    unclear(r"frequency \nu is", "\\nu");
    unclear(r"in C:\Users\nina", r"C:\Users\nina");
    unclear(r"C:\path\to", r"C:\path\to");
    unclear(r"$\ttr(A)$", "\\ttr");
    unclear(r"\\begin{pmatrix} a \\ b \\end{pmatrix} \alpha", r"\\");
}

#[test]
fn hostile_answers_take_linear_time() {
    for part in [
        r"\nu ",
        r"$\nu",
        r"$$\nu",
        r"\begin{a}\\ ",
        r"C:\n",
        r"%A%\n",
        r"\\(",
        r"$ \\$",
        r"\nabla$",
        r"C:\a\n",
    ] {
        for head in ["", r"\alpha $$\n", r"\\begin{x}\alpha"] {
            let text = format!("{{\"a\": \"{head}{}\"}}", part.repeat(100_000 / part.len()));
            let _ = extract(&text);
        }
    }
}

/// A text as JSON with some of the backslashes of its commands single.
fn badly_encoded(text: &str) -> String {
    let encoded = serde_json::to_string(text).unwrap();
    encoded.replace("\\\\", "\\")
}

/// Formulas whose commands are all known, as models write them.
fn formula() -> impl Strategy<Value = String> {
    let command = prop::sample::select(vec![
        r"\frac{a}{b}",
        r"\beta",
        r"\nabla",
        r"\nu",
        r"\neq",
        r"\ne",
        r"\times",
        r"\theta",
        r"\tau",
        r"\to",
        r"\rho",
        r"\right)",
        r"\rangle",
        r"\alpha",
        r"\sum_{i}",
        r"\text{if}",
        r"\not",
        r"\notin",
        r"\bar{x}",
        r"\ni",
        r"\tan",
        "x",
        "2",
        "=",
        "y_1",
        r"\forall",
        r"\leq",
        r"\\{x\\}",
    ]);
    let body = prop::collection::vec(command, 1..6).prop_map(|parts| parts.join(" "));
    let body = body.prop_map(|body| body.replace("\\\\", ""));
    (body, 0..3).prop_map(|(body, kind)| match kind {
        0 => format!("${body}$"),
        1 => format!("\\({body}\\)"),
        _ => format!("$${body}$$"),
    })
}

/// Prose, code and tables with real line breaks and tabs before any word.
fn prose() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "u", "e", "i", "eq", "abla", "ot", "less", "mid", "an", "au", "o", "ext", "The", "new", "next", "is",
        "5", "n", "t", "rho", "times", "kim.", "eg", "exists", "$5", "ü", "其中", "x = 1;", "C:", "- item",
        "# head", "`code`", "|", "{}",
    ]);
    let gap = prop::sample::select(vec!["\n", "\n\n", "\n\t", " ", ", ", "  \n", "\r\n", "\t", "\n- "]);
    prop::collection::vec((word, gap), 0..12)
        .prop_map(|parts| parts.into_iter().map(|(word, gap)| format!("{word}{gap}")).collect())
}

proptest! {
    /// What matters most: JSON that is as it should be comes back as it was, whatever it speaks of.
    #[test]
    fn proper_json_with_formulas_comes_back(
        parts in prop::collection::vec(prop_oneof![prose(), formula(), "[a-zA-Z .,\\\\{}^_\n\t]{0,12}"], 0..8),
    ) {
        let mut text = parts.join(" ");
        // A single space before a line break marks a command in a sentence.
        while text.contains([' ', '\t']) && (text.contains(" \n") || text.contains(" \t")) {
            text = text.replace(" \n", "\n").replace(" \t", "\t");
        }
        let ExtractedJson { value, unclear, .. } = extract(&json!({"a": text}).to_string()).unwrap();
        if unclear.is_none() {
            prop_assert_eq!(value, json!({"a": text}));
        }
    }

    #[test]
    fn any_text_without_control_characters_before_letters_comes_back(text in any::<String>()) {
        prop_assume!(!text.contains(['\u{8}', '\u{c}', '\n', '\r', '\t']));
        let ExtractedJson { value, unclear, .. } = extract(&json!({"a": text, &text: [text]}).to_string()).unwrap();
        prop_assert_eq!((value, unclear), (json!({"a": text, &text: [text]}), None));
    }

    #[test]
    fn formulas_with_single_backslashes_are_mended(
        parts in prop::collection::vec(prop_oneof![formula(), "[A-Z][a-z]{2,6}( [a-z]{4,8})?[.,]"], 1..8),
    ) {
        let text = parts.join(" ");
        let answer = format!("{{\"a\": {}}}", badly_encoded(&text));
        let ExtractedJson { value, unclear, .. } = extract(&answer).unwrap();
        prop_assert_eq!((value, unclear), (json!({"a": text}), None), "{}", answer);
    }
}
