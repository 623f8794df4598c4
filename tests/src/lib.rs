//! Wasmill's integration tests.

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod keyed_job;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod processing_time;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod scaffold;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod worlds;
