//! Room for a stage's sockets in the process's table of open files.

use std::{fs::File, os::fd::AsFd};

use super::vitals;

/// Room that is made: more connections than one process usually holds, at 8 bytes each.
const ROOM: u64 = 1 << 16;

/// Lets the table of open files grow before the schedule begins, not within it.
///
/// Linux doubles the table when a descriptor does not fit, and where the process has several threads
/// it first waits for all processors to pass a quiescent state (`expand_files` in `fs/file.c`, which
/// calls `synchronize_rcu`): an event loop that opens its 257th or 1,025th connection stands still
/// for 10 ms and more. A table never shrinks, so one high descriptor, held for a moment, is enough.
/// Where it cannot be had nothing is lost but this.
pub(super) fn grow() {
    let highest = ROOM.min(vitals::open_files_limit()).saturating_sub(1);
    if let (Ok(file), Ok(highest)) = (File::open("/dev/null"), i32::try_from(highest)) {
        let _ = rustix::io::fcntl_dupfd_cloexec(file.as_fd(), highest);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_room_before_it_is_needed() {
        grow();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
        let size: u64 = size.unwrap().trim().parse().unwrap();
        let highest = ROOM.min(vitals::open_files_limit());
        assert!(size >= highest, "{size} < {highest}");
    }
}
