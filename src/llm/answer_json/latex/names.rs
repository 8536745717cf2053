//! The names of LaTeX commands that matter where a backslash was lost.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Commands that start with a letter of a JSON escape for white space. Those with `b` and `f` need no list.
const WHITE_SPACE_LIKE: &str = "\
    nLeftarrow nRightarrow nVdash nabla natural ncong ne nearrow neg neq newcommand newline nexists ngeq ngeqslant \
    ngtr ni nleftarrow nleftrightarrow nleq nleqslant nless nmid nobreak noindent nolimits nonumber normalfont \
    normalsize not notag notin nparallel nprec nrightarrow nsim nsubseteq nsucc nsupseteq nu nvdash nwarrow rVert \
    raisebox rangle rbrace rbrack rceil ref renewcommand rfloor rgroup rho right rightarrow rightharpoonup \
    rightleftarrows rightleftharpoons rightrightarrows rm rmfamily root rtimes rule rvert tag tan tanh tau tbinom \
    text textbf textcolor textit textnormal textrm textsc textsf textstyle textsubscript textsuperscript texttt \
    textup textwidth tfrac therefore theta thickapprox thicksim tilde times tiny to top triangle triangledown \
    triangleleft triangleq triangleright twoheadrightarrow";

/// Those of them whose letters after the first are a word, a name or a usual abbreviation, and thus may start a line or
/// a cell: `e.g.`, `i`, `u`, `less`, `an`.
const REST_IS_A_WORD: &str = "\
    ne neg nexists ni nless nmid not nparallel nprec nsim nsucc nu tag tan tau text to top";

/// Commands that require an argument in braces.
const WITH_BRACE: &str = "\
    tag tbinom text textbf textcolor textit textnormal textrm textsc textsf textsubscript textsuperscript texttt \
    textup tilde";

/// Frequent commands with other letters: they show how an answer writes its backslashes.
const OTHERS: &str = "\
    Big Delta Gamma Lambda Leftarrow Leftrightarrow Omega Phi Pi Psi Rightarrow Sigma Theta alpha angle approx \
    arctan ast bar begin beta bf big binom boldsymbol boxed cap cdot cdots chi circ cong cos cup ddots delta dfrac \
    displaystyle div dots ell emptyset end epsilon equiv eta exists exp forall frac gamma ge geq geqslant gg hat \
    hbar hline iff implies in infty int iota item kappa lambda langle lceil ldots le left leftarrow leq leqslant \
    lfloor lim ll ln log mapsto mathbb mathbf mathcal mathrm mathsf max mid min mp mu odot oint omega operatorname \
    oplus otimes overline parallel partial perp phi pi pm pmod prime prod propto psi qquad quad sec section \
    setminus sigma sim simeq sin sinh sqrt subset subseteq sum sup supset underbrace underline varepsilon varphi \
    vdots vec vee wedge widehat xi xrightarrow zeta";

/// Whether LaTeX has a command of this name that starts like a JSON escape for white space.
pub(in crate::llm::answer_json) fn is_white_space_like(name: &str) -> bool {
    LISTS.white_space_like.contains(name)
}

/// Whether LaTeX has a frequent command of this name.
pub(in crate::llm::answer_json) fn is_command(name: &str) -> bool {
    LISTS.others.contains(name) || is_white_space_like(name)
}

/// Whether the rest of a command after its first letter is a word.
pub(in crate::llm::answer_json) fn rest_is_a_word(name: &str) -> bool {
    LISTS.rest_is_a_word.contains(name)
}

/// Whether a command requires an argument in braces.
pub(in crate::llm::answer_json) fn wants_brace(name: &str) -> bool {
    LISTS.with_brace.contains(name)
}

/// The lists as sets.
struct CommandLists {
    white_space_like: HashSet<&'static str>,
    rest_is_a_word: HashSet<&'static str>,
    with_brace: HashSet<&'static str>,
    others: HashSet<&'static str>,
}

static LISTS: LazyLock<CommandLists> = LazyLock::new(|| CommandLists {
    white_space_like: WHITE_SPACE_LIKE.split(' ').collect(),
    rest_is_a_word: REST_IS_A_WORD.split(' ').collect(),
    with_brace: WITH_BRACE.split(' ').collect(),
    others: OTHERS.split(' ').collect(),
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_lists_are_subsets_of_the_long_one() {
        assert!(LISTS.rest_is_a_word.union(&LISTS.with_brace).all(|name| is_white_space_like(name)));
        assert!(is_white_space_like("nabla") && is_command("alpha") && is_command("tau") && !is_command(""));
        assert!(rest_is_a_word("nu") && wants_brace("text") && !wants_brace("to"));
    }
}
