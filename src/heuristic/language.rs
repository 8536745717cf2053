//! Which language a text is in, by counting its commonest small words.
//!
//! Five languages have wording of their own, Japanese known by its letters; every other one falls to wording built from the text alone.

use std::collections::HashMap;

use super::words::Script;

/// A language the heuristic can phrase questions in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Language {
    English,
    German,
    Spanish,
    French,
    Japanese,
    /// Any other: no words of its own are added to the text's.
    Other,
}

/// The languages with wording, in the order that settles a tie.
const SPOKEN: [Language; 4] = [Language::English, Language::German, Language::Spanish, Language::French];

/// Words that mark a language: frequent, short, and rare in the other three.
const ENGLISH: &str = "the and of to is are for with that this it be on as by or an from when you your can not if at \
    will should must has have its into use which they each only";
const GERMAN: &str = "der die das und ist sind mit den von für nicht ein eine einen auf dem zu im wird werden oder auch \
    als bei nach wenn man sich aus durch kann muss wie zum zur einem einer vor bis";
const SPANISH: &str = "el los las y es son con para por una del se que no al como más su lo está cuando debe puede pero \
    si hasta sin sobre entre o ser hay también muy unos";
const FRENCH: &str = "le les des et est sont avec pour une du dans sur que ne pas au aux ce cette qui plus il elle on \
    par se doit peut être ou mais si sans quand lorsque à vous";

/// Marks of languages without wording of their own that share small words with the four: the Nordic ones,
/// Dutch, Italian, Portuguese, Indonesian.
const DECOYS: &str = "og er til på av som det ikke han jeg har med å och att är inte den het een van dat niet op te zijn voor \
    met di che il per non sono della é não os uma do da em com yang dan untuk dari pada ini itu tidak adalah";

/// Further words without content, of four letters and more.
const ENGLISH_STOP: &str = "about above after again against almost along already also although always among another any \
    anything around because been before being below between both cannot could does doing done down during either else \
    even ever every everything first follow following follows from further gets given gives goes have having here \
    however instead into itself just kind last later less like made make makes many means might more most much must \
    near need needs please neither never next none nothing often once ones only onto other others otherwise over part perhaps \
    quite rather really same second several shall should since some something still such take takes than that their \
    them themselves then there therefore these they thing things this those though three through thus together too \
    toward towards under unless until upon used uses using usually various very want wants well were what whatever when \
    whenever where whether which while whose will with within without would your yours yourself them into true false";
const GERMAN_STOP: &str = "aber alle allem allen aller alles also andere anderen anderer anderes auch auf aus beide beiden \
    beim bereits bevor bis bleibt dabei dadurch dafür dagegen daher damit danach dann daran darauf daraus darf darin \
    darüber darum dass davon davor dazu denen denn dennoch deren dessen deshalb dies diese diesem diesen dieser dieses doch \
    dort durch eher eine einem einen einer eines einige einigen etwa etwas fast ganz gegen gibt hatte hatten hier hinter \
    ihre ihrem ihren ihrer immer indem ihnen innerhalb jede jedem jeden jeder jedes jedoch kann kein keine keinem keinen \
    keiner können könnte lässt machen macht manche mehr mehrere meist meisten muss müssen nach nachdem neben nicht nichts \
    noch nämlich obwohl oder ohne oft schon sehr sein seine seinem seinen seiner seit selbst sich sind sobald sodass \
    sofern sogar solche sollen sollte sollten somit sondern sonst soweit sowie sowohl statt über überall unter viel viele \
    vielen vom von vor während wann warum weder wegen weil weiter welche welchem welchen welcher welches wenig weniger \
    wenn werden wieder wird wobei wodurch wohl wurde wurden wäre zuerst zwar zwei zwischen richtig falsch";
const SPANISH_STOP: &str = "además ahora algo alguna algunas alguno algunos ante antes aquí aquel aquella aunque bajo bien \
    cada casi como conviene contra cual cuales cualquier cuando cuanto cuya cuyo debe deben debería dentro desde después \
    donde durante ella ellas ello ellos embargo entonces entre eran esas ese eso esos esta está están estas este esto estos \
    fuera hace hacen hacer hacia haber había hasta incluso junto luego mayor mejor menos mientras misma mismas mismo mismos \
    mucha muchas mucho muchos nada ningún ninguna nunca otra otras otro otros para pero poca poco porque primero primera \
    pronto puede pueden pues quien según será siempre sido sino sobre solo sólo suele tal también tampoco tanto tener tiene \
    tienen toda todas todavía todo todos tras unas unos usted varias varios vez veces verdadero falso correcto";
const FRENCH_STOP: &str = "ainsi alors après aucun aucune aussi autre autres avant avec avoir beaucoup bien cela celle celles \
    celui cependant ceux chaque chez comme comment contre dans depuis dès donc doit doivent dont elle elles encore enfin \
    ensuite entre environ est était être étant eux fait faire faut fois hors ici jamais jusque jusqu leur leurs lors lorsque \
    lui mais même mêmes moins notre nous parce parfois parmi pendant peut peuvent plus plusieurs plutôt pour pourquoi pourtant \
    près presque puis puisque quand quel quelle quelles quels quelque quelques quoi rien sans sauf selon sera seront sinon sont \
    sous souvent suis sur tandis tant tous tout toute toutes toujours très trop vers voici voilà votre vous vrai faux";

impl Language {
    /// The language most of the marking words of a text belong to; `Other` if there are too few.
    pub(super) fn of<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let marks = marks();
        let mut counts = [0_usize; 5];
        let (mut all, mut kana) = (0, 0);
        for word in words {
            all += 1;
            kana += usize::from(Script::of_word(word) == Script::Hiragana);
            let languages = marks.get(word).copied().unwrap_or(0);
            for (index, count) in counts.iter_mut().enumerate() {
                *count += usize::from(languages >> index & 1);
            }
        }
        if kana * 5 > all {
            return Self::Japanese;
        }
        let mut best = 0;
        for index in 1..SPOKEN.len() {
            if counts[index] > counts[best] {
                best = index;
            }
        }
        // A text of one of the four is a quarter such words; one alone may be chance.
        let rare = counts[best] * 8 < all || counts[best] < 2;
        if rare || counts[4] > counts[best] { Self::Other } else { SPOKEN[best] }
    }

    /// Whether words speak for a language without wording of its own rather than for English.
    pub(super) fn is_foreign<'a>(words: impl Iterator<Item = &'a str>) -> bool {
        let marks = marks();
        let (mut english, mut other) = (0_u32, 0_u32);
        for bits in words.filter_map(|word| marks.get(word)) {
            english += u32::from(bits & 1);
            other += u32::from(bits >> 4 & 1);
        }
        other > english
    }

    /// Whether a lower-case word carries no content in this language.
    pub(super) fn is_stop(self, lower: &str) -> bool {
        let bits = stops().get(lower).copied().unwrap_or(0);
        match self {
            Self::Other => bits != 0,
            spoken => {
                SPOKEN.iter().position(|one| *one == spoken).is_some_and(|index| bits >> index & 1 == 1)
            }
        }
    }

    /// Whether a lower-case word is an article or the like, which a noun follows.
    pub(super) fn is_determiner(self, lower: &str) -> bool {
        let list = match self {
            Self::English => "the a an your its their each every this these our any no",
            Self::German => "der die das den dem des ein eine einen einem einer eines",
            Self::Spanish => "el la los las un una unos unas del al su sus cada este esta",
            Self::French => "le la les un une des du au aux son sa ses chaque ce cette votre",
            Self::Japanese | Self::Other => "",
        };
        list.split(' ').any(|word| word == lower)
    }
}

type Bits = HashMap<&'static str, u8>;

/// Which languages each marking word belongs to, a bit each; the last is for the decoys.
fn marks() -> &'static Bits {
    static MARKS: std::sync::LazyLock<Bits> = std::sync::LazyLock::new(|| {
        table(&[[ENGLISH, ""], [GERMAN, ""], [SPANISH, ""], [FRENCH, ""], [DECOYS, ""]])
    });
    &MARKS
}

fn stops() -> &'static Bits {
    static STOPS: std::sync::LazyLock<Bits> = std::sync::LazyLock::new(|| {
        table(&[
            [ENGLISH, ENGLISH_STOP],
            [GERMAN, GERMAN_STOP],
            [SPANISH, SPANISH_STOP],
            [FRENCH, FRENCH_STOP],
        ])
    });
    &STOPS
}

fn table(lists: &[[&'static str; 2]]) -> Bits {
    let mut bits = Bits::new();
    for (index, pair) in lists.iter().enumerate() {
        for word in pair.iter().flat_map(|list| list.split_whitespace()) {
            *bits.entry(word).or_default() |= 1 << index;
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Language) {
        assert_eq!(Language::of(text.to_lowercase().split_whitespace()), expected, "{text}");
    }

    #[test]
    fn four_languages_are_told_apart() {
        check("The dough rests until it has doubled in size.", Language::English);
        check("Der Teig ruht, bis er sich verdoppelt hat und nicht mehr klebt.", Language::German);
        check("La masa reposa hasta que dobla su volumen, y no se debe tocar.", Language::Spanish);
        check("La pâte repose dans un bol jusqu'à ce que le volume soit doublé.", Language::French);
        check("Deigen hviler til den har dobbel størrelse.", Language::Other);
        check("生地 を 休 ませる", Language::Japanese);
        check("", Language::Other);
    }

    #[test]
    fn stop_words_belong_to_their_language() {
        assert!(Language::German.is_stop("nicht") && !Language::English.is_stop("nicht"));
        assert!(Language::Other.is_stop("nicht") && !Language::Other.is_stop("deigen"));
    }
}
