//! The program as its users meet it: output, exit codes, status, the terminal, the environment.

mod doctor;
mod environment;
mod exit_codes;
mod output;
mod several_pipelines;
mod status;
mod terminal;
mod tested_pipelines;
