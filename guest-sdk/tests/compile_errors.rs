//! What the compiler says of common mistakes. `TRYBUILD=overwrite cargo test --test compile_errors` writes the goldens.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("../tests/compile-errors/*.rs");
}

/// Some are found only when code is generated, which trybuild does where something is to pass.
#[test]
fn mistakes_in_generated_code_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.pass("../tests/compile-errors/generated/timers_with_on_timer.rs");
    cases.compile_fail("../tests/compile-errors/generated/timers_without_on_timer.rs");
}
