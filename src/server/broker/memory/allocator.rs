//! The allocator's one control that Rust's interface lacks: returning freed pages to the system.
//!
//! The program uses the C library's allocator. Called by the resident bound of the broker only.

#![allow(unsafe_code, reason = "the allocator is controlled by a C function")]

/// Returns the freed pages of all threads to the system. Without effect where the C library is not
/// glibc.
pub(super) fn return_freed_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the function takes a number of bytes to keep, has no other preconditions and may be
    // called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
