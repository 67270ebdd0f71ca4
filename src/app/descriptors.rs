//! File descriptors: as many as the system grants, and no more connections than they carry.

/// Descriptors for everything but connections: files of the store, ports, the admin port, the runtime's own.
const RESERVED: u64 = 700;

/// How many connections fit, whatever the settings come to say while the broker runs; tells if those of the start ask for more.
pub(super) fn connections_fitting(wanted: usize) -> usize {
    let Some(limit) = raise() else { return usize::MAX };
    let fitting = usize::try_from(limit.saturating_sub(RESERVED)).unwrap_or(usize::MAX);
    if fitting < wanted {
        tracing::info!(
            open_files_max = limit,
            connections_max = fitting,
            "open files limit connections further than max.connections"
        );
    }
    fitting
}

/// Raises the soft limit of open files to the hard one; answers the limit now in force, or none if the system does not tell.
pub(super) fn raise() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole rlimit of this stack frame.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return None;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: as above; the call only reads.
    let is_raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0;
    Some(if is_raised { raised.rlim_cur } else { limit.rlim_cur })
}
