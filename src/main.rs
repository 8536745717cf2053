//! The `synthmill` program: everything is in the library's `cli`.

/// Records are many small allocations, made on one thread and freed on another, which the C library handles slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    synthmill::cli::main()
}
