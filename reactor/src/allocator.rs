//! Large buffers go back to the system when they are freed.
#![expect(unsafe_code, reason = "mallopt(3) has no safe wrapper")]

/// Above this size glibc maps memory for each buffer apart, and unmaps it when it is freed.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: libc::c_int = 128 * 1024;

/// Fixes that size. By default glibc raises it whenever a large buffer is freed, up to 32 MiB, and
/// then keeps what later ones leave behind: after one burst of large requests a server would stay
/// large for ever (mallopt(3), `M_MMAP_THRESHOLD`).
pub fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt may be called at any time; it is called once, by the only thread there is.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
    }
}
