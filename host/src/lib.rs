pub mod cli;
pub mod toolchain;
