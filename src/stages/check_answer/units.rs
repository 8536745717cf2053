//! Units of measurement: what each measures, and its size.
//!
//! For units that are common in answers. Any other unit is a word that is equal to another or not.

use num_rational::BigRational;

use crate::rational::whole;

/// Names, what they measure, and their size as a fraction of the quantity's base unit.
type Unit = (&'static [&'static str], Dimension, i64, i64);

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimension {
    Length,
    Area,
    Volume,
    Mass,
    Time,
    Months,
    Speed,
    Angle,
    Celsius,
    Dollars,
    Euros,
    Pounds,
    Yen,
    Rupees,
}

use Dimension::{
    Angle, Area, Celsius, Dollars, Euros, Length, Mass, Months, Pounds, Rupees, Speed, Time, Volume, Yen,
};

const UNITS: &[Unit] = &[
    (&["mm", "millimeter", "millimetre"], Length, 1, 1000),
    (&["cm", "centimeter", "centimetre"], Length, 1, 100),
    (&["m", "meter", "metre", "metro", "mètre"], Length, 1, 1),
    (&["km", "kilometer", "kilometre", "kilómetro"], Length, 1000, 1),
    (&["in", "inch", "inche", "\""], Length, 254, 10_000),
    (&["ft", "foot", "feet"], Length, 3048, 10_000),
    (&["yd", "yard"], Length, 9144, 10_000),
    (&["mi", "mile"], Length, 1_609_344, 1000),
    (&["mm2"], Area, 1, 1_000_000),
    (&["cm2", "square centimeter", "square centimetre", "quadratzentimeter"], Area, 1, 10_000),
    (&["m2", "square meter", "square metre", "quadratmeter"], Area, 1, 1),
    (&["km2", "square kilometer", "square kilometre"], Area, 1_000_000, 1),
    (&["ha", "hectare", "hektar"], Area, 10_000, 1),
    (
        &["cm3", "cubic centimeter", "cubic centimetre", "ml", "milliliter", "millilitre"],
        Volume,
        1,
        1_000_000,
    ),
    (&["l", "liter", "litre", "litro", "dm3"], Volume, 1, 1000),
    (&["m3", "cubic meter", "cubic metre"], Volume, 1, 1),
    (&["mg", "milligram", "milligramm"], Mass, 1, 1_000_000),
    (&["g", "gram", "gramm", "gramme"], Mass, 1, 1000),
    (&["kg", "kilogram", "kilogramm", "kilo"], Mass, 1, 1),
    (&["t", "tonne"], Mass, 1000, 1),
    (&["lb", "pound of weight"], Mass, 45_359_237, 100_000_000),
    (&["ms", "millisecond"], Time, 1, 1000),
    (&["s", "sec", "second", "sekunde", "sekunden", "segundo", "seconde"], Time, 1, 1),
    (&["min", "minute", "minuten", "minuto"], Time, 60, 1),
    (&["h", "hr", "hour", "stunde", "stunden", "hora", "heure"], Time, 3600, 1),
    (&["d", "day", "tag", "tage", "día", "jour"], Time, 86_400, 1),
    (&["week", "woche", "wochen", "semana", "semaine"], Time, 604_800, 1),
    (&["month", "monat", "monate", "mes", "mois"], Months, 1, 1),
    (&["year", "yr", "jahr", "jahre", "año", "an", "ans"], Months, 12, 1),
    (&["decade"], Months, 120, 1),
    (&["century", "centurie"], Months, 1200, 1),
    (&["m/s", "meters per second", "metres per second"], Speed, 1, 1),
    (&["km/h", "kph", "kilometers per hour", "kilometres per hour"], Speed, 10, 36),
    (&["mph", "miles per hour"], Speed, 1_609_344, 3_600_000),
    (&["°", "degree", "grad"], Angle, 1, 1),
    (&["°c", "degrees celsius"], Celsius, 1, 1),
    (&["$", "usd", "us$", "dollar"], Dollars, 1, 1),
    (&["cent", "¢"], Dollars, 1, 100),
    (&["€", "eur", "euro"], Euros, 1, 1),
    (&["£", "gbp"], Pounds, 1, 1),
    (&["¥", "jpy", "yen"], Yen, 1, 1),
    (&["₹", "inr", "rupee"], Rupees, 1, 1),
];

/// Currency signs, which may also precede the number.
pub(super) const MONEY: [&str; 8] = ["US$", "$", "€", "£", "¥", "₹", "USD", "EUR"];

/// A unit, normalized to singular and one spelling.
#[must_use]
pub(super) fn plain(unit: &str) -> String {
    let unit = unit.trim().trim_end_matches('.').replace("^2", "2").replace("^3", "3");
    let unit = unit.replace('²', "2").replace('³', "3").replace("^{2}", "2").replace("^{3}", "3");
    let lower = unit.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    match lower.strip_suffix('s') {
        Some(singular) if singular.chars().count() > 1 && !singular.ends_with(['s', '/', 'u']) => {
            singular.to_owned()
        }
        _ => lower,
    }
}

/// What a unit, normalized by `plain`, measures, and its size.
#[must_use]
pub(super) fn find(unit: &str) -> Option<(Dimension, BigRational)> {
    let plural = |name: &str| name.strip_suffix('s').is_some_and(|singular| singular == unit);
    let found = UNITS.iter().find(|(names, ..)| names.iter().any(|name| *name == unit || plural(name)));
    found.map(|(_, dimension, size, of)| (*dimension, whole(*size) / whole(*of)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_known_by_every_spelling() {
        for (unit, expected) in [
            ("kilometers", Some((Length, "1000"))),
            ("inches", Some((Length, "127/5000"))),
            ("cm^2", Some((Area, "1/10000"))),
            ("m²", Some((Area, "1"))),
            ("Square Meters", Some((Area, "1"))),
            ("km/h", Some((Speed, "5/18"))),
            ("miles per hour", Some((Speed, "1397/3125"))),
            ("hrs.", Some((Time, "3600"))),
            ("ms", Some((Time, "1/1000"))),
            ("dollars", Some((Dollars, "1"))),
            ("cents", Some((Dollars, "1/100"))),
            ("apples", None),
        ] {
            let found = find(&plain(unit)).map(|(dimension, size)| (dimension, size.to_string()));
            assert_eq!(found, expected.map(|(dimension, size)| (dimension, size.to_owned())), "{unit}");
        }
        assert_eq!(
            (plain("apples"), plain("glass"), plain("bus")),
            ("apple".into(), "glass".into(), "bus".into())
        );
    }
}
