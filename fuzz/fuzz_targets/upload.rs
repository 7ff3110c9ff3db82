#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_storage::UploadState;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(state) = UploadState::from_bytes(bytes) {
        assert_eq!(state.to_bytes(), bytes);
        state.hasher().expect("a state of the right form can be taken up").finish();
        registry_storage::fuzzing::progress(state.backend());
    }
    registry_storage::fuzzing::progress(bytes);
});
