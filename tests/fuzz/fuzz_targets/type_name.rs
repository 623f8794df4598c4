#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (wasmill_fuzz::TYPE_NAME.run)(bytes));
