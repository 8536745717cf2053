//! `graph`: prints a pipeline's stages and blocks as a Mermaid flowchart, which GitHub and many editors render.
//! Offline.
//!
//! Nodes are named by number, so that no id of a pipeline is a keyword of Mermaid; every text is a quoted label in
//! which special characters are escaped.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use super::exit::Exit;
use super::{PipelineArgs, print_data, run};
use crate::config::{Plan, PlannedStage};
use crate::stages::Role;

/// The maximum length of one line of a label, in characters.
const LONGEST_LINE: usize = 60;
/// The line break of a label.
const BREAK: &str = "<br/>";

/// The arguments of `graph`.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
}

pub(super) fn run(args: &GraphArgs, json: bool) -> anyhow::Result<Exit> {
    let plan = run::load(&args.pipeline.pipeline, &args.pipeline.changes.overrides())?;
    let drawn = mermaid(&plan);
    match json {
        true => print_data(&format!("{:#}\n", json!({"pipeline": plan.name, "mermaid": drawn}))),
        false => print_data(&drawn),
    }
    Ok(Exit::Complete)
}

fn mermaid(plan: &Plan) -> String {
    let mut chart = Flowchart { nodes: "flowchart TD\n".to_owned(), edges: String::new(), count: 0 };
    chart.list(&plan.stages, &plan.resolved["stages"], 1);
    chart.nodes + &chart.edges
}

/// A flowchart that is being built.
struct Flowchart {
    /// The nodes, with the subgraphs around them.
    nodes: String,
    edges: String,
    /// The number of nodes and subgraphs so far.
    count: usize,
}

/// The nodes at which a stage is entered and left; for a block, its first and last stage.
struct Ends {
    first: usize,
    last: usize,
}

impl Flowchart {
    /// Adds stages one after another; `bodies` are the stages as written in the file.
    fn list(&mut self, stages: &[PlannedStage], bodies: &Value, depth: usize) -> Option<Ends> {
        let mut ends: Option<Ends> = None;
        for (index, stage) in stages.iter().enumerate() {
            let drawn = self.stage(stage, &bodies[index][stage.kind.name], depth);
            if let Some(before) = &ends {
                let _ = writeln!(self.edges, "  n{} --> n{}", before.last, drawn.first);
            }
            ends = Some(Ends { first: ends.map_or(drawn.first, |ends| ends.first), last: drawn.last });
        }
        ends
    }

    fn stage(&mut self, stage: &PlannedStage, body: &Value, depth: usize) -> Ends {
        self.count += 1;
        let (number, indent) = (self.count, "  ".repeat(depth));
        let label = label(stage, body);
        if stage.inner.is_empty() {
            let (open, close) = shape(stage.kind.role);
            let _ = writeln!(self.nodes, "{indent}n{number}{open}\"{label}\"{close}");
            return Ends { first: number, last: number };
        }
        let _ = writeln!(self.nodes, "{indent}subgraph b{number}[\"{label}\"]");
        let ends = self.list(&stage.inner, &body["stages"], depth + 1);
        let _ = writeln!(self.nodes, "{indent}end");
        let ends = ends.unwrap_or(Ends { first: number, last: number });
        if stage.declared.block().is_some_and(|block| block.is_loop()) {
            let _ = writeln!(self.edges, "  n{} -. \"next pass\" .-> n{}", ends.last, ends.first);
        }
        ends
    }
}

/// The brackets that determine a node's shape: rounded for a source, a hexagon for a model, a cylinder for a file.
fn shape(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Source => ("([", "])"),
        Role::Ask => ("{{", "}}"),
        Role::Sink => ("[(", ")]"),
        _ => ("[", "]"),
    }
}

/// The text of a node: the stage's id, its type if that differs, and its most important option.
fn label(stage: &PlannedStage, body: &Value) -> String {
    let (id, kind) = (stage.own_id(), stage.kind.name);
    let mut lines = vec![if id == kind { id.to_owned() } else { format!("{id} ({kind})") }];
    let text = |option: &str| body.get(option).filter(|value| !value.is_null()).map(shown);
    let described = [
        ("times", "passes: "),
        ("while", "while "),
        ("in", "for each of "),
        ("model", "asks "),
        ("continue", "continues "),
        ("paths", ""),
        ("path", ""),
    ];
    lines.extend(described.iter().filter_map(|(option, words)| Some(format!("{words}{}", text(option)?))));
    lines.extend(stage.when.as_ref().map(|when| format!("when {when}")));
    let escaped: Vec<String> = lines.iter().map(|line| escape(&shorten(line))).collect();
    escaped.join(BREAK)
}

/// The value of an option as text: a list is joined with commas.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn shorten(line: &str) -> String {
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// Escapes a text for Mermaid: everything except letters, digits and harmless characters is written by number.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            _ if char.is_whitespace() => escaped.push(' '),
            _ if char.is_alphanumeric() || " .,:/_-+=?!()".contains(char) => escaped.push(char),
            _ => {
                let _ = write!(escaped, "#{};", u32::from(char));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn blocks_are_subgraphs_and_loops_go_back() {
        let file = r#"name: nested
models: {m: {provider: heuristic}}
stages:
  - generate: {count: 2}
  - set: {text: "{{ row }}"}
  - repeat:
      id: end
      times: 2
      while: text != "a"
      stages:
        - prompt: {user: "{{ text }}"}
        - for_each:
            id: tries
            in: 3
            when: row > 1
            collect: {into: answers, fields: [completion]}
            stages:
              - llm: {id: try, model: m}
  - sink: {id: train, path: a.jsonl, format: raw, when: row > 0}
  - sink: {path: b.jsonl, format: raw}
"#;
        let plan = Plan::load_text("nested.yaml", file, &Overrides::default()).unwrap();
        let expected = r#"flowchart TD
  n1(["generate"])
  n2["set"]
  subgraph b3["end (repeat)<br/>passes: 2<br/>while text != #34;a#34;"]
    n4["prompt"]
    subgraph b5["tries (for_each)<br/>for each of 3<br/>when row #62; 1"]
      n6{{"try (llm)<br/>asks m"}}
    end
  end
  n7[("train (sink)<br/>a.jsonl<br/>when row #62; 0")]
  n8[("sink<br/>b.jsonl")]
  n1 --> n2
  n4 --> n6
  n6 -. "next pass" .-> n4
  n2 --> n4
  n6 --> n7
  n7 --> n8
"#;
        assert_eq!(mermaid(&plan), expected);
    }

    #[test]
    fn labels_are_shown_as_they_are_written() {
        for (text, expected) in [
            ("a-1_b/c.jsonl", "a-1_b/c.jsonl"),
            ("end]\"; x", "end#93;#34;#59; x"),
            ("`a` #1 <b>", "#96;a#96; #35;1 #60;b#62;"),
            ("über\n茶", "über 茶"),
        ] {
            assert_eq!(escape(text), expected);
        }
        assert_eq!(shorten(&"x".repeat(70)), format!("{}...", "x".repeat(60)));
    }
}
