//! What the compiler says of common mistakes. `TRYBUILD=overwrite cargo test --test compile_errors` writes the goldens.

#[test]
fn mistakes_are_explained() {
    let mistakes = trybuild::TestCases::new();
    mistakes.compile_fail("../tests/compile-errors/*.rs");
    // Beside a program that compiles all are built and not only checked, as those are that authors make.
    mistakes.pass("../tests/compile-errors/good/*.rs");
}
