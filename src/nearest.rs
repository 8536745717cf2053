//! "Did you mean": finds the known name that is nearest to an unknown one.

/// Returns the candidate of which `name` is most likely a misspelling, if any is near enough.
#[must_use]
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let name = name.to_lowercase();
    let limit = (name.chars().count() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.iter().copied() {
        let lower = candidate.to_lowercase();
        let distance = match strsim::damerau_levenshtein(&name, &lower) {
            near if near <= limit => near,
            // An abbreviated or extended name, such as `temp` for `temperature`.
            _ if name.len() >= 3 && (lower.starts_with(&name) || name.starts_with(&lower)) => limit + 1,
            _ => continue,
        };
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate).or_else(|| sharing_words(&name, &candidates))
}

/// Returns the only candidate that contains `name` as a word, as `drop_marker` contains `marker`, or is contained
/// in it.
fn sharing_words<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let part =
        |part: &str, whole: &str| part.len() >= 3 && format!("_{whole}_").contains(&format!("_{part}_"));
    let shares = |candidate: &&&str| {
        let lower = candidate.to_lowercase();
        part(name, &lower) || part(&lower, name)
    };
    let mut found = candidates.iter().filter(shares);
    found.next().copied().filter(|_| found.next().is_none())
}

/// Returns a hint with the nearest candidate.
pub(crate) fn did_you_mean<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(name, candidates).map(did_you_mean_this)
}

/// Returns a hint that proposes `name`.
pub(crate) fn did_you_mean_this(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// Formats names as a list for a sentence: `a`, `b`; at most a dozen of them.
pub(crate) fn listed<'c>(names: impl IntoIterator<Item = &'c str>) -> String {
    const MOST: usize = 12;
    let names: Vec<&str> = names.into_iter().collect();
    let mut text: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    if names.len() > MOST {
        text.push(format!("and {} more", names.len() - MOST));
    }
    text.join(", ")
}

/// Formats what is expected where one of these names is required.
pub(crate) fn one_of<'c>(names: impl IntoIterator<Item = &'c str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if let [only] = names.as_slice() { format!("`{only}`") } else { format!("one of {}", listed(names)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_misspellings_and_nothing_unrelated() {
        let known = ["temperature", "path", "paths", "max_tokens", "drop_marker", "read_tokens"];
        for (name, expected) in [
            ("pth", Some("path")),
            ("Paths", Some("paths")),
            ("temp", Some("temperature")),
            ("max-tokens", Some("max_tokens")),
            ("marker", Some("drop_marker")),
            ("the_Temperature", Some("temperature")),
            ("tokens", None),
            ("mark", None),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
