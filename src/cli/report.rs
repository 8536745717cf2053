//! `report`: one page about the data that a run made, or about files of records from anywhere.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::exit::{Exit, UsageError};
use super::{print, print_data};
use crate::report::findings::Proportion;
use crate::report::{self, EmbeddingEndpoint, FieldGap, FieldPair, Findings, Options};

/// The arguments of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Run directories, such as `output/docs-to-qa`, or files of records: JSONL, CSV or one JSON array. Several are shown
    /// side by side and compared with the first.
    #[arg(required = true, value_name = "RUN_DIR|FILE")]
    inputs: Vec<PathBuf>,
    /// The page's file. By default `report.html` in the run directory, `STEM.report.html` in the working directory
    /// for a file or for several inputs. With `--json`, a page is written only where this names one.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A run directory or a file that words are compared with, instead of the built-in list of English words.
    #[arg(long, value_name = "RUN_DIR|FILE")]
    against: Option<PathBuf>,
    /// Two fields of the records to compare, such as `judged:human`: reports their agreement (Cohen's kappa), a table
    /// of their values, and records that differ. May be given several times.
    #[arg(long, value_name = "FIELD:FIELD", value_parser = parse_pair)]
    agree: Vec<FieldPair>,
    /// The fields of a weak model, a student and a ceiling, and that of the truth: how much of the gap between the weak
    /// model and the ceiling the student recovers. May be given several times.
    #[arg(long, value_name = "WEAK:STUDENT:CEILING:TRUTH", value_parser = parse_gap)]
    gap: Vec<FieldGap>,
    /// Price of a million tokens read by the model, in any currency.
    #[arg(long, value_name = "PRICE", value_parser = parse_price)]
    price_in: Option<f64>,
    /// Price of a million tokens written by the model.
    #[arg(long, value_name = "PRICE", value_parser = parse_price)]
    price_out: Option<f64>,
    /// Texts that costly measures are taken on, and that the map and the records to browse come of.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    sample: usize,
    /// The seed of that sample.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Where texts become vectors for the map and the Vendi score, such as `http://127.0.0.1:8000/v1`; without it
    /// they are made of the texts' words.
    #[arg(long, value_name = "URL", requires = "embeddings_model")]
    embeddings_url: Option<String>,
    /// The embedding model's name at that server.
    #[arg(long, value_name = "NAME", requires = "embeddings_url")]
    embeddings_model: Option<String>,
    /// The environment variable that holds the key for that server.
    #[arg(long, value_name = "VARIABLE", requires = "embeddings_url")]
    embeddings_key_env: Option<String>,
}

pub(super) fn run(args: &ReportArgs, json: bool, quiet: bool) -> anyhow::Result<Exit> {
    let found = report::findings(&args.inputs, &args.options())?;
    log_damage(&found);
    if json {
        print_data(&format!("{}\n", serde_json::to_string_pretty(&found)?));
    }
    let out = match (&args.out, json) {
        (Some(out), _) => out.clone(),
        (None, true) => return Ok(Exit::Complete),
        (None, false) => default_page(&args.inputs),
    };
    if args.inputs.contains(&out) {
        let message = format!("`{}` is an input; name another file with `--out`", out.display());
        return Err(UsageError(message).into());
    }
    write(&out, &found)?;
    if !json && !quiet {
        print(&summary(&found, &out));
    }
    Ok(Exit::Complete)
}

impl ReportArgs {
    fn options(&self) -> Options {
        let embeddings = self.embeddings_url.clone().zip(self.embeddings_model.clone());
        let prices = (self.price_in.is_some() || self.price_out.is_some())
            .then(|| (self.price_in.unwrap_or_default(), self.price_out.unwrap_or_default()));
        Options {
            sample: self.sample,
            seed: self.seed,
            prices,
            against: self.against.clone(),
            agree: self.agree.clone(),
            gaps: self.gap.clone(),
            embeddings: embeddings.map(|(base_url, model)| EmbeddingEndpoint {
                base_url,
                model,
                key_env: self.embeddings_key_env.clone(),
            }),
        }
    }
}

/// Damaged input files are also reported on stderr, for scripts that use the result.
fn log_damage(found: &[Findings]) {
    for found in found {
        for file in &found.made.files {
            if let Some(damage) = &file.damage {
                tracing::warn!("`{}` is damaged: {damage}", file.path);
            }
            if file.malformed > 0 {
                tracing::warn!(
                    "`{}`: {} of its lines or elements left out: no record",
                    file.path,
                    file.malformed
                );
            }
        }
    }
}

fn parse_pair(text: &str) -> Result<FieldPair, String> {
    match text.split_once(':') {
        Some((first, second)) if !first.is_empty() && !second.is_empty() && !second.contains(':') => {
            Ok(FieldPair { first: first.to_owned(), second: second.to_owned() })
        }
        _ => Err("two fields with a colon between them, such as `judged:human`".to_owned()),
    }
}

fn parse_gap(text: &str) -> Result<FieldGap, String> {
    let fields: Vec<&str> = text.split(':').collect();
    match fields[..] {
        [weak, student, ceiling, truth] if !fields.contains(&"") => {
            let [weak, student, ceiling, truth] = [weak, student, ceiling, truth].map(str::to_owned);
            Ok(FieldGap { weak, student, ceiling, truth })
        }
        _ => Err("four fields with colons between them, such as `weak:student:ceiling:truth`".to_owned()),
    }
}

fn parse_price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() && price >= 0.0 => Ok(price),
        _ => Err("a price is a number, such as 0.5".to_owned()),
    }
}

/// Returns the default path of the page: in the run directory, or else in the working directory.
fn default_page(inputs: &[PathBuf]) -> PathBuf {
    if let [run] = inputs
        && run.is_dir()
    {
        return run.join("report.html");
    }
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stems: Vec<String> = inputs.iter().map(stem).collect();
    PathBuf::from(format!("{}.report.html", stems.join("-and-")))
}

/// Written to a temporary file and renamed, so that a reader never sees half a page.
fn write(out: &Path, found: &[Findings]) -> anyhow::Result<()> {
    let page = report::page::render(found)?;
    let temporary = out.with_extension("html.new");
    std::fs::write(&temporary, page).with_context(|| format!("cannot write `{}`", temporary.display()))?;
    std::fs::rename(&temporary, out).with_context(|| format!("cannot write `{}`", out.display()))
}

/// Summarizes the page in a few lines.
fn summary(found: &[Findings], out: &Path) -> String {
    let mut text = String::new();
    for found in found {
        text.push_str(&format!(
            "{}: {} records of {} items, {} texts looked at closely\n",
            found.name, found.records, found.items, found.sampled
        ));
        for standout in &found.stands_out {
            text.push_str(&format!("  {}\n", report::page::sentence(standout).replace('\u{a0}', " ")));
        }
        for pair in &found.agreement {
            let kappa =
                pair.kappa.map_or("none, as all values are one".to_owned(), |kappa| format!("{kappa:.3}"));
            text.push_str(&format!(
                "  {} and {}: {} of {} equal, Cohen's kappa {kappa}\n",
                pair.first, pair.second, pair.equal.count, pair.equal.of
            ));
        }
        for gap in &found.gaps {
            let right = |(name, part): &(String, Proportion)| format!("{name} {} of {}", part.count, part.of);
            let recovered =
                gap.recovered.map_or("none, as there is no gap".to_owned(), |part| format!("{part:.3}"));
            text.push_str(&format!(
                "  right: {}, {}, {}; of the gap recovered: {recovered}\n",
                right(&gap.weak),
                right(&gap.student),
                right(&gap.ceiling)
            ));
        }
        for note in &found.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
    }
    text.push_str(&format!("  wrote     {}\n", out.display()));
    text
}
