//! What a pipeline reads: documents, converted files, rows, text files, the output of another run.

mod another_run;
mod converters;
mod documents;
mod text_files;
