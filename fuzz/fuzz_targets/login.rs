#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use registry_auth::{CREDENTIALS_BYTES_MAX, Credentials};

// A file of users; and the same bytes as the value of `Authorization`.
fuzz_target!(|bytes: &[u8]| {
    registry_auth::fuzz_users(bytes);
    let Ok(header) = HeaderValue::from_bytes(bytes) else { return };
    match Credentials::parse(Some(&header)) {
        Ok(_) => assert!(bytes.len() <= CREDENTIALS_BYTES_MAX),
        Err(error) => assert!(error.to_string().len() < 100, "an error repeats nothing of the header"),
    }
});
