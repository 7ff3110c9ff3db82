#![no_main]

use libfuzzer_sys::fuzz_target;

// `Content-Range`; and the same text as lines of headers that proxies set.
fuzz_target!(|text: &str| {
    registry_api::fuzzing::content_range(text.as_bytes());
    registry_server::fuzzing::forwarded(text);
});
