//! Parses numbers as people write them: the thousands and decimal separators of several countries, fractions, powers
//! of ten.
//!
//! Takes plain text, for `check_answer` and for the filter `numbers` of templates. A number that countries read
//! differently has two values: the one by the setting, and the other, which prevents a comparison from calling it
//! wrong.

use num_rational::BigRational;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::rational;

/// How a separator before three digits is read, as in `1.234` and `1,234`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DecimalSign {
    /// The point is the decimal separator: `1.234` is less than two, `1,234` more than a thousand.
    #[default]
    Point,
    /// The comma is the decimal separator.
    Comma,
}

/// A number in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numeral {
    /// The offset of its beginning, including its sign.
    pub(crate) start: usize,
    /// The offset of its end.
    pub(crate) end: usize,
    pub(crate) value: BigRational,
    /// Its value with the other decimal separator.
    pub(crate) other: Option<BigRational>,
}

/// Fractions written as one character.
const FRACTIONS: [(char, i64, i64); 15] = [
    ('½', 1, 2),
    ('⅓', 1, 3),
    ('⅔', 2, 3),
    ('¼', 1, 4),
    ('¾', 3, 4),
    ('⅕', 1, 5),
    ('⅖', 2, 5),
    ('⅗', 3, 5),
    ('⅘', 4, 5),
    ('⅙', 1, 6),
    ('⅚', 5, 6),
    ('⅛', 1, 8),
    ('⅜', 3, 8),
    ('⅝', 5, 8),
    ('⅞', 7, 8),
];
/// The largest exponent of a power that is computed.
const LARGEST_EXPONENT: u32 = 100;
const SUPERSCRIPTS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];

/// Parses the first number from `from` on; `None` if there is none. Digits that are not a number, such as a version
/// or a date, are an error.
pub(crate) fn next(text: &str, from: usize, decimal: DecimalSign) -> Option<Result<Numeral, usize>> {
    let begins = |c: char| c.is_ascii_digit() || vulgar(c).is_some();
    let mut at = from + text[from..].find(begins)?;
    // A decimal without the leading zero.
    let is_bare_decimal =
        text[from..at].ends_with('.') && !text[from..at - 1].ends_with(char::is_alphanumeric);
    if is_bare_decimal && text[at..].starts_with(|c: char| c.is_ascii_digit()) {
        at -= 1;
    }
    let mut start = at;
    let mut negative = false;
    let before = &text[from..at];
    if let Some(sign) = before.chars().next_back().filter(|sign| "+-".contains(*sign)) {
        // After a number or a word it is an operator or a hyphen.
        let earlier = text[..at - 1].trim_end_matches(['$', '€', '£', '¥']);
        if !earlier.ends_with(|c: char| c.is_alphanumeric() || ")%°".contains(c)) {
            (start, negative) = (at - 1, sign == '-');
        }
    }
    let Some((mut number, end)) = magnitude(text, at, decimal) else {
        let length = text[at..].find(|c: char| !c.is_ascii_digit() && !".,'/".contains(c));
        return Some(Err(length.map_or(text.len(), |length| at + length.max(1))));
    };
    if negative {
        number = (-number.0, number.1.map(|other| -other));
    }
    Some(Ok(Numeral { start, end, value: number.0, other: number.1 }))
}

type Values = (BigRational, Option<BigRational>);

/// The number at `at` without a sign, and where it ends: digits, then a fraction or a power of ten.
fn magnitude(text: &str, at: usize, decimal: DecimalSign) -> Option<(Values, usize)> {
    if let Some(fraction) = text[at..].chars().next().and_then(vulgar) {
        return Some(((fraction, None), at + text[at..].chars().next()?.len_utf8()));
    }
    let length = run_length(&text[at..]);
    let run = &text[at..at + length];
    let (value, other) = grouped(run, decimal)?;
    let rest = &text[at + length..];
    let is_whole = other.is_none() && run.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((exponent, taken)) = power_of_ten(rest) {
        let power = rational::parse(&format!("1e{exponent}"))?;
        return Some(((value * &power, other.map(|other| other * power)), at + length + taken));
    }
    if let Some((exponent, taken)) = exponent(rest) {
        let value = is_whole.then(|| raised(&value, exponent)).flatten()?;
        return Some(((value, None), at + length + taken));
    }
    // `1½`, `1 1/2`
    let spaces = usize::from(rest.starts_with(' '));
    if is_whole && let Some(fraction) = rest[spaces..].chars().next().and_then(vulgar) {
        let taken = spaces + rest[spaces..].chars().next()?.len_utf8();
        return Some(((value + fraction, None), at + length + taken));
    }
    if is_whole
        && spaces == 1
        && let Some((fraction, taken)) = fraction(&rest[1..])
    {
        let is_proper = fraction < rational::whole(1);
        return is_proper.then_some(((value + fraction, None), at + length + 1 + taken));
    }
    if let Some((fraction, taken)) = fraction(&text[at..]) {
        return Some(((fraction, None), at + taken));
    }
    // Part of a fraction, as in a date or a speed.
    if rest.starts_with('/') && rest[1..].trim_start().starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some(((value, other), at + length))
}

/// A fraction of two whole numbers or decimals at the beginning, and its length.
fn fraction(text: &str) -> Option<(BigRational, usize)> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let top_end = text.find(|c: char| !is_part(c))?;
    let after = text[top_end..].trim_start_matches(' ').strip_prefix('/')?.trim_start_matches(' ');
    let start = text.len() - after.len();
    let digits = after.len() - after.trim_start_matches(is_part).len();
    let bottom = after[..digits].trim_end_matches('.');
    let end = start + bottom.len();
    // A date, such as 1/2/2024.
    if text[end..].starts_with('/') || top_end == 0 || bottom.is_empty() {
        return None;
    }
    let value = rational::parse(&format!("{}/{bottom}", &text[..top_end]))?;
    Some((value, end))
}

/// The length of the digits at the beginning, including separators.
fn run_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    let mut group = 0;
    let mut is_first = true;
    loop {
        match bytes.get(at) {
            Some(byte) if byte.is_ascii_digit() => {
                group += 1;
                at += 1;
            }
            Some(b'.' | b',' | b'\'' | b'_') if is_digit(at + 1) => {
                (group, is_first) = (0, false);
                at += 1;
            }
            // A space separates thousands only.
            Some(b' ')
                if (group == 3 || is_first && (1..=3).contains(&group))
                    && (1..=3).all(|next| is_digit(at + next))
                    && !is_digit(at + 4) =>
            {
                (group, is_first) = (0, false);
                at += 1;
            }
            _ => return at,
        }
    }
}

/// The value of digits with separators; `None` if they are not a number.
fn grouped(run: &str, decimal: DecimalSign) -> Option<Values> {
    let signs: Vec<char> = run.chars().filter(|c| !c.is_ascii_digit()).collect();
    let plain = |text: &str, point: Option<char>| {
        let digits: String = text
            .chars()
            .filter_map(|c| match c {
                c if c.is_ascii_digit() => Some(c),
                c if Some(c) == point => Some('.'),
                _ => None,
            })
            .collect();
        rational::parse(&digits)
    };
    let Some(last) = signs.last().copied() else { return Some((plain(run, None)?, None)) };
    let kinds = signs.iter().filter(|sign| **sign != last).count();
    let is_decimal_sign = last == '.' || last == ',';
    if kinds == 0 && signs.len() == 1 && is_decimal_sign {
        let as_decimal = plain(run, Some(last))?;
        if !are_thousands(run, last) {
            return Some((as_decimal, None));
        }
        let as_thousands = plain(run, None)?;
        let is_decimal = (last == '.') == (decimal == DecimalSign::Point);
        return Some(match is_decimal {
            true => (as_decimal, Some(as_thousands)),
            false => (as_thousands, Some(as_decimal)),
        });
    }
    if kinds == 0 {
        return are_thousands(run, last).then(|| plain(run, None)).flatten().map(|value| (value, None));
    }
    // Thousands with one separator, then the decimal separator.
    let (integer, _) = run.rsplit_once(last)?;
    let fits = is_decimal_sign && kinds + 1 == signs.len() && are_thousands(integer, signs[0]);
    fits.then(|| plain(run, Some(last))).flatten().map(|value| (value, None))
}

/// Whether the separator forms groups of three digits or, as in India, of two before the last.
fn are_thousands(run: &str, sign: char) -> bool {
    let groups: Vec<&str> = run.split(sign).collect();
    let (first, rest) = (groups[0], &groups[1..]);
    let (Some(last), true) = (rest.last(), (1..=3).contains(&first.len()) && !first.starts_with('0')) else {
        return false;
    };
    let middle = &rest[..rest.len() - 1];
    let is_indian =
        sign == ',' && first.len() <= 2 && !middle.is_empty() && middle.iter().all(|group| group.len() == 2);
    let only_digits = groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_digit()));
    only_digits && last.len() == 3 && (is_indian || middle.iter().all(|group| group.len() == 3))
}

/// The exponent of `e5` or `× 10^5`, and the length of that.
fn power_of_ten(rest: &str) -> Option<(i32, usize)> {
    let marked = rest.strip_prefix(['e', 'E']);
    if let Some(after) = marked {
        let digits = after.strip_prefix(['-', '+']).unwrap_or(after);
        let length = digits.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let taken = after.len() - digits.len() + length;
        let ends = !digits[length..].starts_with(char::is_alphanumeric);
        return (length > 0 && ends).then(|| Some((after[..taken].parse().ok()?, taken + 1))).flatten();
    }
    let after = rest.trim_start().strip_prefix(['×', '*', 'x'])?.trim_start().strip_prefix("10")?;
    let (exponent, taken) = exponent(after)?;
    Some((exponent, rest.len() - after.len() + taken))
}

/// The exponent at the beginning, as `^3`, `^{-3}` or `³`, and its length.
fn exponent(text: &str) -> Option<(i32, usize)> {
    if let Some(power) = text.strip_prefix('^') {
        let (power, closing) = power.strip_prefix('{').map_or((power, 0), |inside| (inside, 1));
        let digits = power.strip_prefix('-').unwrap_or(power);
        let length = digits.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let end = power.len() - digits.len() + length;
        let exponent = power[..end].parse().ok()?;
        let is_closed = closing == 0 || power[end..].starts_with('}');
        return is_closed.then_some((exponent, text.len() - power.len() + end + closing));
    }
    let (negative, digits) = text.strip_prefix('⁻').map_or((false, text), |digits| (true, digits));
    let power: String = digits
        .chars()
        .map_while(|c| SUPERSCRIPTS.iter().position(|one| *one == c))
        .filter_map(|digit| char::from_digit(digit as u32, 10))
        .collect();
    let length: usize = digits.chars().take_while(|c| SUPERSCRIPTS.contains(c)).map(char::len_utf8).sum();
    let exponent: i32 = power.parse().ok()?;
    Some((if negative { -exponent } else { exponent }, text.len() - digits.len() + length))
}

/// A power; `None` if it is undefined, or too large to be an answer.
fn raised(base: &BigRational, exponent: i32) -> Option<BigRational> {
    if exponent.unsigned_abs() > LARGEST_EXPONENT || *base == rational::whole(0) {
        return None;
    }
    let power = (0..exponent.unsigned_abs()).fold(rational::whole(1), |power, _| power * base);
    Some(if exponent < 0 { power.recip() } else { power })
}

fn vulgar(char: char) -> Option<BigRational> {
    let (_, top, bottom) = FRACTIONS.iter().find(|(sign, ..)| *sign == char)?;
    Some(rational::whole(*top) / rational::whole(*bottom))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers in a text, with their other values; `?` for digits that are not a number.
    fn numbers(text: &str, decimal: DecimalSign) -> Vec<String> {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(number) = next(text, at, decimal) {
            match number {
                Ok(number) => {
                    let other = number.other.map_or(String::new(), |other| format!(" or {other}"));
                    found.push(format!("{}{other}", number.value));
                    at = number.end;
                }
                Err(end) => {
                    found.push("?".to_owned());
                    at = end;
                }
            }
        }
        found
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(numbers(text, DecimalSign::Point), expected, "{text}");
    }

    #[test]
    fn separators_of_several_countries_are_read() {
        for (text, expected) in [
            ("1,234.5", "2469/2"),
            ("1.234,5", "2469/2"),
            ("1 234,5", "2469/2"),
            ("1'234.5", "2469/2"),
            ("1_234", "1234"),
            ("12,34,567.5", "2469135/2"),
            ("1.234.567", "1234567"),
            ("1,234,567", "1234567"),
            ("3,14", "157/50"),
            ("0,125", "1/8"),
            ("0.125", "1/8"),
            (".5", "1/2"),
            ("1 234 567", "1234567"),
            ("1234,567", "1234567/1000"),
            ("1,234", "1234 or 617/500"),
            ("1.234", "617/500 or 1234"),
        ] {
            check(text, &[expected]);
        }
        assert_eq!(numbers("1,234 1.234", DecimalSign::Comma), ["617/500 or 1234", "1234 or 617/500"]);
    }

    #[test]
    fn fractions_signs_and_powers_are_read() {
        for (text, expected) in [
            ("-3/4", "-3/4"),
            ("3 / 4", "3/4"),
            ("1 1/2", "3/2"),
            ("-1 1/2", "-3/2"),
            ("1½", "3/2"),
            ("2 ⅓", "7/3"),
            ("½", "1/2"),
            ("1.5/2", "3/4"),
            ("1.5e3", "1500"),
            ("2E-3", "1/500"),
            ("3 × 10^4", "30000"),
            ("3*10^{-2}", "3/100"),
            ("3 × 10⁻²", "3/100"),
            ("5e", "5"),
            ("10^3", "1000"),
            ("2^{-2}", "1/4"),
            ("5²", "25"),
        ] {
            check(text, &[expected]);
        }
        check("5-3", &["5", "3"]);
        check("5 - 3", &["5", "3"]);
        check("x-3", &["3"]);
        check("= -3", &["-3"]);
    }

    #[test]
    fn what_is_no_number_is_not_read_as_one() {
        for text in ["1.2.3", "1,2,3", "1/2/2024", "1,23.4,5", "1.234,5.6", "1/0"] {
            check(text, &["?"]);
        }
        check("5 3/2", &["?", "3/2"]);
        check("5 12 345", &["5", "12345"]);
        check("none", &[]);
    }
}
