//! What survives a kill, a failing disk, and files that were lost or edited.

mod answer_reuse;
mod damaged_files;
mod killed;
mod stopped;
mod storage_faults;
mod tampered;
