//! Wasmill's integration tests.

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod scaffold;
