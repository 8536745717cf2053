//! Properties of the heuristic's answers.

#[test]
#[ignore]
fn adhoc() {
    use super::*;
    use serde_json::json;
    let dir = std::env::var("QA_DIR").unwrap_or("/tmp/qa".into());
    let filter = std::env::var("QA_TYPES").unwrap_or_default();
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut sections: Vec<Value> = Vec::new();
        let mut doc = String::new();
        let mut fenced = false;
        for line in text.lines() {
            if line.starts_with("```") {
                fenced = !fenced;
            }
            let hashes = line.chars().take_while(|c| *c == '#').count();
            if hashes > 0 && !fenced {
                let title = line.trim_start_matches('#').trim();
                if hashes == 1 {
                    doc = title.to_owned();
                }
                let path = if hashes == 1 { title.to_owned() } else { format!("{doc} > {title}") };
                sections.push(json!({"key": format!("{}#{}", path, sections.len()), "title": title, "heading_path": path, "text": "", "level": hashes}));
            } else if let Some(last) = sections.last_mut() {
                let t = format!("{}{line}\n", last["text"].as_str().unwrap());
                last["text"] = json!(t);
            }
        }
        for s in &mut sections {
            let facts: Vec<String> = sentences::split(s["text"].as_str().unwrap())
                .into_iter()
                .filter(|s| !s.text.contains("---"))
                .map(|s| s.text)
                .collect();
            s["facts"] = json!(facts);
        }
        let kinds = [
            "FACT_BASED",
            "SECTION_SUMMARY",
            "FACTUAL_RECALL",
            "INFERENCE",
            "MULTI_HOP_REASONING",
            "APPLICATION",
            "COMPARATIVE_ANALYSIS",
            "CAUSE_EFFECT",
            "SUMMARIZATION",
            "HYPOTHETICAL",
            "CRITICAL_ANALYSIS",
            "TECHNICAL_EXPLANATION",
            "PROCESS_WORKFLOW",
            "TRUE_FALSE_FILL_BLANK",
            "CONTEXTUAL_AMBIGUITY",
        ];
        for (i, s) in sections.iter().enumerate() {
            let facts = s["facts"].as_array().unwrap().clone();
            for (k, kind) in kinds.iter().enumerate() {
                if !filter.is_empty() && !filter.split(',').any(|f| f == *kind) {
                    continue;
                }
                let n = if *kind == "FACT_BASED" {
                    facts.len()
                } else if *kind == "TRUE_FALSE_FILL_BLANK" {
                    2
                } else {
                    1
                };
                for v in 0..n {
                    let fact = if k == 0 {
                        facts.get(v).cloned()
                    } else if k == 2 {
                        facts.get((i * 3 + 1) % facts.len().max(1)).cloned()
                    } else {
                        None
                    };
                    let two = [4, 6].contains(&k);
                    let comp = if two { sections.get((i + 1) % sections.len()).cloned() } else { None };
                    let mut r = Record::default();
                    r.set("question_type", *kind);
                    r.set("section", s.clone());
                    r.set("document", json!({"title": doc}));
                    r.set("fact", fact.unwrap_or(Value::Null));
                    r.set("companion", comp.unwrap_or(Value::Null));
                    r.set("variant", v + 1);
                    r.set("question_number", k * 10 + v);
                    let p = question::pair(&r).unwrap();
                    println!(
                        "[{kind}] {}\n  Q: {}\n  A: {}\n  R: {}",
                        s["heading_path"],
                        p.question,
                        p.answer.replace('\n', "\n     "),
                        p.steps.join(" | ")
                    );
                }
            }
        }
    }
}
