//! How large and how deep a template's source may be.
//!
//! The parser is recursive, and so is what walks the tree it makes: a `when` of twenty thousand `or` would be
//! as deep as it is long, and end the process when the stack ends. Depth is therefore estimated from the tokens,
//! which are read one after the other, before anything is parsed.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::TemplateError;

/// The deepest tree of one expression, counted in operators.
const DEEPEST: usize = 200;
/// `elif` branches of one template: each lies inside the one before it.
const MOST_BRANCHES: usize = 100;

/// What one level of brackets holds so far.
#[derive(Default)]
struct BracketLevel {
    /// `and` and `or`, each of which has all before it on its left.
    joints: usize,
    /// Other operators since the last of those.
    operators: usize,
    /// The deepest of what stood between them, and of brackets that are closed.
    inside: usize,
    /// The deepest of what stood before a comma.
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

/// Refuses a source that is too deep. What does not even come apart into tokens is left to the parser.
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
                    // As an index or a call it lies around what stands before it.
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
