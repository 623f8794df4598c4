//! A short run of the chaos test: some of the named places, a host that sleeps, and all that may go wrong around them.

use wasmill_chaos::{Options, Store};

use crate::harness::{repository, wasmill};

#[test]
fn whatever_dies_nothing_is_lost_and_nothing_comes_twice() {
    let options = Options {
        seed: 1,
        kills: 10,
        events: 30_000,
        events_per_second: 6_000,
        store: Store::S3,
        program: wasmill().get_program().into(),
        plugins: repository().join("target/plugins"),
    };
    let folder = tempfile::tempdir().unwrap();
    if let Err(error) = wasmill_chaos::run(&options, folder.path()) {
        panic!("{error:#}\nIt is all in {}; {}", folder.keep().display(), options.command());
    }
}
