//! What the compiler says of common mistakes. `TRYBUILD=overwrite cargo test --test compile_errors` writes the goldens.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("../tests/compile-errors/*.rs");
}
