#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| registry_journal::fuzzing::journal_entry(bytes));
