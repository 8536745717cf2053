//! Renders a page of the stage reference for a terminal: Markdown tables become lists, and all lines fit the width.
//!
//! Used by `stages` if stdout is a terminal; a pipe gets the Markdown itself.

use textwrap::Options;

/// Renders the page in `width` columns.
pub(super) fn render(markdown: &str, width: usize) -> String {
    let mut out = String::new();
    let mut in_code = false;
    let mut table = TableState::default();
    for line in markdown.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            out.push_str(&format!("    {line}\n"));
            continue;
        }
        if let Some(cells) = cells(line) {
            table.row(&cells, width, &mut out);
            continue;
        }
        table = TableState::default();
        match line.trim_start_matches('#') {
            heading if heading.len() < line.len() => out.push_str(&format!("{}\n", heading.trim())),
            text => paragraph(&plain(text), "", width, &mut out),
        }
    }
    out
}

/// Progress through a table.
#[derive(Default)]
struct TableState {
    rows: usize,
}

impl TableState {
    /// Renders a row: the first cell with the middle ones in parentheses, and the last cell below.
    fn row(&mut self, cells: &[String], width: usize, out: &mut String) {
        self.rows += 1;
        // The header and the delimiter row.
        if self.rows <= 2 {
            return;
        }
        let [first, middle @ .., last] = cells else { return };
        let middle: Vec<&str> = middle.iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
        let kind = if middle.is_empty() { String::new() } else { format!(" ({})", middle.join("; ")) };
        paragraph(&format!("{first}{kind}"), "  ", width, out);
        paragraph(last, "      ", width, out);
    }
}

fn paragraph(text: &str, indent: &str, width: usize, out: &mut String) {
    let options =
        Options::new(width.max(40)).initial_indent(indent).subsequent_indent(indent).break_words(false);
    for line in textwrap::wrap(text, options) {
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// Splits a table row into cells; an escaped bar belongs to its cell.
fn cells(line: &str) -> Option<Vec<String>> {
    let inside = line.strip_prefix('|')?.strip_suffix('|')?;
    let joined = inside.replace("\\|", "\u{0}");
    Some(joined.split('|').map(|cell| plain(&cell.trim().replace('\u{0}', "|"))).collect())
}

/// Removes Markdown emphasis; code keeps its backticks, which distinguish names from words.
fn plain(text: &str) -> String {
    text.replace("**", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_lists_that_fit() {
        let page = "## split\n\nSets a field.\n\n| option | type | default | meaning |\n|---|---|---|---|\n\
            | `by` | text or list of texts | `group` | Records of one value stand together, whatever it is called. |\n\
            | `a` | `x` \\| `y` |  | Short. |\n\n```yaml\n- split:\n    by: x\n```\n";
        let expected = "split\n\nSets a field.\n\n  `by` (text or list of texts; `group`)\n\
            \x20     Records of one value stand\n      together, whatever it is called.\n\
            \x20 `a` (`x` | `y`)\n      Short.\n\n    - split:\n        by: x\n";
        assert_eq!(render(page, 40), expected);
    }
}
