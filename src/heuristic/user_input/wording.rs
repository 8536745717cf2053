//! Wordings of users' questions in four languages, fit for any service.
//!
//! `{topic}` stands for what was drawn. Lists hold wordings of different lengths, so that a text can be made
//! about as long as asked.

mod de;
mod en;
mod es;
mod fr;

/// In what tone a text is put; the place of its wordings in `greetings` and `closings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Friendly,
    Annoyed,
    Unsure,
    Formal,
}

/// By tone, in the order of `Tone`.
type ByTone = [&'static [&'static str]; 5];

/// The wordings of one language.
pub(super) struct Wording {
    /// What stands around a topic, which may be in another language.
    quotes: [&'static str; 2],
    pub(super) greetings: ByTone,
    pub(super) closings: ByTone,
    /// Questions about a topic.
    pub(super) about: &'static [&'static str],
    /// Questions about nothing in particular.
    pub(super) open: &'static [&'static str],
    /// Ends of a question that asks for a second thing.
    pub(super) second: &'static [&'static str],
    /// The asker's situation.
    pub(super) details: &'static [&'static str],
    /// The same with a date, a number or an amount.
    pub(super) concrete: &'static [&'static str],
    /// Short stories.
    pub(super) stories: &'static [&'static str],
}

impl Tone {
    /// The tone that words such as `impatient and annoyed` mean.
    pub(super) fn of(words: &str) -> Self {
        let words = words.to_lowercase();
        let known: [(Self, &[&str]); 4] = [
            (
                Self::Annoyed,
                &[
                    "annoy",
                    "angry",
                    "anger",
                    "impatient",
                    "irritat",
                    "frustrat",
                    "rude",
                    "furious",
                    "sarcas",
                    "upset",
                ],
            ),
            (
                Self::Unsure,
                &[
                    "uncertain",
                    "unsure",
                    "apolog",
                    "shy",
                    "worr",
                    "anxious",
                    "nervous",
                    "confus",
                    "sad",
                    "afraid",
                ],
            ),
            (Self::Formal, &["formal", "polite", "professional", "business", "respectful"]),
            (
                Self::Friendly,
                &[
                    "friend",
                    "chatty",
                    "cheer",
                    "happy",
                    "kind",
                    "warm",
                    "excited",
                    "humor",
                    "enthusias",
                    "casual",
                ],
            ),
        ];
        let meant = known.iter().find(|(_, marks)| marks.iter().any(|mark| words.contains(mark)));
        // `informal` holds `formal`.
        match meant {
            Some((Self::Formal, _)) if words.contains("informal") => Self::Friendly,
            Some((tone, _)) => *tone,
            None => Self::Plain,
        }
    }
}

impl Wording {
    /// The wordings of a language by its English or own name; English for those there are none of.
    pub(super) fn of(language: &str) -> &'static Self {
        let language = language.to_lowercase();
        let is = |names: &[&str]| names.iter().any(|name| language.contains(name));
        if is(&["german", "deutsch"]) {
            &de::WORDING
        } else if is(&["spanish", "español", "espanol", "castellano"]) {
            &es::WORDING
        } else if is(&["french", "français", "francais"]) {
            &fr::WORDING
        } else {
            &en::WORDING
        }
    }

    pub(super) fn quoted(&self, topic: &str) -> String {
        format!("{}{topic}{}", self.quotes[0], self.quotes[1])
    }
}
