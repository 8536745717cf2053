//! An example of findings, for tests of the page: small, but with every part filled and with hostile texts.

mod judging;

use std::collections::BTreeMap;

use super::*;

impl Findings {
    /// Findings of a made-up run.
    pub fn sample() -> Self {
        Self {
            name: "user-inputs".into(),
            source: InputSource {
                run: true,
                path: "output/user-inputs".into(),
                pipeline: Some("user-inputs".into()),
                started: Some("2026-01-02_03-04-05".into()),
                state: Some("finished".into()),
            },
            synthmill: "0.1.0".into(),
            generated: "2026-01-02 04:00".into(),
            seed: 42,
            records: 9_500,
            items: 9_500,
            sampled: 60,
            notes: vec!["3 lines of `rows.jsonl` are no JSON and were left out".into()],
            stands_out: vec![Standout::CutOff {
                model: "writer".into(),
                answers: Proportion { count: 300, of: 9_700 },
            }],
            configuration: Some(configuration()),
            exchanges: vec![exchange()],
            made: made(),
            lengths: lengths(),
            attributes: vec![attribute("tone", true), attribute("topic", true), attribute("split", false)],
            crossed: vec![crossed()],
            words: words(),
            variety: variety(),
            map: Some(map()),
            languages: Some(Languages {
                texts: 60,
                sampled: true,
                unsure: 2,
                as_asked: Some(Proportion { count: 50, of: 55 }),
                cells: vec![
                    cell(Some("English"), "English", 50, Some(true)),
                    cell(Some("English"), "German", 5, Some(false)),
                    cell(None, "French", 3, None),
                ],
            }),
            judging: vec![judging::judging()],
            classified: vec![judging::classified()],
            agreement: vec![judging::agreement()],
            gaps: vec![judging::gap()],
            sample: (0..40).map(record).collect(),
            difference: None,
            against: Vec::new(),
        }
    }

    /// Findings that differ from `sample`, as the second of a report.
    pub fn sample_after() -> Self {
        let first = Self::sample();
        let mut second = first.clone();
        second.name = "user-inputs-2".into();
        second.records = 4_000;
        second.difference = Some(Difference {
            from: first.name,
            settings: vec![SettingChange {
                setting: "models.writer.params.temperature".into(),
                before: Some("0.7".into()),
                after: Some("1.2 <b>".into()),
            }],
            settings_known: true,
            shares: vec![ShareChange {
                attribute: "tone".into(),
                value: "angry".into(),
                before: 0.2,
                after: 0.3,
                z: 9.1,
            }],
            measures: vec![
                change("distinct_1", "Distinct words", 0.031, 0.052, MoreVaried::After),
                change("exact_duplicates", "Exact duplicates", 0.001, 0.001, MoreVaried::Neither),
            ],
            words: vec![term("refund", 120, 20, 2.0, 6.5), term("card", 10, 90, -1.8, -5.0)],
            first_words: vec![term("how", 300, 200, 0.5, 4.0)],
        });
        second
    }
}

fn made() -> GenerationTotals {
    let count =
        |name: &str, count: u64, of: u64| NamedCount { name: name.into(), part: Proportion { count, of } };
    GenerationTotals {
        files: vec![FileCount {
            path: "rows.jsonl".into(),
            records: 9_500,
            malformed: 3,
            damage: None,
            by_heuristic: 0,
            measured: true,
        }],
        splits: vec![count("train", 8_550, 9_500), count("validation", 950, 9_500)],
        identity: Some(ItemAccounting {
            admitted: 10_000,
            ok: 9_500,
            dropped: 300,
            rejected: 200,
            in_flight: 0,
            holds: true,
        }),
        drops: vec![count("crosses_split", 300, 10_000)],
        rejections: vec![RejectionCause {
            class: "schema".into(),
            stage: "parse".into(),
            part: Proportion { count: 200, of: 9_700 },
            example: "`question` is missing in <answer>".into(),
        }],
        models: vec![ModelUse {
            model: "writer".into(),
            provider: "openai".into(),
            asked_as: Some("small-8b".into()),
            reported_as: vec![count("small-8b-2026-01", 9_700, 9_700)],
            calls: 9_700,
            prompt_tokens: 1_940_000,
            completion_tokens: 242_500,
            re_asks: 12,
            fallbacks: Proportion { count: 0, of: 9_700 },
            attempts: 9_800,
            finish_reasons: vec![count("stop", 9_400, 9_700), count("length", 300, 9_700)],
        }],
        source_unread: 0,
        spent: None,
        tokens: Some(TokenTotals { prompt: 1_940_000, completion: 242_500, elsewhere: 0 }),
        cost: Some(CostBreakdown {
            price_in: 0.5,
            price_out: 1.5,
            prompt: 0.97,
            completion: 0.36,
            total: 1.33,
            per_thousand_records: Some(0.14),
        }),
        seconds: Some(754.2),
        estimates: vec![ShareEstimate {
            share: 0.5,
            size: 9_500,
            interval: Interval { low: 0.4899, high: 0.5101 },
        }],
        needed: vec![
            RequiredSize { half_width: 0.01, size: 9_604, reached: false },
            RequiredSize { half_width: 0.05, size: 385, reached: true },
        ],
    }
}

fn lengths() -> Lengths {
    let part = |unit: &str, scale: u64| PartLengths {
        part: "text".into(),
        unit: unit.into(),
        actual: summary(scale),
        sampled: false,
        histogram: Histogram {
            edges: (0..=20).map(|edge| edge * 5 * scale).collect(),
            actual: (0..20_u64).map(|bin| 900 / (1 + bin.abs_diff(3))).collect(),
            asked: (unit == "words").then(|| (0..20_u64).map(|bin| 800 / (1 + bin.abs_diff(4))).collect()),
        },
    };
    Lengths {
        parts: vec![part("words", 1), part("tokens", 2)],
        asked: Some(LengthAdherence {
            part: "text".into(),
            asked: summary(1),
            records: 9_500,
            correlation: Some(0.71),
            ratio: 1.12,
            within_25: Proportion { count: 4_560, of: 9_500 },
            within_50: Proportion { count: 7_885, of: 9_500 },
            pairs: (0..200).map(|n| (2 + n % 60, 3 + (n * 7) % 70)).collect(),
        }),
    }
}

fn summary(scale: u64) -> LengthSummary {
    LengthSummary {
        count: 9_500,
        min: 2 * scale,
        p5: 5 * scale,
        median: 14 * scale,
        mean: 17.6 * scale as f64,
        p95: 44 * scale,
        max: 170 * scale,
    }
}

fn attribute(name: &str, drawn: bool) -> Attribute {
    let value = |value: &str, share: f64, rejected: f64, outlier: bool| AttributeValue {
        value: value.into(),
        configured: drawn.then_some(share),
        drawn: share * 10_000.0,
        drawn_share: share,
        interval: Interval { low: share - 0.01, high: share + 0.01 },
        kept: share * 10_000.0 * (1.0 - rejected),
        kept_share: share * (1.0 - rejected),
        rejected: share * 10_000.0 * rejected,
        rejected_share: rejected,
        z_configured: drawn.then_some(0.4),
        z_rejected: Some(rejected * 40.0),
        drawn_otherwise: false,
        rejected_often: outlier,
    };
    Attribute {
        name: name.into(),
        drawn,
        values: vec![
            value("", 0.5, 0.01, false),
            value("polite & formal", 0.3, 0.02, false),
            value("angry <script>alert(1)</script>", 0.2, 0.3, true),
        ],
        other_values: 0,
        items: 9_700.0,
        differs: false,
        rejects: true,
        p_configured: drawn.then_some(0.62),
        p_rejected: Some(1e-12),
        evenness: Some(0.94),
    }
}

fn term(term: &str, count: u64, count_reference: u64, log_odds: f64, z: f64) -> Term {
    Term { term: term.into(), count, count_reference, expected: count_reference as f64 / 6.0, log_odds, z }
}

fn words() -> WordComparison {
    let list = |names: &[&str]| TermList {
        reading: "A z above 4 is far more than chance.".into(),
        total: 170_000,
        total_reference: 1_000_000,
        prior: 1_000.0,
        over: names.iter().zip(1..).map(|(name, n)| term(name, 400 / n, 3, 4.0, 30.0 / n as f64)).collect(),
        under: vec![term("said", 0, 2_000, -5.0, -9.0)],
    };
    WordComparison {
        reference: "built-in word list".into(),
        words: list(&["library", "card", "renew", "</script><b>", "museum"]),
        bigrams: list(&["library card", "how do", "can i"]),
        first_words: list(&["how", "can", "what"]),
        openings: vec![
            FirstWord { word: "how".into(), texts: 4_000, so_far: Proportion { count: 4_000, of: 9_500 } },
            FirstWord { word: "can".into(), texts: 2_000, so_far: Proportion { count: 6_000, of: 9_500 } },
        ],
        texts: 9_500,
        by_value: vec![ValueTerms {
            attribute: "tone".into(),
            value: "angry <script>alert(1)</script>".into(),
            texts: 2_000,
            over: vec![term("ridiculous", 90, 2, 3.9, 8.0)],
            under: vec![term("please", 3, 300, -3.0, -7.0)],
        }],
    }
}

fn variety() -> Variety {
    let measure = |key: &str, name: &str, value: f64, share: bool, more_varied: Direction| Measure {
        key: key.into(),
        name: name.into(),
        value,
        part: None,
        share,
        more_varied,
        texts: if share { 9_500 } else { 60 },
        sampled: !share,
        reading: "1 means that no word occurs twice; it falls as data grows.".into(),
    };
    Variety {
        measures: vec![
            measure("distinct_1", "Distinct words", 0.031, true, Direction::Higher),
            measure("entropy_normalised", "Evenness of words", 0.78, true, Direction::Higher),
            measure("self_bleu", "Self-BLEU", 0.42, false, Direction::Lower),
            measure("vendi_score", "Vendi score", 41.3, false, Direction::Higher),
            Measure {
                part: Some(Proportion { count: 570, of: 9_500 }),
                ..measure("near_duplicates", "Near duplicates", 0.06, true, Direction::Lower)
            },
        ],
        groups: vec![DuplicateGroup {
            size: 5,
            texts: vec!["How do I renew my card?".into(), "How can I renew my card?".into()],
        }],
    }
}

fn map() -> TextMap {
    let point = |n: u32| Point {
        x: f64::from(n * 37 % 101) / 101.0,
        y: f64::from(n * 53 % 97) / 97.0,
        id: format!("{n:06}"),
        text: format!("Question {n} with \"quotes\" & <script>alert({n})</script>"),
        attributes: attributes_of(n),
    };
    TextMap {
        method: "hashed TF-IDF of words, t-SNE with perplexity 20".into(),
        points: (0..60).map(point).collect(),
        attributes: vec!["tone".into(), "topic".into(), "split".into()],
    }
}

fn cell(asked: Option<&str>, found: &str, count: u64, matches: Option<bool>) -> LanguageCell {
    LanguageCell { asked: asked.map(str::to_owned), found: found.into(), count, matches }
}

fn record(n: u32) -> SampleRecord {
    SampleRecord {
        id: format!("{n:06}"),
        turns: vec![Turn {
            role: "text".into(),
            text: format!("How do I renew card {n}?<script>alert(1)</script>"),
        }],
        attributes: attributes_of(n),
        target_words: Some(u64::from(5 + n % 20)),
        words: u64::from(4 + n % 25),
        rejected: (n % 10 == 9).then(|| "schema: `question` is missing".to_owned()),
    }
}

fn attributes_of(n: u32) -> BTreeMap<String, String> {
    let tone = ["", "polite & formal", "angry <script>alert(1)</script>"][n as usize % 3];
    let split = if n.is_multiple_of(10) { "validation" } else { "train" };
    let entries = [("tone", tone), ("topic", ["cards", "fines"][n as usize % 2]), ("split", split)];
    entries.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn configuration() -> Configuration {
    Configuration {
        pipeline: "name: user-inputs\nseed: 42 # </pre><script>alert(1)</script>\n".into(),
        settings: [("seed".to_owned(), "42".to_owned())].into(),
    }
}

fn exchange() -> SampledExchange {
    let turn = |role: &str, text: &str| Turn { role: role.into(), text: text.into() };
    SampledExchange {
        id: "000007".into(),
        stage: "llm".into(),
        model: "writer".into(),
        provider: "openai".into(),
        outcome: "ok".into(),
        messages: vec![turn("system", "You write."), turn("user", "Ask <script>alert(1)</script>")],
        answer: Some("How do I renew?</details>".into()),
    }
}

fn crossed() -> CrossTab {
    let cell = |items: f64, of: f64, configured: f64| CrossTabCell {
        items,
        share: items / of,
        configured: Some(configured),
        differs: false,
    };
    CrossTab {
        attribute: "tone".into(),
        on: "topic".into(),
        values: vec!["".into(), "angry".into()],
        rows: vec![
            CrossTabRow {
                value: "cards".into(),
                items: 500.0,
                cells: vec![cell(400.0, 500.0, 0.8), cell(100.0, 500.0, 0.2)],
            },
            CrossTabRow {
                value: "fines".into(),
                items: 100.0,
                cells: vec![cell(40.0, 100.0, 0.4), cell(60.0, 100.0, 0.6)],
            },
        ],
        items: 600.0,
        left_out: 0,
    }
}

fn change(key: &str, name: &str, before: f64, after: f64, verdict: MoreVaried) -> MeasureChange {
    MeasureChange {
        key: key.into(),
        name: name.into(),
        share: true,
        more_varied: Direction::Higher,
        texts: 400,
        before: MeanEstimate { mean: before, error: 0.001 },
        after: MeanEstimate { mean: after, error: 0.001 },
        change: (after - before - 0.003, after - before + 0.003),
        verdict,
    }
}
