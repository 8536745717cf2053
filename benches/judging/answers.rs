//! The answers of the server: random, but the same for the same messages and, if a seed is sent, the same model and seed. It
//! writes sentences, rates texts, and gives the log probabilities of two choices.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use crate::server::handler::{Handler, Question};
use crate::server::listener::ConnectionListener;
use crate::server::log::Log;
use crate::server::reply::Reply;
use crate::server::script::Script;

const WORDS: &[&str] =
    &["dough", "rests", "warm", "water", "for", "an", "hour", "until", "it", "doubles", "in", "size"];

/// Prints the base URL, and serves until the process is killed.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn serve() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    println!("http://{}/v1", listener.local_addr().unwrap());
    let script = Script::default();
    let listener = ConnectionListener::new(listener, None, &script, Arc::new(Log::open(None)));
    let answer = |question: &Question| (Reply { json: Some(body(question)), ..Reply::default() }, None);
    let handler = Handler::new(&script, Box::new(answer), |_, _| {});
    crate::server::serve(listener, handler).await;
}

fn body(question: &Question) -> Value {
    let mut hasher = DefaultHasher::new();
    question.body["messages"].to_string().hash(&mut hasher);
    if question.body["seed"].is_number() {
        question.body["model"].to_string().hash(&mut hasher);
        question.body["seed"].to_string().hash(&mut hasher);
    }
    let mut random = ChaCha8Rng::seed_from_u64(hasher.finish());
    let schema = &question.body["response_format"]["json_schema"]["schema"];
    let mut choice = json!({"index": 0, "finish_reason": "stop"});
    let text = if question.body["logprobs"] == true {
        let likely: f64 = random.random();
        choice["logprobs"] = first_token(likely);
        if likely > 0.5 { "A".to_owned() } else { "B".to_owned() }
    } else if schema.is_object() {
        ratings(&question.prompt, schema, &mut random)
    } else {
        sentence(&mut random)
    };
    choice["message"] = json!({"role": "assistant", "content": text});
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "test",
        "choices": [choice],
        "usage": {"prompt_tokens": 70, "completion_tokens": 20, "total_tokens": 90},
    })
}

fn sentence(random: &mut ChaCha8Rng) -> String {
    let words: Vec<&str> = (0..12).filter_map(|_| WORDS.choose(random).copied()).collect();
    format!("The {}.", words.join(" "))
}

/// A rating of each aspect for each text in the prompt.
fn ratings(prompt: &str, schema: &Value, random: &mut ChaCha8Rng) -> String {
    let count = (1..).take_while(|number| prompt.contains(&format!("<text_{number}>"))).count();
    let properties = schema["properties"]["texts"]["items"]["properties"].as_object().unwrap();
    let mut rate = |text: usize| {
        let mut entry = Map::from_iter([("text".to_owned(), json!(text))]);
        for aspect in properties.keys().filter(|name| *name != "text") {
            let rating = random.random_range(1..=5);
            entry.insert(aspect.clone(), json!({"reason": sentence(random), "rating": rating}));
        }
        Value::Object(entry)
    };
    json!({"texts": (1..=count).map(&mut rate).collect::<Vec<_>>()}).to_string()
}

/// The log probabilities of an answer that is `A` with this probability, in one of ten cases with a space before it,
/// otherwise `B`.
fn first_token(likely: f64) -> Value {
    let tokens = [("A", 0.9 * likely), (" A", 0.1 * likely), ("B", 1.0 - likely)];
    let top = tokens.map(|(token, share)| json!({"token": token, "logprob": share.max(1e-9).ln()}));
    let said = if likely > 0.5 { "A" } else { "B" };
    json!({"content": [{"token": said, "logprob": likely.max(1.0 - likely).ln(), "top_logprobs": top}]})
}
