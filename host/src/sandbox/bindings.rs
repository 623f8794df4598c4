//! The types and calls of `wit/operator.wit`, generated. Nobody outside this folder sees them.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "operators",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
});
