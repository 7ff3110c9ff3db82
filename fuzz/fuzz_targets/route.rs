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
        // Whether the server lives may be asked by anybody and in any way, and nothing else.
        if route != Route::Alive {
            assert!(route.required_access().is_some());
            assert_eq!(route.is_write(), !matches!(*method, Method::GET | Method::HEAD));
        }
    }
});
