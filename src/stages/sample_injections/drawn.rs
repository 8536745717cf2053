//! Numbers and dates drawn from a distribution: `draw` of an attribute.
//!
//! The distributions are those of `rand_distr`. Bounds truncate a distribution: a number outside is drawn again,
//! so the rest keeps its shape. Rounding comes last.

use jiff::civil::Date;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, LogNormal, Normal, Poisson};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Number, Value};

use super::length::normal_share_below;

/// Bounds that leave a smaller share of a distribution are refused.
const LEAST_SHARE: f64 = 0.001;
/// The maximum number of tries: with the share above, the probability of finding nothing is below 1e-40.
const TRIES: usize = 100_000;
/// The maximum number of decimals.
const MOST_DECIMALS: u8 = 9;

/// A distribution that an attribute is drawn from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Draw {
    /// `{min, max, decimals}`: uniform between `min` and `max`.
    Uniform(Between),
    /// `{mean, sigma, min, max, decimals}`: a normal distribution, truncated at `min` and `max` if given.
    Normal(Bell),
    /// `{mean, sigma, shift, min, max, decimals}`: `shift` plus a log-normal number with `mean` and `sigma`.
    LogNormal(Bell),
    /// `{mean}`: a count with a Poisson distribution.
    Poisson(Rate),
    /// One of the values of a list, all equally likely, or of a map from values to frequency scores.
    Choice(Value),
    /// `{from, to}`: a day between the two, inclusive, as `YYYY-MM-DD`.
    Date(Days),
}

/// A range of numbers.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Between {
    min: f64,
    max: f64,
    #[serde(default)]
    decimals: u8,
}

/// A normal or log-normal distribution.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bell {
    mean: f64,
    sigma: f64,
    #[serde(default)]
    shift: f64,
    #[serde(default)]
    min: Option<f64>,
    #[serde(default)]
    max: Option<f64>,
    #[serde(default)]
    decimals: u8,
}

/// A Poisson distribution.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    mean: f64,
}

/// A range of days.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Days {
    from: String,
    to: String,
}

/// A checked distribution to draw from.
#[derive(Debug, Clone)]
pub(super) enum Law {
    /// Whole steps of 1 / `unit`, from the first to the last.
    Uniform {
        first: i64,
        last: i64,
        decimals: u8,
    },
    Normal(Normal<f64>, Bell),
    LogNormal(LogNormal<f64>, Bell),
    Poisson(Poisson<f64>, Rate),
    Days {
        from: Date,
        days: i32,
    },
}

impl Law {
    /// The distribution of a declaration, or what is wrong with it. `choice` is not one: `None`.
    pub(super) fn new(draw: &Draw) -> Result<Option<Self>, String> {
        Ok(Some(match draw {
            Draw::Choice(_) => return Ok(None),
            Draw::Uniform(between) => uniform(between)?,
            Draw::Normal(bell) => {
                if bell.shift != 0.0 {
                    return Err("`normal` has no `shift`; add it to `mean`".to_owned());
                }
                check_bell(bell, |bound| (bound - bell.mean) / bell.sigma)?;
                Self::Normal(Normal::new(bell.mean, bell.sigma).map_err(|error| error.to_string())?, *bell)
            }
            Draw::LogNormal(bell) => {
                let z = |bound: f64| ((bound - bell.shift).max(0.0).ln() - bell.mean) / bell.sigma;
                check_bell(bell, z)?;
                let law = LogNormal::new(bell.mean, bell.sigma).map_err(|error| error.to_string())?;
                Self::LogNormal(law, *bell)
            }
            Draw::Poisson(rate) => {
                let law = Poisson::new(rate.mean)
                    .map_err(|_| format!("`mean` is {}, expected more than 0", rate.mean))?;
                Self::Poisson(law, *rate)
            }
            Draw::Date(days) => days_of(days)?,
        }))
    }

    /// Draws one value.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Value {
        match self {
            Self::Uniform { first, last, decimals } => {
                let steps = rng.random_range(*first..=*last);
                number(steps as f64 / 10_f64.powi(i32::from(*decimals)), *decimals)
            }
            Self::Normal(law, bell) => bell.makes_in_block(|| law.sample(rng)),
            Self::LogNormal(law, bell) => bell.makes_in_block(|| law.sample(rng) + bell.shift),
            Self::Poisson(law, _) => number(law.sample(rng), 0),
            Self::Days { from, days } => {
                let day = from.saturating_add(jiff::Span::new().days(rng.random_range(0..=*days)));
                Value::String(day.to_string())
            }
        }
    }

    /// Describes the distribution in words.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Uniform { first, last, decimals } => {
                let unit = 10_f64.powi(i32::from(*decimals));
                format!("uniform from {} to {}", *first as f64 / unit, *last as f64 / unit)
            }
            Self::Normal(_, bell) => {
                format!("normal, mean {}, sigma {}{}", bell.mean, bell.sigma, bell.bounds())
            }
            Self::LogNormal(_, bell) => {
                format!("log-normal, median {}{}", number(bell.mean.exp() + bell.shift, 3), bell.bounds())
            }
            Self::Poisson(_, rate) => format!("Poisson, mean {}", rate.mean),
            Self::Days { from, days } => {
                format!("a day from {from} to {}", from.saturating_add(jiff::Span::new().days(*days)))
            }
        }
    }
}

impl Bell {
    fn makes_in_block(&self, mut draw: impl FnMut() -> f64) -> Value {
        let (min, max) = (self.min.unwrap_or(f64::NEG_INFINITY), self.max.unwrap_or(f64::INFINITY));
        let mut value = draw();
        for _ in 0..TRIES {
            if (min..=max).contains(&value) {
                break;
            }
            value = draw();
        }
        number(value.clamp(min, max), self.decimals)
    }

    fn bounds(&self) -> String {
        match (self.min, self.max) {
            (None, None) => String::new(),
            (Some(min), None) => format!(", at least {min}"),
            (None, Some(max)) => format!(", at most {max}"),
            (Some(min), Some(max)) => format!(", from {min} to {max}"),
        }
    }
}

fn uniform(between: &Between) -> Result<Law, String> {
    let Between { min, max, decimals } = *between;
    check_decimals(decimals)?;
    let unit = 10_f64.powi(i32::from(decimals));
    // Beyond 2^53 JSON parsers do not preserve every whole number.
    if !(min.abs() * unit < 9e15 && max.abs() * unit < 9e15) {
        return Err("the bounds are too large for the decimals".to_owned());
    }
    let (first, last) = ((min * unit).ceil() as i64, (max * unit).floor() as i64);
    if first > last {
        return Err(format!("no number with {decimals} decimals lies between `min` {min} and `max` {max}"));
    }
    Ok(Law::Uniform { first, last, decimals })
}

/// Checks the parameters of a distribution; `z` turns a bound into standard deviations from the mean.
fn check_bell(bell: &Bell, z: impl Fn(f64) -> f64) -> Result<(), String> {
    check_decimals(bell.decimals)?;
    if !(bell.sigma > 0.0 && bell.sigma.is_finite() && bell.mean.is_finite()) {
        return Err(format!("`sigma` is {}, expected more than 0", bell.sigma));
    }
    let below = |bound: Option<f64>, none: f64| bound.map_or(none, |bound| normal_share_below(z(bound)));
    if below(bell.max, 1.0) - below(bell.min, 0.0) < LEAST_SHARE {
        return Err("`min` and `max` leave less than a thousandth of the law".to_owned());
    }
    Ok(())
}

fn check_decimals(decimals: u8) -> Result<(), String> {
    match decimals > MOST_DECIMALS {
        true => Err(format!("`decimals` is {decimals}, expected {MOST_DECIMALS} at most")),
        false => Ok(()),
    }
}

fn days_of(days: &Days) -> Result<Law, String> {
    let parse = |text: &str| {
        text.parse::<Date>().map_err(|_| format!("`{text}` is no date, expected a day such as `2025-01-31`"))
    };
    let (from, to) = (parse(&days.from)?, parse(&days.to)?);
    let days = (to - from).get_days();
    match days < 0 {
        true => Err(format!("`to` {to} is before `from` {from}")),
        false => Ok(Law::Days { from, days }),
    }
}

/// Rounds a number to a number of decimals; whole numbers become integers.
fn number(value: f64, decimals: u8) -> Value {
    let unit = 10_f64.powi(i32::from(decimals));
    let rounded = (value * unit).round() / unit;
    if decimals == 0 {
        return Value::from(rounded as i64);
    }
    Number::from_f64(rounded).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests;
