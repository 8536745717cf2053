//! Wordings in French.

use super::Wording;

pub(super) static WORDING: Wording = Wording {
    quotes: ["« ", " »"],
    greetings: [
        &["Bonjour.", "Bonjour à vous.", "Une question :"],
        &[
            "Salut !",
            "Bonjour à tous !",
            "Coucou tout le monde !",
            "Bonjour, j'espère que vous passez une belle journée !",
        ],
        &[
            "Franchement.",
            "Ça suffit.",
            "C'est vraiment agaçant.",
            "Je l'ai déjà demandé deux fois sans avoir de réponse.",
        ],
        &["Pardon.", "Excusez-moi.", "Pardon de vous déranger.", "Je ne sais pas si je suis au bon endroit."],
        &["Madame, Monsieur,", "Chère équipe,", "Bonjour.", "Je me permets de vous adresser une demande."],
    ],
    closings: [
        &["Merci.", "Merci beaucoup."],
        &["Merci !", "Mille mercis !", "Vous êtes formidables, merci beaucoup pour tout !"],
        &[
            "Alors ?",
            "Répondez !",
            "J'attends une réponse aujourd'hui.",
            "Et ne me renvoyez pas encore vers une autre page.",
        ],
        &["Encore pardon.", "Merci, et pardon si la question est bête.", "J'espère que c'est clair."],
        &[
            "Bien cordialement.",
            "Merci beaucoup par avance.",
            "Je vous serais très reconnaissant de votre réponse.",
        ],
    ],
    about: &[
        "{topic} ?",
        "Une aide pour {topic} ?",
        "Qu'en est-il de {topic} ?",
        "Pouvez-vous m'expliquer {topic} ?",
        "Qui peut m'aider pour {topic} ?",
        "Que faut-il savoir sur {topic} ?",
        "Que pouvez-vous me dire sur {topic} ?",
        "Y a-t-il du nouveau en ce qui concerne {topic} ?",
        "À quoi dois-je faire attention pour {topic} ?",
        "Pourriez-vous me dire où je trouve plus d'informations sur {topic} ?",
        "Quel est le moyen le plus simple de régler {topic} sans devoir me déplacer ?",
    ],
    open: &[
        "De l'aide ?",
        "Pouvez-vous m'aider ?",
        "Que pouvez-vous faire pour moi ?",
        "Que dois-je savoir avant ma première visite ?",
    ],
    second: &[
        "et à qui dois-je demander ?",
        "et combien cela coûte ?",
        "et combien de temps cela prend ?",
        "et est-ce possible en ligne aussi ?",
    ],
    details: &[
        "C'est urgent.",
        "Je suis nouveau ici.",
        "Une amie vous a recommandés.",
        "Je n'ai rien trouvé en ligne.",
        "Je me suis perdu sur le site.",
        "Mon voisin m'a dit tout autre chose.",
        "Je préférerais ne devoir appeler personne.",
        "C'est pour ma mère, qui n'utilise pas internet.",
        "J'ai d'abord essayé de le savoir par moi-même.",
        "La dernière fois, la réponse n'était pas très claire.",
        "Je n'ai que mon téléphone sur moi en ce moment.",
        "Nous sommes une famille de quatre et nous voulons tous le savoir.",
    ],
    concrete: &[
        "Il s'agit du 14 mars.",
        "Je viendrais samedi à 11 heures.",
        "J'ai payé 12,50 euros jusqu'ici.",
        "Ma fille a 9 ans et mon fils 13.",
        "J'attends maintenant depuis trois semaines.",
        "La dernière fois, c'était en mai 2023.",
    ],
    stories: &[
        "La semaine dernière, j'étais devant la porte sous la pluie et il n'y avait personne.",
        "Mon grand-père m'emmenait toujours quand j'étais petit, et je veux faire de même avec mes enfants.",
        "Hier, j'ai essayé avec un collègue, et à la fin nous avons abandonné pour aller boire un café.",
        "Je viens d'arriver d'une autre ville, où tout cela se passait de manière très différente.",
    ],
};
