//! The `synthmill` program: everything is in the library's `cli`.

fn main() -> std::process::ExitCode {
    synthmill::cli::main()
}
