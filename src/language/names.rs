//! Languages by their names and codes, as people write them.

use whatlang::Lang;

/// The language that a text such as `German`, `de`, `Deutsch` or `Answer in German` names; `None` if it names none.
pub(crate) fn from_name(text: &str) -> Option<Lang> {
    let text = text.trim().to_lowercase();
    let code = text.split(['-', '_']).next().unwrap_or_default();
    if let Some((_, lang)) = SHORT_CODES.iter().find(|(short, _)| *short == code) {
        return Some(*lang);
    }
    if let Some(lang) = Lang::from_code(text.as_str()) {
        return Some(lang);
    }
    let names = |lang: &Lang| [lang.eng_name().to_lowercase(), lang.name().to_lowercase()];
    if let Some(lang) = Lang::all().iter().find(|lang| names(lang).contains(&text)) {
        return Some(*lang);
    }
    // A sentence: the first of its words that names a language.
    let words = text.split(|c: char| !c.is_alphabetic());
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

    fn check(text: &str, expected: Option<Lang>) {
        assert_eq!(from_name(text), expected, "{text}");
    }

    #[test]
    fn languages_are_known_by_their_names() {
        check("German", Some(Lang::Deu));
        check("deutsch", Some(Lang::Deu));
        check("de-CH", Some(Lang::Deu));
        check("jpn", Some(Lang::Jpn));
        check("Write in French, please", Some(Lang::Fra));
        check("Chinese (simplified)", Some(Lang::Cmn));
        check("Klingon", None);
        check("", None);
    }
}
