//! Limits on the size and depth of a template's source.
//!
//! The parser is recursive, and so is what traverses its tree: a `when` of twenty thousand `or` would be as deep
//! as it is long, and overflow the stack. The depth is therefore estimated from the tokens, which are read
//! sequentially, before anything is parsed.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::TemplateError;

/// The maximum depth of an expression's tree, in operators.
const DEEPEST: usize = 200;
/// The maximum number of `elif` branches: each is nested in the one before it.
const MOST_BRANCHES: usize = 100;

/// The operators counted so far at one level of brackets.
#[derive(Default)]
struct BracketLevel {
    /// `and` and `or`, each of which has everything before it as its left operand.
    joints: usize,
    /// Other operators since the last of those.
    operators: usize,
    /// The maximum depth between them, and of closed brackets.
    inside: usize,
    /// The maximum depth before a comma.
    before: usize,
}

impl BracketLevel {
    fn joint(&mut self) {
        self.joints += 1;
        self.inside = self.inside.max(std::mem::take(&mut self.operators));
    }

    fn comma(&mut self) {
        self.before = self.depth();
        (self.joints, self.operators, self.inside) = (0, 0, 0);
    }

    fn depth(&self) -> usize {
        self.before.max(self.joints + self.operators + self.inside)
    }
}

/// Refuses a source that is too deep. A source that cannot be tokenized is left to the parser.
pub(super) fn check(source: &str, expression: bool, syntax: &SyntaxConfig) -> Result<(), TemplateError> {
    let mut levels = vec![BracketLevel::default()];
    let mut branches = 0;
    for token in tokenize(source, expression, syntax.clone()) {
        let Ok((token, span)) = token else { return Ok(()) };
        let line = usize::from(span.start_line);
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => {
                levels = vec![BracketLevel::default()];
            }
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => levels.push(BracketLevel::default()),
            Token::ParenClose | Token::BracketClose | Token::BraceClose if levels.len() > 1 => {
                let closed = levels.pop().map_or(0, |level| level.depth() + 1);
                if let Some(level) = levels.last_mut() {
                    level.inside = level.inside.max(closed);
                    // As an index or a call it encloses what is before it.
                    level.operators += 1;
                }
            }
            Token::Comma | Token::Colon => levels.last_mut().into_iter().for_each(BracketLevel::comma),
            Token::Ident("and" | "or") => levels.last_mut().into_iter().for_each(BracketLevel::joint),
            Token::Ident("elif") => branches += 1,
            Token::Ident("not" | "if" | "else" | "is" | "in") => {
                levels.last_mut().into_iter().for_each(|level| level.operators += 1);
            }
            Token::Ident(_)
            | Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_)
            | Token::VariableEnd
            | Token::BlockEnd => {}
            _ => levels.last_mut().into_iter().for_each(|level| level.operators += 1),
        }
        let depth = levels.len() - 1 + levels.iter().map(BracketLevel::depth).sum::<usize>();
        if depth > DEEPEST {
            let message = format!(
                "the expression is too long: more than {DEEPEST} operators in a row or in each other"
            );
            let mut error = TemplateError::new(message, Some(line));
            error.hint = Some("`x in ['a', 'b', 'c']` compares with any number of values".to_owned());
            return Err(error);
        }
        if branches > MOST_BRANCHES {
            let message = format!("the template has more than {MOST_BRANCHES} `elif` branches");
            return Err(TemplateError::new(message, Some(line)));
        }
    }
    Ok(())
}
