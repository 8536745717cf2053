//! English wording.

use super::Phrases;

pub(super) static PHRASES: Phrases = Phrases {
    quoted: "\"{text}\"",
    bare_titles: true,
    pre: "In \"{doc}\", ",
    post: " in \"{doc}\"",
    about_title: &["On the subject of {title}, ", "With regard to {title}, "],
    about_both: &["In \"{doc}\", ", "On {title} in \"{doc}\": ", "When it comes to {title} in \"{doc}\", "],
    and: " and ",
    openings: &[
        ("If", "{ctx}what follows if {clause}?"),
        ("When", "{ctx}what holds when {clause}?"),
        ("Whenever", "{ctx}what holds whenever {clause}?"),
        ("Once", "{ctx}what comes next once {clause}?"),
        ("After", "{ctx}what comes after {clause}?"),
        ("Before", "{ctx}what comes before {clause}?"),
        ("Unless", "{ctx}what holds unless {clause}?"),
        ("Without", "{ctx}what happens without {clause}?"),
        ("Because", "{ctx}what follows from the fact that {clause}?"),
        ("Since", "{ctx}what follows from the fact that {clause}?"),
        ("Although", "{ctx}what is true although {clause}?"),
        ("To", "{ctx}what should you do to {clause}?"),
    ],
    copulas: &[],
    empty_labels: "note tip warning caution important remark example hint",
    fact: &[
        "{ctx}what should you know about {term}?",
        "{ctx}what is there to know about {term}?",
        "{ctx}what matters about {term}?",
    ],
    fact_two: &[
        "{ctx}what is the connection between {term} and {other}?",
        "{ctx}what should you know about {term} in relation to {other}?",
        "{ctx}what is there to know about {term} and {other}?",
    ],
    listed: &["{pre}what is listed under {title} that concerns {term}?", "{ctx}which item concerns {term}?"],
    label: &["{ctx}what is there to know about {label}?", "{ctx}what is specified for {label}?"],
    label_term: &["{ctx}what is noted for {label} with regard to {term}?"],
    summary: &[
        "{pre}what are the main points about {title}?",
        "What should someone know about {title}{post}?",
        "Can you give an overview of {title}{post}?",
    ],
    also: "It is also about {terms}.",
    summarize: &[
        "Summarize {title}{post} in fewer than 100 words.",
        "Give a summary of {title}{post} in fewer than 100 words.",
    ],
    summarize_term: &["{ctx}summarize in fewer than 100 words what there is to know about {term}."],
    infer: &["{ctx}what can be inferred about {term}?", "{ctx}what conclusion can be drawn about {term}?"],
    infer_answer: &[
        "{first} Another statement goes with this: {second}",
        "This follows from two statements: {first} {second}",
    ],
    hop: &[
        "What links {a} and {b}{post} with regard to {term}?",
        "What do you learn about {term} when you combine {a} with {b}{post}?",
    ],
    hop_plain: &[
        "What do you get when you combine {a} with {b}{post}?",
        "How do {a} and {b} fit together{post}?",
    ],
    compare: &["How can {a} and {b} be compared{post}?", "{pre}what sets {a} apart from {b}?"],
    shared: "Both are about {terms}.",
    apply: &[
        "How would you put {title}{post} into practice?",
        "{pre}what do you have to do in practice when it comes to {title}?",
    ],
    apply_term: &[
        "You are working with {term}. What do you have to do, going by {title}{post}?",
        "{ctx}how do you deal with {term} in practice?",
    ],
    apply_plain: &[
        "{ctx}someone asks you about {term}. What can you tell them?",
        "{ctx}what would you tell someone who has to work with {term}?",
    ],
    reasons: &[(" because ", "{ctx}why is it that {effect}?"), (", since ", "{ctx}why is it that {effect}?")],
    causal: "because since therefore thus hence causes cause caused leads lead results result due makes prevents so if when \
             otherwise without reason why consequently",
    effect: &[
        "{ctx}what are cause and effect in the case of {term}?",
        "{ctx}which causes and effects involve {term}?",
    ],
    circumstances: &[
        "{ctx}which circumstances matter for {term}?",
        "{ctx}what has to be taken into account with {term}?",
    ],
    suppose: &[
        "{ctx}suppose that {term} were missing. What would be affected?",
        "{ctx}imagine doing without {term}. What would no longer hold as it stands?",
    ],
    suppose_answer: &["This would be affected: {first}", "What could no longer be relied on: {first}"],
    limits: "but however although though only not never unless except cannot without limit rarely however, while despite too \
             instead than avoid no",
    duties: "must should can need needs use run set add make sure always never before first then",
    criticize: &[
        "{ctx}which limits or conditions have to be weighed with {term}?",
        "How would you judge what is stated about {term} in {title}{post}, and on what grounds?",
    ],
    support: &[
        "{ctx}what is claimed about {term}, and what goes with it?",
        "{ctx}what can be said about {term} on firm ground?",
    ],
    explain: &[
        "{ctx}explain {term} to someone who is new to it.",
        "How would you explain {term} to a beginner, in the context of {title}{post}?",
    ],
    process: &[
        "{pre}what are the steps of {title}, in order?",
        "Take me through {title}{post}, step by step.",
    ],
    points: &[
        "Walk me through {title}{post}, point by point.",
        "{pre}what is there to say about {title}, point by point?",
    ],
    judge: &[
        "{ctx}is the following true or false? \"{statement}\"",
        "True or false, on the subject of {title}{post}: \"{statement}\"",
    ],
    yes: "True. {sentence}",
    no: "False. It should say: {sentence}",
    negations: &[
        (" is not ", " is "),
        (" are not ", " are "),
        (" cannot ", " can "),
        (" must not ", " must "),
        (" should not ", " should "),
        (" does not ", " does indeed "),
        (" is ", " is not "),
        (" are ", " are not "),
        (" can ", " cannot "),
        (" must ", " must not "),
        (" should ", " should not "),
        (" will ", " will not "),
        (" always ", " never "),
        (" never ", " always "),
    ],
    blank: &[
        "{ctx}fill in the blank: \"{statement}\"",
        "Which words are missing in this sentence on {title}{post}? \"{statement}\"",
    ],
    blank_answer: "**{term}**. The full sentence: {sentence}",
    pronouns: "it they this these those",
    refer: &["{ctx}what does \"{pronoun}\" refer to in the sentence \"{statement}\"?"],
    refer_answer: "\"{pronoun}\" refers to what was said just before: {sentence}",
    meaning: &[
        "{ctx}what exactly is meant by \"{term}\" in \"{statement}\"?",
        "The word \"{term}\" could be read in several ways. What does it stand for in \"{statement}\", on the subject of {title}{post}?",
    ],
    code: &[
        "{pre}what code is given for {title}?",
        "What does the code for {title}{post} look like?",
        "Can you show the code that belongs to {title}{post}?",
    ],
    locate: &[
        "The question is about {term}, which is treated under \"{path}\".",
        "What is asked concerns {term}; \"{path}\" covers it.",
        "To answer, look at what \"{path}\" says about {term}.",
    ],
    locate_two: "The question needs two parts: \"{path}\" and \"{path2}\".",
    quote: &["Under \"{path}\" it is stated: \"{quote}\"", "\"{path}\" says: \"{quote}\""],
    direct: &[
        "This statement under \"{path}\" answers the question as asked, so the answer repeats it with its details.",
        "Nothing else under \"{path}\" changes this, so the answer follows from it directly.",
    ],
    joined: &[
        "It is also stated there: \"{quote}\" The answer joins both statements.",
        "A second statement belongs to it: \"{quote}\" Together they give the answer.",
    ],
    ordered: "The order under \"{path}\" is kept, down to the last point: \"{quote}\"",
    wrong: "The statement in the question differs from this sentence under \"{path}\", so it is false.",
    filled: "Comparing this with the sentence in the question shows that \"{quote}\" is missing.",
};
