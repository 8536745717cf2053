//! `concurrency: 64` or `concurrency: auto`.
//!
//! Deserialized by hand, since an untagged enum would lose the location of an error in the file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The maximum that `concurrency: auto` reaches.
const MOST_PLACES: u32 = 1024;

/// The maximum number of requests in flight at a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// A fixed number.
    Fixed(u32),
    /// As many as its endpoints can handle, measured while the run lasts.
    Auto,
}

impl Concurrency {
    /// The maximum number of concurrent requests.
    #[must_use]
    pub fn most(self) -> u32 {
        match self {
            Self::Fixed(places) => places,
            Self::Auto => MOST_PLACES,
        }
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(places) => write!(f, "{places}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl Serialize for Concurrency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(places) => serializer.serialize_u32(*places),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for Concurrency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConcurrencyVisitor)
    }
}

struct ConcurrencyVisitor;

impl Visitor<'_> for ConcurrencyVisitor {
    type Value = Concurrency;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or `auto`")
    }

    fn visit_u64<E: Error>(self, places: u64) -> Result<Concurrency, E> {
        let places = u32::try_from(places);
        places.map(Concurrency::Fixed).map_err(|_| E::custom("this is more than any server can bear"))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Concurrency, E> {
        match word {
            "auto" => Ok(Concurrency::Auto),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }
}

impl JsonSchema for Concurrency {
    fn schema_name() -> Cow<'static, str> {
        "Concurrency".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": u32::MAX},
                {"const": "auto", "description": "As many as the endpoints turn out to bear."},
            ],
        })
    }
}
