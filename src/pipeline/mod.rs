//! What a pipeline file declares: its values, their locations in the text, and the problems found in it.
//!
//! The lowest layer that knows about pipelines. `document` records where each value is written, `schema_check`
//! validates a part against its schema, `declaration` and `model` are the parts as the user writes them, `check`
//! is the context in which stages check themselves, `problem` prints all problems at once. Loading a file and
//! checking it as a whole belong to `config`.

mod batch;
mod byte_size;
mod check;
mod concurrency;
pub(crate) mod declaration;
pub(crate) mod document;
pub(crate) mod environment;
mod field_type;
mod input_file;
mod mock;
pub(crate) mod mock_check;
mod model;
mod number_or_expression;
mod output_path;
pub(crate) mod params;
pub(crate) mod problem;
mod produced_field;
pub(crate) mod schema_check;
mod schema_type;
pub(crate) mod schema_words;
pub(crate) mod secrets;
pub(crate) mod stage_ids;
mod test_case;
pub(crate) mod unused_draws;

pub(crate) use batch::check as check_batch;
pub use batch::{BatchConfig, RequestMode};
pub use byte_size::ByteSize;
pub use check::CheckContext;
pub(crate) use check::CheckFindings;
pub use concurrency::Concurrency;
pub use declaration::{Budget, Durability, ErrorBudget, Pipeline};
pub(crate) use environment::expand_secret;
pub use field_type::{FieldType, ObjectFields};
pub use input_file::InputFile;
pub use mock::{Delay, DrawnDelay, Fault, MockConfig, MockLimit, MockRule, MockUsage};
pub use model::{Api, Limits, ModelConfig, Prices, Provider, StructuredOutput};
pub use number_or_expression::NumberOrExpression;
pub use params::RESERVED_PARAMS;
pub use problem::{Problem, ProblemLocation, Problems};
pub use produced_field::ProducedField;
pub(crate) use schema_type::{is_closed, reference_resolves};
pub(crate) use secrets::{SHORTEST_SECRET, secrets_of_url};
pub(crate) use test_case::check_tests;
pub use test_case::{PipelineTest, TestFile};
