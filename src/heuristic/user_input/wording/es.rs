//! Wordings in Spanish.

use super::Wording;

pub(super) static WORDING: Wording = Wording {
    quotes: ["«", "»"],
    greetings: [
        &["Hola.", "Buenos días.", "Una pregunta:"],
        &["¡Hola!", "¡Hola a todos!", "¡Hola, gente linda!", "¡Hola, espero que tengan un día estupendo!"],
        &[
            "¡Por favor!",
            "Ya está bien.",
            "Esto es muy molesto.",
            "Ya lo he preguntado dos veces y nadie me responde.",
        ],
        &[
            "Perdón.",
            "Disculpe.",
            "Perdone la molestia.",
            "No sé si este es el lugar adecuado para preguntar.",
        ],
        &["Estimado equipo:", "Buenos días.", "Estimados señores:", "Me dirijo a ustedes con una consulta."],
    ],
    closings: [
        &["Gracias.", "Muchas gracias."],
        &["¡Gracias!", "¡Mil gracias!", "¡Son los mejores, muchísimas gracias por todo!"],
        &[
            "¿Y bien?",
            "¡Respondan!",
            "Espero una respuesta hoy mismo.",
            "Y por favor, no me envíen otra vez a otra página.",
        ],
        &["Perdón otra vez.", "Gracias, y perdón si la pregunta es tonta.", "Espero que se entienda."],
        &["Un cordial saludo.", "Muchas gracias de antemano.", "Les agradecería mucho su respuesta."],
    ],
    about: &[
        "¿{topic}?",
        "¿Ayuda con {topic}?",
        "¿Qué hay de {topic}?",
        "¿Me puede explicar {topic}?",
        "¿Quién me ayuda con {topic}?",
        "¿Qué debo saber sobre {topic}?",
        "¿Qué me puede decir sobre {topic}?",
        "¿Hay alguna novedad en lo que toca a {topic}?",
        "¿Qué tengo que tener en cuenta para {topic}?",
        "¿Me podría decir dónde encuentro más información sobre {topic}?",
        "¿Cuál es la forma más fácil de resolver {topic} sin tener que ir en persona?",
    ],
    open: &[
        "¿Ayuda?",
        "¿Me puede ayudar?",
        "¿Qué puede hacer por mí?",
        "¿Qué debo saber antes de mi primera visita?",
    ],
    second: &[
        "y a quién pregunto?",
        "y cuánto cuesta?",
        "y cuánto tiempo tarda?",
        "y se puede hacer también por internet?",
    ],
    details: &[
        "Es urgente.",
        "Soy nuevo aquí.",
        "Me los recomendó una amiga.",
        "No encontré nada en internet.",
        "Miré la página y me perdí.",
        "Mi vecino me contó algo muy distinto.",
        "Preferiría no tener que llamar a nadie.",
        "Es para mi madre, que no usa internet.",
        "Primero he intentado averiguarlo por mi cuenta.",
        "La última vez la respuesta no fue muy clara.",
        "Ahora mismo solo tengo el teléfono conmigo.",
        "Somos una familia de cuatro y todos queremos saberlo.",
    ],
    concrete: &[
        "Se trata del 14 de marzo.",
        "Iría el sábado a las 11.",
        "Hasta ahora he pagado 12,50 euros.",
        "Mi hija tiene 9 años y mi hijo 13.",
        "Llevo ya tres semanas esperando.",
        "La última vez fue en mayo de 2023.",
    ],
    stories: &[
        "La semana pasada estuve delante de la puerta bajo la lluvia y no había nadie.",
        "Mi abuelo me llevaba siempre cuando era pequeño, y ahora quiero hacer lo mismo con mis hijos.",
        "Ayer lo intenté con un compañero, y al final nos rendimos y nos fuimos a tomar un café.",
        "Acabo de mudarme desde otra ciudad, donde todo esto funcionaba de una manera muy distinta.",
    ],
};
