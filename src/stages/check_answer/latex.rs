//! Converts answers to plain text: removes LaTeX and Markdown around a number or a word, and normalizes signs.
//!
//! Only commands that are used in answers are known. Any other command is kept, so that the text is not a number.

/// Commands whose argument is text.
const WRAPPING: [&str; 13] = [
    "text",
    "textbf",
    "textit",
    "textrm",
    "mathrm",
    "mathbf",
    "mathit",
    "mbox",
    "operatorname",
    "boxed",
    "fbox",
    "rm",
    "mathsf",
];
/// Commands that are replaced by signs.
const SIGNS: [(&str, &str); 26] = [
    ("times", "×"),
    ("cdot", "×"),
    ("circ", "°"),
    ("degree", "°"),
    ("pi", "π"),
    ("leq", "≤"),
    ("le", "≤"),
    ("geq", "≥"),
    ("ge", "≥"),
    ("neq", "≠"),
    ("ne", "≠"),
    ("lt", "<"),
    ("gt", ">"),
    ("approx", "≈"),
    ("pm", "±"),
    ("infty", "∞"),
    ("cup", "∪"),
    ("euro", "€"),
    ("pounds", "£"),
    ("left", ""),
    ("right", ""),
    ("displaystyle", ""),
    ("quad", " "),
    ("qquad", " "),
    ("lbrace", "{"),
    ("rbrace", "}"),
];

/// The distance of the full-width forms of ASCII from ASCII.
const WIDE: u32 = 0xfee0;

/// The text without its markup.
#[must_use]
pub(super) fn plain(text: &str) -> String {
    let signs = usual_signs(text);
    // A single dollar sign is a currency; a pair encloses a formula.
    let dollars = signs.matches('$').count() - signs.matches("\\$").count();
    let mut out = String::with_capacity(signs.len());
    let mut rest = signs.as_str();
    while let Some(first) = rest.chars().next() {
        match first {
            '\\' => rest = command(rest, &mut out),
            '$' if dollars.is_multiple_of(2) => rest = &rest[1..],
            '{' if rest.starts_with("{,}") => {
                out.push(',');
                rest = &rest[3..];
            }
            '^' if degree_sign(rest).is_some() => {
                out.push('°');
                rest = degree_sign(rest).unwrap_or_default();
            }
            _ => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    let out = out.replace("**", "").replace("__", "").replace('`', "");
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text after a degree sign, which LaTeX writes as a superscript.
fn degree_sign(rest: &str) -> Option<&str> {
    ["^{\\circ}", "^\\circ", "^{\\degree}", "^°", "^{°}"].iter().find_map(|sign| rest.strip_prefix(sign))
}

/// Writes the replacement of the command at the beginning of `rest`, and returns the text after it.
fn command<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let after = &rest[1..];
    let length = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
    if length == 0 {
        let Some(sign) = after.chars().next() else { return after };
        match sign {
            '!' => {}
            ',' | ';' | ':' | ' ' => out.push(' '),
            '(' | ')' | '[' | ']' => {}
            sign => out.push(sign),
        }
        return &after[sign.len_utf8()..];
    }
    let (name, after) = after.split_at(length);
    if matches!(name, "frac" | "dfrac" | "tfrac" | "cfrac")
        && let Some((top, after)) = argument(after)
        && let Some((bottom, after)) = argument(after)
    {
        if out.ends_with(|c: char| c.is_ascii_digit()) {
            out.push(' ');
        }
        out.push_str(&operand(&top));
        out.push('/');
        out.push_str(&operand(&bottom));
        return after;
    }
    if WRAPPING.contains(&name)
        && let Some((inside, after)) = argument(after)
    {
        // Spaces inside a text are kept.
        out.push_str(if inside.starts_with(' ') { " " } else { "" });
        out.push_str(&plain(&inside));
        out.push_str(if inside.ends_with(' ') { " " } else { "" });
        return after;
    }
    match SIGNS.iter().find(|(known, _)| *known == name) {
        Some((_, sign)) => out.push_str(sign),
        None => {
            out.push('\\');
            out.push_str(name);
        }
    }
    after
}

/// The operand of a fraction, in brackets unless it is a number.
fn operand(text: &str) -> String {
    let text = plain(text);
    let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || ".-".contains(c));
    if is_number { text } else { format!("({text})") }
}

/// The argument of a command: the text between braces, or the next character.
fn argument(rest: &str) -> Option<(String, &str)> {
    let rest = rest.trim_start();
    match rest.chars().next()? {
        '{' => braced(rest).map(|(inside, after)| (inside.to_owned(), after)),
        '\\' | '}' => None,
        first => Some((first.to_string(), &rest[first.len_utf8()..])),
    }
}

/// Splits the text at the brace that closes the one at the beginning; `None` if there is none.
pub(super) fn braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            '\\' => {
                escaped = !escaped;
                continue;
            }
            '{' if !escaped => depth += 1,
            '}' if !escaped => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some((&text[1..at], &text[at + 1..]));
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
        escaped = false;
    }
    None
}

/// Normalizes the digits of all scripts to ASCII, and variants of minus, apostrophe, separators and spaces to one
/// form.
fn usual_signs(text: &str) -> String {
    text.chars().map(|char| decimal_digit(char).unwrap_or_else(|| usual_sign(char))).collect()
}

fn usual_sign(char: char) -> char {
    match char {
        '−' | '‒' | '–' => '-',
        '’' | 'ʼ' => '\'',
        '٫' => '.',
        '٬' => ',',
        '٪' => '%',
        '⁄' | '∕' => '/',
        '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' => ' ',
        // The full-width forms of ASCII.
        '！'..='～' => char::from_u32(char as u32 - WIDE).unwrap_or(char),
        other => other,
    }
}

fn decimal_digit(char: char) -> Option<char> {
    const ZEROS: [char; 6] = ['٠', '۰', '०', '০', '๐', '௦'];
    let zero = ZEROS
        .iter()
        .find(|zero| (**zero..=char::from_u32(**zero as u32 + 9).unwrap_or(**zero)).contains(&char))?;
    char::from_digit(char as u32 - *zero as u32, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_removed_and_signs_are_the_usual_ones() {
        for (text, expected) in [
            (r"$\frac{3}{4}$", "3/4"),
            (r"3\dfrac{1}{2}", "3 1/2"),
            (r"\frac12", "1/2"),
            (r"\frac{x+1}{2}", "(x+1)/2"),
            (r"\frac{\sqrt{2}}{2}", r"(\sqrt{2})/2"),
            (r"5\text{ cm}", "5 cm"),
            (r"5 \, \mathrm{km}", "5 km"),
            (r"1{,}234", "1,234"),
            (r"1\,234", "1 234"),
            (r"50\%", "50%"),
            (r"\$12.50", "$12.50"),
            ("$5", "$5"),
            (r"90^\circ", "90°"),
            (r"90^{\circ}", "90°"),
            (r"\left(1, 2\right)", "(1, 2)"),
            (r"\{1, 2\}", "{1, 2}"),
            ("**42**", "42"),
            ("−5", "-5"),
            ("١٢٫٥", "12.5"),
            ("１２％", "12%"),
            ("Ｂ", "B"),
            ("1\u{202f}234", "1 234"),
            (r"\sqrt{2}", r"\sqrt{2}"),
            (r"2\pi", "2π"),
            (r"x \le 3", "x ≤ 3"),
            ("\\", ""),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn braces_are_matched_in_pairs() {
        for (text, expected) in [
            ("{a{b}c}d", Some(("a{b}c", "d"))),
            (r"{\{1\}}", Some((r"\{1\}", ""))),
            (r"{\\}", Some((r"\\", ""))),
            ("{a", None),
            ("a}", None),
            ("", None),
        ] {
            assert_eq!(braced(text), expected, "{text}");
        }
    }
}
