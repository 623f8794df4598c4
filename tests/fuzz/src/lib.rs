//! Everything that parses what others wrote, as functions of bytes that must not panic, whatever the bytes are. Each
//! runs in `cargo test` on a bounded number of seeded mutants, and for as long as one likes under `cargo fuzz`.

mod targets;

#[cfg(test)]
mod mutants;

pub use targets::answer::ANSWER;
pub use targets::chunk::CHUNK;
pub use targets::component::COMPONENT;
pub use targets::events::EVENTS;
pub use targets::job_file::JOB_FILE;
pub use targets::key::KEY;
pub use targets::manifest::MANIFEST;
pub use targets::type_name::TYPE_NAME;

/// Something that parses.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As of its program, and of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics if what is parsed is not as it should be, or if parsing does.
    pub run: fn(&[u8]),
    /// Good input, to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What stands in good input, to put into others.
    pub tokens: &'static [&'static str],
    /// Inputs of one `cargo test`.
    pub cases: u32,
}
