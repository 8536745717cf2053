//! Normalizes a text for comparing words: without Markdown and HTML markup, in one case and one form of each
//! character.
//!
//! Not a rendering: both sides of a comparison are normalized, so errors affect both alike.

use unicode_normalization::UnicodeNormalization;

/// The maximum length of a tag, in bytes: a `<` with more before its `>` is a literal sign.
const LONGEST_TAG: usize = 300;

/// The normalized words of a text: lower case, one space for any white space and for marks at the beginning of
/// lines.
pub(super) fn plain(text: &str) -> String {
    let mut unmarked = String::with_capacity(text.len());
    for line in text.lines() {
        inline(without_line_marks(line), &mut unmarked);
        unmarked.push('\n');
    }
    let decoded = in_one_form(&html_escape::decode_html_entities(&unmarked));
    let mut out = String::with_capacity(decoded.len());
    let mut chars = decoded.chars().peekable();
    let mut behind_space = true;
    while let Some(char) = chars.next() {
        let stands_alone = behind_space && chars.peek().is_none_or(|next| next.is_whitespace());
        behind_space = char.is_whitespace();
        match char {
            // Between words it is like a list marker at the beginning of a line.
            '-' | '–' | '—' if stands_alone => behind_space = true,
            'ß' => out.push_str("ss"),
            'ς' => out.push('σ'),
            '-' | '‐' | '‑' | '–' | '—' | '−' => out.push('-'),
            // Quotation marks, those of East Asia too, and characters that have no width or belong to a dotted i.
            '"'
            | '\''
            | '“'
            | '”'
            | '„'
            | '«'
            | '»'
            | '‹'
            | '›'
            | '‘'
            | '’'
            | '‚'
            | '「'
            | '」'
            | '『'
            | '』'
            | '\u{ad}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'
            | '\u{feff}'
            | '\u{307}' => {}
            char if char.is_whitespace() => {
                if !out.ends_with(|last: char| last == ' ' || is_spaceless(last)) {
                    out.push(' ');
                }
            }
            char => {
                if is_spaceless(char) && out.ends_with(' ') {
                    out.pop();
                }
                out.push(char);
            }
        }
    }
    out
}

/// A text in lower case and in Unicode's composed compatibility form. No composition extends over the end of a line,
/// and most lines are ASCII.
fn in_one_form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.is_ascii() {
            out.extend(line.chars().map(|char| char.to_ascii_lowercase()));
        } else {
            out.extend(line.nfkc().flat_map(char::to_lowercase).nfkc());
        }
    }
    out
}

/// Whether a character is of a script that puts no spaces between words.
pub(super) fn is_spaceless(char: char) -> bool {
    matches!(char, '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' | '\u{e00}'..='\u{eff}')
}

/// The line without the markers of a quote, an item, a heading or a row.
fn without_line_marks(line: &str) -> &str {
    let mut rest = line.trim_start();
    loop {
        let marked = rest.trim_start_matches(['>', '#', '|']).trim_start();
        let item = marked.strip_prefix(['-', '*', '+']).filter(|rest| rest.starts_with(' '));
        let digits = marked.trim_start_matches(|char: char| char.is_ascii_digit());
        let number = digits
            .strip_prefix(['.', ')'])
            .filter(|rest| rest.starts_with(' ') && digits.len() < marked.len());
        let next = item.or(number).map_or(marked, str::trim_start);
        if next.len() == rest.len() {
            return rest;
        }
        rest = next;
    }
}

/// Appends a line without inline markup.
fn inline(line: &str, out: &mut String) {
    let mut rest = line;
    while let Some(char) = rest.chars().next() {
        let after = &rest[char.len_utf8()..];
        rest = match char {
            '*' | '_' | '`' | '~' | '$' | '\\' => after,
            '|' => {
                out.push(' ');
                after
            }
            '[' => {
                after.strip_prefix('^').and_then(|note| note.split_once(']')).map_or(after, |(_, rest)| rest)
            }
            ']' => without_target(after),
            '<' => match tag(after) {
                Some((inside, rest)) => {
                    if inside.contains("://") || inside.contains('@') {
                        out.push_str(inside);
                    }
                    rest
                }
                None => {
                    out.push(char);
                    after
                }
            },
            _ => {
                out.push(char);
                after
            }
        };
    }
}

/// What follows the address or reference of a link.
fn without_target(rest: &str) -> &str {
    if let Some(reference) = rest.strip_prefix('[') {
        return reference.split_once(']').map_or(rest, |(_, rest)| rest);
    }
    if !rest.starts_with('(') {
        return rest;
    }
    let mut depth = 0_u32;
    for (at, char) in rest.char_indices() {
        match char {
            '(' => depth += 1,
            ')' if depth == 1 => return &rest[at + 1..],
            ')' => depth -= 1,
            _ => {}
        }
    }
    rest
}

/// The inside of a tag or an address in angle brackets, and what follows it.
fn tag(after: &str) -> Option<(&str, &str)> {
    let opens = after.starts_with(|char: char| char.is_ascii_alphabetic() || "/!".contains(char));
    let (inside, rest) = after.split_once('>').filter(|(inside, _)| opens && inside.len() <= LONGEST_TAG)?;
    (!inside.contains('<')).then_some((inside, rest))
}
