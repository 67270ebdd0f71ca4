//! Huge pages, which the allocator asks the kernel for.

/// Has the kernel give this process no huge pages. With them the first byte of each 2 MiB is paid with all of them: an idle broker
/// holds 14 MB for 2 MB of objects, and neither produce nor fetch needs measurably less CPU for it.
pub(super) fn refuse() {
    #[cfg(target_os = "linux")]
    {
        let unused: libc::c_ulong = 0;
        let wanted: libc::c_ulong = 1;
        // SAFETY: the call takes numbers and changes how memory is mapped, not what it holds.
        if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, wanted, unused, unused, unused) } != 0 {
            tracing::debug!("the kernel does not turn huge pages off for a process");
        }
    }
}
