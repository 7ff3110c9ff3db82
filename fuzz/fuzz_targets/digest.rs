#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_digest::{Digest, HASHER_STATE_BYTES_MAX, Hasher, HasherState};

fuzz_target!(|bytes: &[u8]| {
    if let Some(digest) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Digest>().ok()) {
        assert_eq!(digest.to_string().as_bytes(), bytes);
        assert_eq!(Digest::from_bytes(digest.algorithm(), digest.as_bytes()), Ok(digest));
    }
    if let Ok(state) = HasherState::from_bytes(bytes) {
        assert!(bytes.len() <= HASHER_STATE_BYTES_MAX);
        let mut hasher = Hasher::restore(&state).expect("a state of the right form can be taken up");
        assert_eq!(hasher.save().to_bytes(), bytes);
        hasher.update(bytes);
        hasher.finish();
    }
});
