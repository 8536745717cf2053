//! Reads a server's queue from its `/metrics`: how many requests are running and how many are waiting.
//!
//! vLLM and similar servers never refuse requests; without this they would be sent far more than they can work on.
//! `remote` fetches the text during a run, `concurrency` acts on the figures.

use reqwest::Url;

/// The metric names of running and waiting requests, by server.
const NAMES: [(&str, &str); 3] = [
    ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
    ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
];

/// Returns the address of a server's metrics: beside the `/v1` of its API.
pub(super) fn address(base: &Url) -> Url {
    let mut url = base.clone();
    let path = base.path().trim_end_matches('/');
    let root = path.strip_suffix("/v1").unwrap_or(path);
    url.set_path(&format!("{root}/metrics"));
    url
}

/// Returns the running and waiting requests, summed over a server's engines, if the text has them.
pub(in crate::llm) fn read(text: &str) -> Option<(f64, f64)> {
    NAMES.iter().find_map(|(running, waiting)| Some((sum(text, running)?, sum(text, waiting)?)))
}

fn sum(text: &str, name: &str) -> Option<f64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' '])) else {
            continue;
        };
        let value: f64 = rest.rsplit(' ').next()?.parse().ok()?;
        if value.is_finite() && value >= 0.0 {
            *sum.get_or_insert(0.0) += value;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_summed() {
        let vllm = "# HELP vllm:num_requests_running x\n# TYPE vllm:num_requests_running gauge\n\
            vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\n\
            vllm:num_requests_running{engine=\"1\",model_name=\"m\"} 4.0\n\
            vllm:num_requests_waiting{engine=\"0\"} 2.0\n\
            vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 9.0\n";
        assert_eq!(read(vllm), Some((7.0, 2.0)));
        assert_eq!(read("llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n"), Some((1.0, 0.0)));
        assert_eq!(read("vllm:num_requests_running 1\n"), None);
        assert_eq!(read("<html>"), None);
        let check = |base: &str, url: &str| assert_eq!(address(&Url::parse(base).unwrap()).as_str(), url);
        check("http://h:1/v1/", "http://h:1/metrics");
        check("http://h/a/v1", "http://h/a/metrics");
        check("http://h", "http://h/metrics");
    }
}
