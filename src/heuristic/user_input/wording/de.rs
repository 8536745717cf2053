//! Wordings in German.

use super::Wording;

pub(super) static WORDING: Wording = Wording {
    quotes: ["„", "“"],
    greetings: [
        &["Hallo.", "Guten Tag.", "Eine Frage:"],
        &["Hallo!", "Hallo zusammen!", "Hallo, ihr Lieben!", "Hallo, ich hoffe, ihr habt einen schönen Tag!"],
        &[
            "Also wirklich!",
            "Langsam reicht es.",
            "Das ist wirklich ärgerlich.",
            "Ich habe das schon zweimal gefragt und keine Antwort bekommen.",
        ],
        &[
            "Entschuldigung.",
            "Verzeihung.",
            "Entschuldigen Sie die Störung.",
            "Ich weiß nicht, ob ich hier richtig bin.",
        ],
        &[
            "Sehr geehrte Damen und Herren!",
            "Sehr geehrtes Team!",
            "Guten Morgen.",
            "Ich wende mich mit einer Bitte an Sie.",
        ],
    ],
    closings: [
        &["Danke.", "Vielen Dank."],
        &["Danke!", "Tausend Dank!", "Ihr seid die Besten, vielen lieben Dank!"],
        &[
            "Also?",
            "Ich warte!",
            "Ich erwarte heute noch eine Antwort.",
            "Und bitte nicht wieder auf eine andere Seite verweisen.",
        ],
        &[
            "Nochmals Entschuldigung.",
            "Danke, und Entschuldigung für die vielleicht dumme Frage.",
            "Ich hoffe, das ist verständlich.",
        ],
        &[
            "Mit freundlichen Grüßen.",
            "Vielen Dank im Voraus.",
            "Für eine Antwort wäre ich Ihnen sehr verbunden.",
        ],
    ],
    about: &[
        "{topic}?",
        "Hilfe bei {topic}?",
        "Was gilt für {topic}?",
        "Können Sie mir {topic} erklären?",
        "Wer hilft mir beim Thema {topic}?",
        "Was sollte ich über {topic} wissen?",
        "Was können Sie mir zum Thema {topic} sagen?",
        "Gibt es etwas Neues, was das Thema {topic} angeht?",
        "Worauf muss ich beim Thema {topic} besonders achten?",
        "Können Sie mir sagen, wo ich mehr über {topic} erfahre?",
        "Wie erledige ich {topic} am einfachsten, ohne selbst vorbeikommen zu müssen?",
    ],
    open: &[
        "Hilfe?",
        "Können Sie helfen?",
        "Was können Sie für mich tun?",
        "Was sollte ich vor meinem ersten Besuch wissen?",
    ],
    second: &[
        "und wen frage ich da?",
        "und was kostet das?",
        "und wie lange dauert das?",
        "und geht das auch online?",
    ],
    details: &[
        "Es eilt.",
        "Ich bin neu hier.",
        "Eine Freundin hat Sie empfohlen.",
        "Im Netz habe ich nichts gefunden.",
        "Auf der Website habe ich mich verlaufen.",
        "Mein Nachbar hat mir etwas ganz anderes erzählt.",
        "Ich möchte lieber niemanden anrufen müssen.",
        "Es ist für meine Mutter, die kein Internet benutzt.",
        "Ich habe zuerst versucht, es selbst herauszufinden.",
        "Beim letzten Mal war die Antwort leider nicht sehr klar.",
        "Ich habe im Moment nur mein Handy dabei.",
        "Wir sind eine Familie mit vier Personen und wollen es alle wissen.",
    ],
    concrete: &[
        "Es geht um den 14. März.",
        "Ich würde am Samstag um 11 Uhr kommen.",
        "Bisher habe ich 12,50 Euro bezahlt.",
        "Meine Tochter ist 9 und mein Sohn 13.",
        "Ich warte jetzt schon seit drei Wochen.",
        "Das letzte Mal war im Mai 2023.",
    ],
    stories: &[
        "Letzte Woche stand ich im Regen vor der Tür, und niemand war da.",
        "Mein Großvater hat mich früher immer mitgenommen, und jetzt möchte ich mit meinen eigenen Kindern kommen.",
        "Gestern habe ich es mit einem Kollegen versucht, und am Ende haben wir aufgegeben und sind Kaffee trinken gegangen.",
        "Ich bin gerade aus einer anderen Stadt hergezogen, wo das alles ganz anders lief.",
    ],
};
