#![no_main]

use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;
use registry_api::Route;

const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::PATCH, Method::DELETE];

fuzz_target!(|input: (u8, &str)| {
    let (choice, text) = input;
    let method = &METHODS[usize::from(choice) % METHODS.len()];
    let Ok(uri) = text.parse::<Uri>() else { return };
    if let Ok(route) = Route::parse(method, &uri) {
        // What may be done without any right is only to ask whether the server lives.
        assert!(route.required_access().is_some() || route == Route::Alive);
        assert!(route.is_write() || matches!(*method, Method::GET | Method::HEAD));
    }
});
