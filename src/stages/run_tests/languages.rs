//! The languages whose code is tested: one row of `LANGUAGES` each.
//!
//! A row names the language, says how its code is recognised in an answer, and with which command and which files a test
//! runs. To add a language, write a harness that ends with a report (`verdict.rs` reads it, `harness/python.py` is the
//! model) and add a row; everything else finds the language through the table.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// What is known of a language.
pub(super) struct CodeLanguage {
    /// Its name in pipelines.
    pub(super) name: &'static str,
    /// Other names, as the labels of code blocks have them, in lower case.
    pub(super) labels: &'static [&'static str],
    /// The program that must be installed.
    pub(super) needs: &'static str,
    /// The file in the work folder that holds the code.
    pub(super) file: &'static str,
    /// The command that runs the code as a program, for tests that compare its output.
    pub(super) command: &'static [&'static str],
    /// The command that runs a test of the code.
    pub(super) test_command: &'static [&'static str],
    /// The file that holds the test, and what it is made into.
    pub(super) test_file: (&'static str, fn(&str) -> String),
    /// The files that run a test.
    pub(super) harness: &'static [(&'static str, &'static str)],
    /// A definition at the beginning of a line; the first group that matches is its name.
    pub(super) definition: LazyLock<Regex>,
    /// A line that is code and certainly no prose.
    pub(super) code_line: LazyLock<Regex>,
}

const PYTHON: [&str; 5] = ["python3", "-s", "-B", "-W", "ignore"];
/// Compiles the test with the code, and moves the secret to where the code does not look for it.
const C_TEST: &str = "cc -O1 -w -std=gnu17 -o program _test.c _harness.c -lm && rm -f _test.c _harness.c \
                      && exec 9<&0 0</dev/null && exec ./program";

/// Every language, the most usual first.
pub(super) static LANGUAGES: [CodeLanguage; 4] = [
    CodeLanguage {
        name: "python",
        labels: &["py", "python3", "python2", "py3", "ipython", "pycon", "python-repl"],
        needs: "python3",
        file: "solution.py",
        command: &[PYTHON[0], PYTHON[1], PYTHON[2], PYTHON[3], PYTHON[4], "solution.py"],
        test_command: &[PYTHON[0], PYTHON[1], PYTHON[2], PYTHON[3], PYTHON[4], "_harness.py"],
        test_file: ("_test.py", str::to_owned),
        harness: &[
            ("_harness.py", include_str!("harness/python.py")),
            ("_checks.py", include_str!("harness/python_checks.py")),
            ("pytest.py", include_str!("harness/pytest.py")),
        ],
        definition: LazyLock::new(|| compiled(r"(?m)^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)")),
        code_line: LazyLock::new(|| {
            compiled(
                r"^(?:(?:async )?def \w+|class \w+.*:|import [\w.]+(?: as \w+)?(?:,.*)?$|from [\w.]+ import\b|@\w|(?:if|for|while|with|elif|except) .*:|(?:try|else|finally):|(?:assert|return|raise|del|global) \S|print\(|#!?|[A-Za-z_][\w.]*(?:\[.*\])?(?:,\s*\w+)*(?:\s*:\s*[\w\[\], .|]+)?\s*[-+*/%|&]?=[^=]|[A-Za-z_][\w.]*\(.*\)\s*(?:#.*)?$|>>> )",
            )
        }),
    },
    CodeLanguage {
        name: "bash",
        labels: &["sh", "shell", "zsh", "shellscript", "shell-script", "bash-script"],
        needs: "bash",
        file: "solution.sh",
        command: &["bash", "solution.sh"],
        test_command: &["bash", "_harness.sh"],
        test_file: ("_test.sh", str::to_owned),
        harness: &[("_harness.sh", include_str!("harness/bash.sh"))],
        definition: LazyLock::new(|| compiled(r"(?m)^(?:function[ \t]+([\w:-]+)|([\w:-]+)[ \t]*\([ \t]*\))")),
        code_line: LazyLock::new(|| {
            compiled(
                r"^(?:#|\w[\w:-]*\s*\(\s*\)|function \w+|(?:if|for|while|until|case) .*|(?:fi|done|esac|then|else|do)\b|\w+=|(?:echo|printf|read|local|export|set|cd|grep|sed|awk|cat|trap|exit|exec|source|return|declare|readonly|shift|eval|find|sort|head|tail|wc|ls|tr|cut|mkdir|rm|cp|mv|xargs) |[{}])",
            )
        }),
    },
    CodeLanguage {
        name: "javascript",
        labels: &["js", "node", "nodejs", "node.js", "mjs", "cjs", "jsx", "ecmascript", "es6"],
        needs: "node",
        file: "solution.js",
        command: &["node", "solution.js"],
        test_command: &["sh", "-c", "exec 9<&0 0</dev/null && exec node _harness.js 9"],
        test_file: ("_test.js", str::to_owned),
        harness: &[("_harness.js", include_str!("harness/javascript.js"))],
        definition: LazyLock::new(|| {
            compiled(
                r"(?m)^(?:export[ \t]+)?(?:default[ \t]+)?(?:(?:async[ \t]+)?function\*?[ \t]*(\w+)|class[ \t]+(\w+)|(?:const|let|var)[ \t]+(\w+)[ \t]*=[ \t]*(?:async\b|function\b|class\b|\w+[ \t]*=>|\([^\n]*=>|\([^)\n]*$))",
            )
        }),
        code_line: LazyLock::new(|| {
            compiled(
                r"^(?:(?:async )?function\b|(?:const|let|var|class|import|export) \S|//|/\*|\*|[\w.$]+\s*=[^=]|[\w.$]+\(.*\);?$|(?:if|for|while|switch)\s*\(|[{}\])]|module\.)",
            )
        }),
    },
    CodeLanguage {
        name: "c",
        labels: &["h", "c99", "c11", "c17", "ansi-c", "gnu-c"],
        needs: "cc",
        file: "solution.c",
        command: &["sh", "-c", "cc -O1 -w -std=gnu17 -o program solution.c -lm && exec ./program"],
        test_command: &["sh", "-c", C_TEST],
        test_file: ("_test.c", c_test),
        harness: &[("_harness.c", include_str!("harness/c.c"))],
        definition: LazyLock::new(|| compiled(r"(?m)^[A-Za-z_][\w \t*]*?\b(\w+)[ \t]*\([^;{}]*\)\s*\{")),
        code_line: LazyLock::new(|| {
            compiled(
                r"^(?:#\s*(?:include|define|if|ifdef|ifndef|endif|pragma)\b|//|/\*|\*|(?:static |const |unsigned |struct |typedef |enum |union )|(?:int|void|char|long|double|float|bool|size_t)\b[ *].*[({;=]|[{}]|\w+\(.*\);)",
            )
        }),
    },
];

/// The language of this name, or with this label.
pub(super) fn find(name: &str) -> Option<&'static CodeLanguage> {
    let name = name.trim().to_lowercase();
    LANGUAGES.iter().find(|language| language.is_labelled(&name))
}

impl CodeLanguage {
    /// Whether a label, in lower case, names the language.
    pub(super) fn is_labelled(&self, label: &str) -> bool {
        self.name == label || self.labels.contains(&label)
    }

    /// The names that code defines at its top level.
    pub(super) fn definitions<'a>(&self, code: &'a str) -> Vec<&'a str> {
        let name = |found: regex::Captures<'a>| {
            found.iter().skip(1).flatten().next().map_or("", |group| group.as_str())
        };
        self.definition.captures_iter(code).map(name).collect()
    }

    /// The files in the work folder of a test.
    pub(super) fn test_files(&self, code: &str, test: &str) -> BTreeMap<String, Vec<u8>> {
        let (name, made) = self.test_file;
        let mut files = self.program_files(code);
        files.insert(name.to_owned(), made(test).into_bytes());
        for (name, content) in self.harness {
            files.insert((*name).to_owned(), content.as_bytes().to_vec());
        }
        files
    }

    /// The files in the work folder of the code alone.
    pub(super) fn program_files(&self, code: &str) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([(self.file.to_owned(), code.as_bytes().to_vec())])
    }
}

/// The test and the code as one unit of C: the test's statements in a function, or its own functions, which are called.
fn c_test(test: &str) -> String {
    static TESTS: LazyLock<Regex> = LazyLock::new(|| {
        compiled(
            r"(?m)^(?:static[ \t]+)?(?:void|int|bool)[ \t]+(test\w*|main)[ \t]*\([ \t]*(?:void)?[ \t]*\)\s*\{",
        )
    });
    let (includes, body): (Vec<&str>, Vec<&str>) =
        test.lines().partition(|line| line.trim_start().starts_with("#include"));
    let (includes, body) = (includes.join("\n"), body.join("\n"));
    let mut functions: Vec<&str> = TESTS
        .captures_iter(&body)
        .filter_map(|found| found.get(1))
        .map(|name| if name.as_str() == "main" { "test_main" } else { name.as_str() })
        .collect();
    if functions.contains(&"test_main") {
        functions = vec!["test_main"];
    }
    let inside = if functions.is_empty() { body.as_str() } else { "" };
    let outside = if functions.is_empty() { "" } else { body.as_str() };
    let calls: String = functions.iter().map(|name| format!("    {name}();\n")).collect();
    format!(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <stdbool.h>\n#include <stdint.h>\n\
         #include <limits.h>\n#include <math.h>\n{includes}\n#define main solution_main\n#include \"solution.c\"\n\
         #undef main\n#undef assert\nint harness_check(int, const char *, int);\nvoid harness_end(void);\n\
         #define assert(...) (harness_check(!!(__VA_ARGS__), #__VA_ARGS__, __LINE__) ? (void)0 : harness_end())\n\
         #define main test_main\n#line 1 \"test.c\"\n{outside}\n#undef main\nvoid harness_test(void) {{\n\
         #line 1 \"test.c\"\n{inside}\n{calls}}}\n"
    )
}

/// A regular expression that is a constant: each of them is compiled by a test.
pub(super) fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| unreachable!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_belong_to_one_language() {
        let mut seen = std::collections::BTreeSet::new();
        for language in &LANGUAGES {
            for label in language.labels.iter().chain([&language.name]) {
                assert!(seen.insert(label), "{label}");
                assert_eq!(find(&label.to_uppercase()).unwrap().name, language.name);
            }
            assert!(!language.code_line.is_match("This is how it is done."), "{}", language.name);
        }
        assert!(find("cobol").is_none());
    }

    #[test]
    fn definitions_are_those_at_the_top_level() {
        let check = |language: &str, code: &str, expected: &[&str]| {
            assert_eq!(find(language).unwrap().definitions(code), expected, "{code}");
        };
        check(
            "py",
            "import os\ndef f(x):\n    def g(): pass\nasync def h(): ...\nclass C:\n",
            &["f", "h", "C"],
        );
        check("sh", "f() {\n  g\n}\nfunction h {\n}\nfoo-bar () { :; }", &["f", "h", "foo-bar"]);
        check(
            "js",
            "function f() {\n  const x = 1;\n}\nconst g = () => 1;\nconst r = f(1);\nexport class C {}\nexport default function k() {}",
            &["f", "g", "C", "k"],
        );
        check(
            "c",
            "#include <x.h>\nstatic int *f(int a,\n  int b) {\n  if (a) {}\n}\nint g(void);\nvoid h(void)\n{\n}",
            &["f", "h"],
        );
    }

    #[test]
    fn a_test_in_c_is_statements_or_functions() {
        let statements = c_test("#include <ctype.h>\nint x = f(1);\nassert(x == 2);");
        assert!(statements.contains("#include <ctype.h>\n#define main solution_main"), "{statements}");
        assert!(
            statements.contains("void harness_test(void) {\n#line 1 \"test.c\"\nint x = f(1);"),
            "{statements}"
        );
        let functions =
            c_test("static void test_a(void) {\n  assert(f(1) == 2);\n}\nvoid test_b() { assert(1); }\n");
        assert!(functions.ends_with("    test_a();\n    test_b();\n}\n"), "{functions}");
        let program = c_test("void test_a(void) { assert(f()); }\nint main() { test_a(); }");
        assert!(program.ends_with("    test_main();\n}\n"), "{program}");
    }
}
