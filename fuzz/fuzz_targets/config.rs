#![no_main]

use libfuzzer_sys::fuzz_target;

// A configuration file, then variables, each after a NUL and without their prefix: `version: 0.1\0HTTP_ADDR=:5000`.
fuzz_target!(|bytes: &[u8]| registry_config::fuzz(bytes));
