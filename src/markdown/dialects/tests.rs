//! Texts in the dialects of Markdown, with the resulting facts and headings.

use super::super::{Outline, Syntax, facts, sections};
use proptest::prelude::*;

/// Checks the headings (with `# `) and the facts of a text.
fn check(text: &str, expected: &[&str]) {
    let outline = Outline::of(text, Syntax::Markdown);
    let mut found = Vec::new();
    for section in sections::split(text, &outline, "Doc") {
        if section.level > 0 {
            found.push(format!("# {}", section.title));
        }
        if outline.is_readable(&section.body) {
            found.extend(facts::of(text, &outline, &section.body));
        }
    }
    assert_eq!(found, expected, "{text}");
}

/// Checks that the only fact of a text is the text itself, on one line.
fn check_as_written(texts: &[&str]) {
    for text in texts {
        check(text, &[text]);
    }
}

#[test]
fn formulas_are_kept_as_they_are_written() {
    check_as_written(&[
        "The product $a*b*c$ is symmetric in its factors.",
        r"The set is $\{x \mid x > 0\}$ as usual, with norm $\|x\|$.",
        r"Inline \(e^{i\pi} + 1 = 0\) is an identity, and \(x\) its argument.",
        "The sum $x_1 + x_2$ and the **other** $y_1$ too.".replace("**", "").as_str(),
        r"Here $`a_1*b`$ stands as GitLab has it.",
        r"Then \[ E = mc^2 \] holds in any frame of reference.",
        "最直接的想法是选择$y \\in \\{1, 2, 3\\}$，其中整数分别代表。",
        "The price of $p$ is what $f(p)$ says.",
    ]);
    check(
        "# Lines\n\n$$\nf(x)\n=\ng(x) + h(x)\n$$\n\nThe last remark belongs here.\n",
        &["# Lines", "$$ f(x) = g(x) + h(x) $$", "The last remark belongs here."],
    );
    check(
        "The energy is given by:\n\n$$E = mc^2$$\n\nThe rest follows from it.\n",
        &["The energy is given by: $$E = mc^2$$", "The rest follows from it."],
    );
    check(
        "> It says\n> $$\n> a\n> -\n> b_1\n> $$\n> and nothing else at all.\n",
        &["It says $$ a - b_1 $$ and nothing else at all."],
    );
    check("| Name | Value |\n|---|---|\n| norm | $|x|_1$ |\n", &["Name: norm; Value: $|x|_1$"]);
    check("- an item with $a_1 * b_2 * c$ inside\n", &["an item with $a_1 * b_2 * c$ inside"]);
    check(
        "\\begin{align}\na &= b \\\\\n\n  &= c\n\\end{align}\n",
        &["\\begin{align} a &= b \\\\ &= c \\end{align}"],
    );
    check(
        "```math\na_1 + b_1 = c\n```\n\nA sentence after it.\n",
        &["a_1 + b_1 = c", "A sentence after it."],
    );
    check("## The $L^2$ *norm*\n\nA sentence about it.\n", &["# The $L^2$ norm", "A sentence about it."]);
}

#[test]
fn prices_and_escapes_are_no_formulas() {
    check("It costs $5 and *not* $10 today.\n", &["It costs $5 and not $10 today."]);
    check("Between $5-$10 or *US*$20 and 30$ each.\n", &["Between $5-$10 or US$20 and 30$ each."]);
    check("It was $5 **million** in May and 7$ later on.\n", &["It was $5 million in May and 7$ later on."]);
    check(
        "Set $HOME *and* $PATH, or $HOME/$PATH as well.\n",
        &["Set $HOME and $PATH, or $HOME/$PATH as well."],
    );
    check("An index array\\[i\\] and a call f\\(x\\) here.\n", &["An index array[i] and a call f(x) here."]);
    check("| A | B |\n|---|---|\n| $5 | $6 for *two* |\n", &["A: $5; B: $6 for two"]);
    check("Say `$a*b$` and `\\(x^2\\)` as code here.\n", &["Say $a*b$ and \\(x^2\\) as code here."]);
    check(
        "A lone $$ stands here.\n\n# Next\n\nAnother $$ stands there.\n",
        &["A lone $$ stands here.", "# Next", "Another $$ stands there."],
    );
}

#[test]
fn markup_of_obsidian_is_removed() {
    check(
        "See [[Green tea|the green one]] before [[Black tea]]s. %% not this %% Mind ==the *hot* water== too. ^ab12cd\n",
        &["See the green one before Black teas.", "Mind the hot water too."],
    );
    check(
        "%% a private remark to the author only %%\n\n%%\nMore of it,\n\nover lines.\n%%\n\nA sentence stays here.\n",
        &["A sentence stays here."],
    );
    check(
        "> [!warning]- Hot water\n> Mind the water when you pour it.\n",
        &["Mind the water when you pour it."],
    );
    check("> [!info]\n> Nothing is lost in this aside.\n", &["Nothing is lost in this aside."]);
    check("![[picture.png|300]]\n\n#tea #water/hot\n\nA sentence stays here.\n", &["A sentence stays here."]);
    check("| Tea | Link |\n|---|---|\n| Green | [[Green\\|the page]] |\n", &["Tea: Green; Link: the page"]);
    check(
        "If a == b and c == d, then [[ -f x ]] is 50%% of it.\n",
        &["If a == b and c == d, then [[ -f x ]] is 50%% of it."],
    );
    check(
        "The list [[1, 2], [3]] and x ^2 stay as they are.\n",
        &["The list [[1, 2], [3]] and x ^2 stay as they are."],
    );
}

#[test]
fn markup_of_mdx_is_removed() {
    check(
        "import Tabs from '@theme/Tabs';\nimport {\n  A,\n  B as C,\n} from \"x\";\n\nexport const meta = {\n  author: 'Kim',\n\n  year: 1,\n};\n\n# Install\n\nRun the installer from the disk image.\n",
        &["# Install", "Run the installer from the disk image."],
    );
    check(
        "<Tabs groupId=\"os\" values={[{a: '>'}]}>\n  <TabItem value=\"mac\">\n\n    Run the installer on a Mac.\n\n      Mind the second step as well.\n\n  </TabItem>\n</Tabs>\n\n{/* no words here */}\n\nUse the <Icon name=\"x\" /> button now.\n",
        &["Run the installer on a Mac.", "Mind the second step as well.", "Use the button now."],
    );
    check(
        "A `Vec<u8>` and a Vec<String> take <name> of things.\n",
        &["A Vec<u8> and a Vec<String> take <name> of things."],
    );
    check(
        "import the data from the old system first.\n\nexport it with the new one then.\n",
        &["import the data from the old system first.", "export it with the new one then."],
    );
    check(
        "```js\nimport a from 'b';\n```\n\nThe import from above works.\n",
        &["The import from above works."],
    );
}

#[test]
fn markup_of_site_generators_is_removed() {
    check(
        ":::note Mind this\n\nThe water is hot when you pour.\n\n:::\n\nThe rest of it follows.\n",
        &["The water is hot when you pour.", "The rest of it follows."],
    );
    check("::: {.callout-tip}\nThe water is hot when you pour.\n:::\n", &["The water is hot when you pour."]);
    check(
        ":::{warning} A title\n:class: wide\n\nThe water is hot when you pour.\n:::\n",
        &["The water is hot when you pour."],
    );
    check(
        "```{note} A title\n:name: x\n\nThe water is hot. Mind `it` always.\n```\n\nAfter the aside.\n",
        &["The water is hot.", "Mind it always.", "After the aside."],
    );
    check(
        "!!! note \"A title\"\n    The water is hot when you pour.\n\n    - a list in the aside\n\n        deeper words of the item\n\nAfter the aside.\n",
        &[
            "The water is hot when you pour.",
            "a list in the aside",
            "deeper words of the item",
            "After the aside.",
        ],
    );
    check(
        "{{< note >}}\nThe water is {{< param x >}} hot today.\n{{< /note >}}\n\n{% include toc.html %}\n\n[TOC]\n\n[[toc]]\n",
        &["The water is hot today."],
    );
    check(
        "Read [the guide]({{< ref \"guide.md\" >}}) and [more]({{ site.url }}/a).\n{: .lead}\n",
        &["Read the guide and more."],
    );
    check(
        "{% highlight ruby %}\nputs \"*a*\"\n# no heading\n{% endhighlight %}\n\nA sentence after it.\n",
        &["A sentence after it."],
    );
    check(
        "* TOC\n{:toc}\n\n## A title {#id .class}\n\nAn image ![](x.png){width=50%} and `code`{.rust} here.\n",
        &["# A title", "An image and code here."],
    );
    check(
        "See {ref}`the guide <guide>` and {py:class}`Foo` for it.\n",
        &["See the guide <guide> and Foo for it."],
    );
    check(
        ":material-clock-fast:{ .lg .middle } Set it up in minutes. { style=\"display: inline\" }\n\nA {.set} and a {a=b} of things.\n",
        &["Set it up in minutes.", "A {.set} and a {a=b} of things."],
    );
}

#[test]
fn html_is_read_as_its_text() {
    check(
        "<table><tr><th>Tea</th><th>Minutes</th></tr>\n\n  <tr><td>Green &amp; white</td>\n\n    <td>2</td></tr><tr><td></td><td></td></tr></table>\n",
        &["Tea: Green & white; Minutes: 2"],
    );
    check(
        "<table><tr><td>\n\n**Bold** words\n\n- an item\n\n</td><td><table><tr><td>inner</td></tr></table></td></tr></table>\n",
        &["Bold words an item; inner"],
    );
    check(
        "<details>\n<summary>More of it</summary>\n\nThe words inside are read.\n\n</details>\n",
        &["The words inside are read."],
    );
    check(
        "<p align=\"center\"><a href=\"x\">Docs</a> | <a href=\"y\">Chat</a></p>\n<p>The first sentence. The second<br>one here.</p>\n<ul><li>an item of a list</li></ul>\n",
        &["The first sentence.", "The second one here.", "an item of a list"],
    );
    check(
        "<style>\np { color: red }\n\n.a {}\n</style>\n\nWords <script>alert('no words')</script> stay here.\n\n<!-- no\n\nwords -->\n",
        &["Words stay here."],
    );
    check(
        "<h1 align=\"center\">\n  <b>The tool</b>\n</h1>\n\nA sentence about it.\n",
        &["# The tool", "A sentence about it."],
    );
    check(
        "```html\n<table><tr><td>x</td></tr></table><!-- a -->\n```\n\nWrite `<!--` and `<style>` to begin.\n",
        &["Write <!-- and <style> to begin."],
    );
}

#[test]
fn prose_above_a_line_of_hyphens_is_no_heading() {
    check(
        "The pumps are started by hand in winter.\n---\nThe valve has two settings.\n",
        &["The pumps are started by hand in winter.", "The valve has two settings."],
    );
    check(
        "水泵在冬天需要手动启动。\n---\n阀门有两个设置。\n",
        &["水泵在冬天需要手动启动。", "阀门有两个设置。"],
    );
    check("A title\n---\nA sentence under it.\n", &["# A title", "A sentence under it."]);
    check(
        "What is a title of this kind?\n---\nA sentence under it.\n",
        &["# What is a title of this kind?", "A sentence under it."],
    );
    check(
        "The end of the story comes now.\n-------------------------------\nA sentence under it.\n",
        &["# The end of the story comes now.", "A sentence under it."],
    );
    check("Foo Inc.\n---\nA sentence under it.\n", &["# Foo Inc.", "A sentence under it."]);
    check(
        "A whole sentence that ends as one.\n===\nA sentence under it.\n",
        &["# A whole sentence that ends as one.", "A sentence under it."],
    );
}

#[test]
fn what_is_nothing_to_a_reader_is_not_in_the_text() {
    let text =
        "import a from 'b';\n\nOne <!-- x --> two.\n<!-- y -->\nThree.\n\n%% z %%\n\n`<!-- code -->`\n";
    let outline = Outline::of(text, Syntax::Markdown);
    let readable = outline.readable(text, &(0..text.len()));
    assert_eq!(readable, "\nOne  two.\nThree.\n\n\n`<!-- code -->`\n");
}

/// Blocks around the word `@`, which a reader sees.
const AROUND: &[&str] = &[
    "@",
    "# @",
    "@\n---",
    "@.\n---",
    "> @",
    "> [!note] @",
    "- @",
    "1. @\n   - @",
    "*@*",
    "[@](x)",
    "[[@]]",
    "[[x|@]]",
    "==@==",
    "<p>@</p>",
    "<b>@</b>",
    "<div>\n@\n</div>",
    "<li>@",
    "<table><tr><td>@</td></tr></table>",
    "| @ | b |\n|---|---|\n| c | @ |",
    ":::note @\n@\n:::",
    ":::\n@",
    "!!! note\n    @",
    "```{note}\n@\n```",
    "{{< x >}} @ {{< /x >}}",
    "{% x %}@",
    "@ {: .x}",
    "$5 @ $6",
    "$x$ @ $y$",
    "$$\n@\n$$",
    "\\(x^2\\) @",
    "\\[ @",
    "$$ @",
    "%% x %% @",
    "@ %%",
    "<Tabs>@</Tabs>",
    "<Tab a={1}>\n\n    @\n\n</Tab>",
    "`x` @",
    "```\n@\n```",
    "    @",
    "<!-- x --> @",
    "@ <!-- x",
    "^x @",
    "~~@~~",
    "@ ^idx",
    "export @",
    "import @",
    "@ [^1]\n\n[^1]: @",
    "<details><summary>@</summary>@</details>",
];

proptest! {
    #[test]
    fn every_word_of_prose_is_kept(blocks in proptest::collection::vec(0..AROUND.len(), 1..8), apart in "(\n|\n\n|\n\n\n)") {
        let mut text = String::new();
        let mut words = Vec::new();
        for block in blocks {
            for (number, piece) in AROUND[block].split('@').enumerate() {
                if number > 0 {
                    words.push(format!("wort{}ende", words.len()));
                    text.push_str(words.last().map_or("", String::as_str));
                }
                text.push_str(piece);
            }
            text.push_str(&apart);
        }
        let outline = Outline::of(&text, Syntax::Markdown);
        let read = outline.readable(&text, &(0..text.len()));
        let mut found: String = outline.atoms.iter().map(|atom| format!("{} ", atom.text)).collect();
        found.extend(outline.headings.iter().map(|heading| format!("{} ", heading.title)));
        for word in &words {
            // A comment left open by one block may be closed by another.
            if read.contains(word.as_str()) && !text.contains("<!-- x\n") && !text.contains("%%\n") {
                prop_assert!(found.contains(word.as_str()), "{word} of {text:?} in {found:?}");
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\$|\\$\\$\n|或|\\\\\\(|\\\\\\)|%%|\\[\\[|\\]\\]|==|\\{%|%\\}|\\{\\{<|>\\}\\}|<T|<table>|<td>|</table>|<!--|-->|<style>|:::|!!! a|    |import |from 'a'|export const a=|\\{|\\}|> \\[!a\\]|---|```\\{note\\}|```|\\^ab1|ä|。|\u{2}| |\n|\n){0,60}") {
        let outline = Outline::of(&text, Syntax::Markdown);
        let rewritten = super::rewrite(&text);
        prop_assert_eq!(rewritten.text.len(), text.len());
        let _ = facts::of(&text, &outline, &(0..text.len()));
        let _ = outline.readable(&text, &(0..text.len()));
        prop_assert!(outline.headings.is_sorted_by_key(|heading| heading.lines.start));
    }
}
