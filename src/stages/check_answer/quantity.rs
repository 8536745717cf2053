//! A number with its unit, found in a text and compared with another.
//!
//! What is not certain is not an answer: a sentence with two numbers has none, a bound is not a number, and a
//! comparison that depends on the meaning of a unit or a decimal separator is unknown.

use num_rational::BigRational;

use super::Correctness;
use super::units::{self, MONEY};
use super::words::{
    CUE, DENIED, FUNCTION_WORDS, JOINED, NO_UNITS, PERCENT, SHORT_UNIT, UNCERTAIN_MULTIPLIER, UNIT_WORDS,
    first_word, matches, multiplier,
};
use crate::number::{self, DecimalSign, Numeral};
use crate::rational::whole;

/// A number with its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quantity {
    pub(super) value: BigRational,
    /// The number with the other decimal separator.
    pub(super) other: Option<BigRational>,
    pub(super) is_percent: bool,
    /// As `units::plain` returns it.
    pub(super) unit: Option<String>,
}

/// The rules by which quantities are compared.
#[derive(Debug, Clone, Default)]
pub(super) struct QuantityRules {
    pub(super) decimal: DecimalSign,
    /// The allowed difference of two numbers.
    pub(super) tolerance: Option<BigRational>,
    /// The unit of numbers without one.
    pub(super) unit: Option<String>,
}

impl Quantity {
    /// Parses a text that is a quantity, or a sentence that contains exactly one.
    pub(super) fn find(text: &str, decimal: DecimalSign) -> Option<Self> {
        let text = text.trim().trim_end_matches(['.', ',', ';', ':']).trim_end();
        if let Some(quantity) = Self::whole(text, decimal) {
            return Some(quantity);
        }
        if let Some((_, after)) = text.rsplit_once(['=', '≈']) {
            let is_stated = !matches(&DENIED, text);
            let quantity = || Self::whole(after, decimal).or_else(|| Self::only(after, decimal));
            return is_stated.then(quantity).flatten();
        }
        if let Some(cue) = CUE.as_ref().and_then(|cue| cue.find_iter(text).last()) {
            let after = &text[cue.end()..];
            let sentence = after.split(". ").next().unwrap_or(after);
            return Self::whole(sentence, decimal).or_else(|| Self::only(sentence, decimal));
        }
        Self::only(text, decimal)
    }

    /// Parses a text that consists of a quantity only.
    pub(super) fn whole(text: &str, decimal: DecimalSign) -> Option<Self> {
        let text = text.trim().trim_end_matches(['.', ',', ';', ':']).trim();
        let bare = text.strip_prefix(['-', '+']).unwrap_or(text).trim_start();
        let money = MONEY.iter().find(|sign| bare.starts_with(**sign));
        let number = next_number(text, decimal)?;
        let before = text[..number.start].trim();
        let before = money.map_or(before, |_| before.trim_start_matches(['-', '+']).trim());
        if !before.is_empty() && money.is_none_or(|sign| before != *sign) {
            return None;
        }
        let quantity = Self::with_unit(&number, &text[number.end..])?;
        match money {
            None => Some(quantity),
            Some(_) if quantity.unit.is_some() || quantity.is_percent => None,
            Some(sign) => {
                let is_negative = text.starts_with('-') && number.value >= whole(0);
                Some(if is_negative { quantity.negated() } else { quantity }.of_unit(sign))
            }
        }
    }

    fn of_unit(self, unit: &str) -> Self {
        Self { unit: Some(units::plain(unit)), ..self }
    }

    fn negated(self) -> Self {
        Self { value: -self.value, other: self.other.map(|other| -other), ..self }
    }

    /// The only number of a sentence, unless the sentence negates or limits it.
    fn only(text: &str, decimal: DecimalSign) -> Option<Self> {
        if matches(&DENIED, text) || matches(&JOINED, text) {
            return None;
        }
        let number = next_number(text, decimal)?;
        if text[number.end..].contains(|c: char| c.is_numeric()) {
            return None;
        }
        let before = text[..number.start].trim_end_matches(['$', '€', '£', '¥', '₹']);
        let is_joined =
            before.ends_with(char::is_alphanumeric) || before.trim_end().ends_with(['+', '-', '/']);
        // An interval, or a pair.
        let is_in_brackets = before.trim_end().ends_with(['(', '[', '{']);
        if is_joined || is_in_brackets && text[number.start..number.end].contains(',') {
            return None;
        }
        let money = MONEY.iter().find(|sign| text[..number.start].ends_with(**sign));
        let rest = text[number.end..].split(['.', ',', ';', ':', ')', '(']).next().unwrap_or_default();
        // A factorial cannot be distinguished from an exclamation mark.
        if rest.trim_start().starts_with(['+', '-', '/', '!', '?']) {
            return None;
        }
        let quantity = Self::with_next_words(&number, rest)?;
        let Some(sign) = money else { return Some(quantity) };
        // `$5m` is not a length.
        let is_multiple = rest.starts_with(char::is_alphabetic) && quantity.unit.is_some();
        (!is_multiple && !quantity.is_percent).then(|| quantity.of_unit(sign))
    }

    /// The number with the longest known unit after it, otherwise with the next word.
    fn with_next_words(number: &Numeral, rest: &str) -> Option<Self> {
        let words: Vec<&str> = rest.split_whitespace().take(UNIT_WORDS).collect();
        let Some(first) = words.first() else { return Self::with_unit(number, "") };
        let is_function_word = FUNCTION_WORDS.contains(first);
        for count in (1..=words.len()).rev() {
            let Some(quantity) = Self::with_unit(number, &words[..count].join(" ")) else { continue };
            let is_unit = quantity.unit.as_deref().is_some_and(|unit| units::find(unit).is_some());
            if quantity.is_percent || is_unit && (count > 1 || !is_function_word) {
                return Some(quantity);
            }
        }
        Self::with_unit(number, if is_function_word { "" } else { first })
    }

    /// The number with the text after it as the unit; `None` if that is not a unit.
    fn with_unit(number: &Numeral, rest: &str) -> Option<Self> {
        let mut rest = rest.trim();
        let mut factor = whole(1);
        while let Some((length, size)) = multiplier(rest) {
            factor *= whole(size);
            rest = rest[length..].trim_start_matches('.').trim_start();
        }
        if first_word(rest).to_lowercase() == UNCERTAIN_MULTIPLIER {
            return None;
        }
        let of = |unit: Option<String>, is_percent: bool, factor: &BigRational| Self {
            value: &number.value * factor,
            other: number.other.as_ref().map(|other| other * factor),
            is_percent,
            unit,
        };
        if rest.is_empty() {
            return Some(of(None, false, &factor));
        }
        let lower = rest.to_lowercase();
        let is_percent = |word: &&str| {
            lower.strip_prefix(*word).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        if PERCENT.iter().any(is_percent) && rest.split_whitespace().count() <= UNIT_WORDS {
            return Some(of(None, true, &factor));
        }
        let raised = rest.replace("^2", "").replace("^3", "").replace("^{2}", "").replace("^{3}", "");
        let unraised = raised.strip_suffix(['2', '3']).filter(|unit| unit.ends_with(char::is_alphabetic));
        let raised = unraised.unwrap_or(&raised);
        let is_unit = |c: char| c.is_alphabetic() || " °/²³$€£¥₹¢-\"".contains(c);
        let is_unit = raised.chars().all(is_unit) && raised.split_whitespace().count() <= UNIT_WORDS;
        let first = raised.split_whitespace().next().unwrap_or_default();
        let is_joining = NO_UNITS.contains(&first.to_lowercase().as_str());
        (is_unit && !is_joining && !raised.starts_with(['-', '/']))
            .then(|| of(Some(units::plain(rest)), false, &factor))
    }
}

fn next_number(text: &str, decimal: DecimalSign) -> Option<Numeral> {
    number::next(text, 0, decimal)?.ok()
}

impl QuantityRules {
    /// Whether the quantity that was found is the expected one.
    pub(super) fn compare(&self, expected: &Quantity, found: &Quantity) -> Correctness {
        let (expected, found) = (self.with_default_unit(expected), self.with_default_unit(found));
        if expected.is_percent != found.is_percent {
            return self.compare_percent(&expected, &found);
        }
        let Some((expected_unit, found_unit)) = expected.unit.as_deref().zip(found.unit.as_deref()) else {
            let one = expected.unit.as_deref().or(found.unit.as_deref());
            let verdict = self.compare_scaled(&expected, &found, &whole(1), &whole(1));
            let is_clear =
                one.is_none_or(|unit| units::find(unit).is_some() || unit.chars().count() > SHORT_UNIT);
            return if is_clear { verdict } else { verdict.at_most_unknown() };
        };
        if expected_unit == found_unit {
            return self.compare_scaled(&expected, &found, &whole(1), &whole(1));
        }
        match (units::find(expected_unit), units::find(found_unit)) {
            (Some((one, size)), Some((other, found_size))) if one == other => {
                self.compare_scaled(&expected, &found, &size, &found_size)
            }
            (Some(_), Some(_)) => Correctness::Wrong,
            _ => self.compare_scaled(&expected, &found, &whole(1), &whole(1)).at_most_unknown(),
        }
    }

    fn with_default_unit(&self, quantity: &Quantity) -> Quantity {
        let quantity = quantity.clone();
        match &self.unit {
            Some(unit) if quantity.unit.is_none() && !quantity.is_percent => {
                match PERCENT.contains(&unit.as_str()) {
                    true => Quantity { is_percent: true, ..quantity },
                    false => quantity.of_unit(unit),
                }
            }
            _ => quantity,
        }
    }

    /// Compares a percentage with a number: 50% is 0.5. Whether 50 means 50% is unknown.
    fn compare_percent(&self, expected: &Quantity, found: &Quantity) -> Correctness {
        let percent = |is_percent: bool| if is_percent { whole(1) / whole(100) } else { whole(1) };
        let verdict =
            self.compare_scaled(expected, found, &percent(expected.is_percent), &percent(found.is_percent));
        match verdict {
            Correctness::Wrong => {
                self.compare_scaled(expected, found, &whole(1), &whole(1)).at_most_unknown()
            }
            other => other,
        }
    }

    /// Compares the numbers, each multiplied by the size of its unit. The tolerance is in the expected unit.
    fn compare_scaled(
        &self,
        expected: &Quantity,
        found: &Quantity,
        expected_size: &BigRational,
        found_size: &BigRational,
    ) -> Correctness {
        let tolerance = self.tolerance.clone().unwrap_or_else(|| whole(0)) * expected_size;
        let are_equal = |one: &BigRational, other: &BigRational| {
            let (one, other) = (one * expected_size, other * found_size);
            let apart = if one > other { one - other } else { other - one };
            apart <= tolerance
        };
        if are_equal(&expected.value, &found.value) {
            return Correctness::Correct;
        }
        let expected = [Some(&expected.value), expected.other.as_ref()];
        let found = [Some(&found.value), found.other.as_ref()];
        let could_be = expected
            .into_iter()
            .flatten()
            .any(|one| found.into_iter().flatten().any(|other| are_equal(one, other)));
        if could_be { Correctness::Unknown } else { Correctness::Wrong }
    }
}
