//! The allocator's memory, back to the system.

/// Gives the system back what the allocator holds and nothing uses. Looks through the whole heap, which takes some
/// milliseconds: not for a thread that others wait for.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn release_memory() {
    // SAFETY: it may be called at any time, from any thread; it changes nothing that is allocated.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators give memory back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn release_memory() {}
