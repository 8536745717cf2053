//! What a pipeline reads: documents, rows, text files, the output of another run.

mod another_run;
mod documents;
mod text_files;
