//! The language a text is in, and whether it is the one that was asked for.

use std::collections::BTreeSet;

use whatlang::{Detector, Lang};

/// Confidence that is enough for a language that was asked for, and for English.
const LIKELY: f64 = 0.2;
/// Confidence that any other language needs: short texts look a little Danish or Dutch by chance.
const UNLIKELY: f64 = 0.7;

/// Languages that are looked for in any data. A short question looks a little like one of seventy languages; among
/// those that are likely, the right one stands out.
static COMMON: &[Lang] = &[
    Lang::Ara,
    Lang::Ces,
    Lang::Cmn,
    Lang::Dan,
    Lang::Deu,
    Lang::Eng,
    Lang::Fra,
    Lang::Hin,
    Lang::Ind,
    Lang::Ita,
    Lang::Jpn,
    Lang::Kor,
    Lang::Nld,
    Lang::Pol,
    Lang::Por,
    Lang::Rus,
    Lang::Spa,
    Lang::Swe,
    Lang::Tur,
    Lang::Ukr,
    Lang::Vie,
];

/// Looks for the common languages and those that were asked for.
pub(crate) struct Finder {
    detector: Detector,
    likely: BTreeSet<&'static str>,
}

impl Finder {
    /// A finder for data in which these languages were asked for.
    pub(crate) fn new(asked: impl Iterator<Item = Lang>) -> Self {
        let likely: BTreeSet<&str> = asked.chain([Lang::Eng]).map(|language| language.code()).collect();
        let codes: BTreeSet<&str> = COMMON.iter().map(Lang::code).chain(likely.iter().copied()).collect();
        let languages = codes.into_iter().filter_map(Lang::from_code).collect();
        Self { detector: Detector::with_allowlist(languages), likely }
    }

    /// The language of a text; `None` where it is too short or too mixed to tell.
    pub(crate) fn find(&self, text: &str) -> Option<Lang> {
        let info = self.detector.detect(text)?;
        let long_enough = text.chars().filter(|c| c.is_alphabetic()).count() >= 8 || info.is_reliable();
        let wanted = if self.likely.contains(info.lang().code()) { LIKELY } else { UNLIKELY };
        (long_enough && info.confidence() >= wanted).then(|| info.lang())
    }
}

/// The language that a wish such as `German`, `de`, `Deutsch` or `Answer in German` names; `None` if none known.
pub(crate) fn asked(wish: &str) -> Option<Lang> {
    let wish = wish.trim().to_lowercase();
    let code = wish.split(['-', '_']).next().unwrap_or_default();
    if let Some((_, lang)) = SHORT_CODES.iter().find(|(short, _)| *short == code) {
        return Some(*lang);
    }
    if let Some(lang) = Lang::from_code(wish.as_str()) {
        return Some(lang);
    }
    let names = |lang: &Lang| [lang.eng_name().to_lowercase(), lang.name().to_lowercase()];
    if let Some(lang) = Lang::all().iter().find(|lang| names(lang).contains(&wish)) {
        return Some(*lang);
    }
    // A sentence: the first of its words that names a language.
    let words = wish.split(|c: char| !c.is_alphabetic());
    for word in words.filter(|word| word.chars().count() > 3) {
        let word = if word == "chinese" { "mandarin" } else { word };
        if let Some(lang) = Lang::all().iter().find(|lang| names(lang).iter().any(|name| name == word)) {
            return Some(*lang);
        }
    }
    None
}

/// ISO 639-1, for what the detector knows by three letters.
static SHORT_CODES: &[(&str, Lang)] = &[
    ("ar", Lang::Ara),
    ("bg", Lang::Bul),
    ("ca", Lang::Cat),
    ("cs", Lang::Ces),
    ("da", Lang::Dan),
    ("de", Lang::Deu),
    ("el", Lang::Ell),
    ("en", Lang::Eng),
    ("es", Lang::Spa),
    ("et", Lang::Est),
    ("fa", Lang::Pes),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("he", Lang::Heb),
    ("hi", Lang::Hin),
    ("hr", Lang::Hrv),
    ("hu", Lang::Hun),
    ("id", Lang::Ind),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("ko", Lang::Kor),
    ("la", Lang::Lat),
    ("lt", Lang::Lit),
    ("lv", Lang::Lav),
    ("nb", Lang::Nob),
    ("nl", Lang::Nld),
    ("no", Lang::Nob),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ro", Lang::Ron),
    ("ru", Lang::Rus),
    ("sk", Lang::Slk),
    ("sl", Lang::Slv),
    ("sr", Lang::Srp),
    ("sv", Lang::Swe),
    ("th", Lang::Tha),
    ("tr", Lang::Tur),
    ("uk", Lang::Ukr),
    ("ur", Lang::Urd),
    ("vi", Lang::Vie),
    ("zh", Lang::Cmn),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wish: &str, expected: Option<Lang>) {
        assert_eq!(asked(wish), expected, "{wish}");
    }

    #[test]
    fn wishes_are_understood() {
        check("German", Some(Lang::Deu));
        check("deutsch", Some(Lang::Deu));
        check("de-CH", Some(Lang::Deu));
        check("jpn", Some(Lang::Jpn));
        check("Write in French, please", Some(Lang::Fra));
        check("Chinese (simplified)", Some(Lang::Cmn));
        check("Klingon", None);
        check("", None);
    }

    #[test]
    fn languages_are_found_in_short_questions() {
        let finder = Finder::new([Lang::Cat, Lang::Fra, Lang::Spa].into_iter());
        let texts = [
            (Lang::Deu, "Wie kann ich meinen Ausweis verlängern?"),
            (Lang::Eng, "What time does the Auwald branch close on Thursdays?"),
            (Lang::Fra, "Comment puis-je renouveler ma carte de bibliothèque pendant les vacances ?"),
            (Lang::Spa, "¿Cómo puedo renovar mi tarjeta de la biblioteca?"),
            (Lang::Jpn, "図書館のカードはどうやって更新しますか？"),
        ];
        for (language, text) in texts {
            assert_eq!(finder.find(text), Some(language), "{text}");
        }
        // Too short to tell: unsure is better than wrong.
        assert_eq!(finder.find("How do I renew my library card?"), None);
        assert_eq!(finder.find("ok"), None);
        assert_eq!(finder.find("12 + 3"), None);
    }
}
