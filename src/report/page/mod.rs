//! Renders the report as one self-contained HTML page: it needs no network and no other file.
//!
//! Turns `Findings` into text; `cli::report` reads the data before and writes the file after. `view` selects what is
//! shown, `charts` draws, `format` formats numbers, and the files in `parts/` have the wording and the styles.
//!
//! Texts of records are never trusted. Templates end in `.html`, so that minijinja escapes all output. The data of the
//! script is embedded as JSON in which each `<` is written `\u003c`, and is inserted into the page as text only. The
//! content security policy allows no other script and no request.

mod axis;
mod charts;
mod format;
mod remarks;
mod view;

#[cfg(test)]
mod tests;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::Findings;

pub use remarks::sentence;

/// The chapters, in the order of the page: the anchor's name and the template.
const CHAPTERS: &[(&str, &str)] = &[
    ("page.html", include_str!("parts/page.html")),
    ("macros.html", include_str!("parts/macros.html")),
    ("compare.html", include_str!("parts/compare.html")),
    ("made.html", include_str!("parts/made.html")),
    ("asked.html", include_str!("parts/asked.html")),
    ("lengths.html", include_str!("parts/lengths.html")),
    ("attributes.html", include_str!("parts/attributes.html")),
    ("words.html", include_str!("parts/words.html")),
    ("variety.html", include_str!("parts/variety.html")),
    ("map.html", include_str!("parts/map.html")),
    ("languages.html", include_str!("parts/languages.html")),
    ("judging.html", include_str!("parts/judging.html")),
    ("records.html", include_str!("parts/records.html")),
];
const STYLE: &str = concat!(
    include_str!("parts/page.css"),
    include_str!("parts/chapters.css"),
    include_str!("parts/media.css")
);
const SCRIPT: &str =
    concat!(include_str!("parts/page.js"), include_str!("parts/map.js"), include_str!("parts/records.js"));

/// Why a page could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A chart could not be drawn.
    #[error("cannot draw a chart of the report: {message}")]
    Chart {
        /// The message of plotters.
        message: String,
    },
    /// A template could not be rendered.
    #[error("cannot write the report's page: {0}")]
    Template(#[from] minijinja::Error),
    /// The findings could not be serialised as JSON.
    #[error("cannot write the report's data as JSON: {0}")]
    Data(#[from] serde_json::Error),
}

/// Renders the page for one set of findings, or for several side by side.
pub fn render(findings: &[Findings]) -> Result<String, PageError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    format::add_filters(&mut environment);
    for (name, source) in CHAPTERS {
        environment.add_template(name, source)?;
    }
    let names = view::names(findings);
    let runs = findings.iter().zip(&names).enumerate();
    let longest = view::longest(findings);
    let runs = runs.map(|(number, (findings, name))| view::run(number, name, findings, longest));
    let runs = runs.collect::<Result<Vec<Value>, PageError>>()?;
    let data = embedded(&view::script_data(&names, findings))?;
    // The nonce is a hash of all data shown, so that no text in the data can contain it.
    let nonce = blake3::hash(data.as_bytes()).to_hex();
    let page = environment.get_template("page.html")?.render(context! {
        title => names.join(" and "),
        is_compared => findings.len() > 1,
        runs,
        lengths => view::lengths(findings)?,
        measures => view::measures(findings),
        filters => view::filters(findings),
        has_judging => findings.iter().any(|findings| !findings.judging.is_empty() || !findings.classified.is_empty() || !findings.agreement.is_empty() || !findings.gaps.is_empty()),
        has_rejected => findings.iter().flat_map(|findings| &findings.sample).any(|record| record.rejected.is_some()),
        nonce => nonce.as_str(),
        style => Value::from_safe_string(STYLE.to_owned()),
        script => Value::from_safe_string(SCRIPT.to_owned()),
        data => Value::from_safe_string(data),
    })?;
    Ok(page)
}

/// Serialises JSON for a `script` element: without `<`, no text in it can end the element or open a comment.
fn embedded(data: &serde_json::Value) -> Result<String, PageError> {
    Ok(serde_json::to_string(data)?.replace('<', "\\u003c"))
}

/// Serialises findings, or a part of them, for a template.
fn serialized<T: serde::Serialize>(part: &T) -> Value {
    Value::from(Serde(part))
}
