//! What wit-bindgen makes of `wit/operator.wit`. The rest of the SDK is written against these types; authors only
//! meet them when they implement the contract by hand.
#![allow(unsafe_code, missing_docs, clippy::all)]

wit_bindgen::generate!({
    path: "../wit",
    world: "operators",
    pub_export_macro: true,
    export_macro_name: "export_operators",
    default_bindings_module: "wasmill_sdk::bindings",
    additional_derives: [PartialEq],
    generate_all,
});
