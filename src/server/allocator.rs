//! Run-time control of jemalloc, the global allocator of the program.

#![allow(unsafe_code, reason = "`mallctl` is a C function")]

use std::ptr::null_mut;

/// Control that purges all arenas (`MALLCTL_ARENAS_ALL` is 4096).
const PURGE_ALL: &std::ffi::CStr = c"arena.4096.purge";

/// Returns all freed pages to the system.
pub(super) fn purge() {
    // SAFETY: the name is a C string, and this control neither reads nor writes through the other
    // arguments.
    let failed = unsafe {
        tikv_jemalloc_sys::mallctl(PURGE_ALL.as_ptr(), null_mut(), null_mut(), null_mut(), 0)
    };
    debug_assert_eq!(failed, 0, "the control exists in every build of jemalloc");
}
