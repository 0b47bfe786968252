//! Which process this is, among all that there are and were.

use std::io;

/// Ends this process by SIGKILL, at once: nothing is unwound, flushed or released.
pub fn kill_self() -> ! {
    // No destructor, handler or other thread gets to run in between.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // Not reached, since nothing stops this signal; a process that must end does.
    std::process::abort()
}

/// When a process was started, in ticks since the machine's start (`/proc/PID/stat`, `proc(5)`): with its id, this tells
/// it from all others of this boot. `None` if there is none, or nobody says.
///
/// ```
/// # #[cfg(target_os = "linux")]
/// assert!(folio_sys::process::start_time(std::process::id()).is_some());
/// assert!(folio_sys::process::start_time(u32::MAX).is_none());
/// ```
#[must_use]
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    start_time_in(&stat)
}

/// The 22nd field. The second is a name in parentheses, that may have anything in it, parentheses as well.
fn start_time_in(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Tells the PID namespace of this process from others (`pid_namespaces(7)`): process ids mean nothing in another.
/// 0 if nobody says.
#[must_use]
pub fn pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;

    std::fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino())
}

/// Tells this boot of the machine from others (`/proc/sys/kernel/random/boot_id`).
///
/// # Errors
///
/// The system's, where there is no such file; `InvalidData` when it holds something else.
pub fn boot_id() -> io::Result<u128> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    boot_id_in(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// 32 hexadecimal digits, with hyphens among them.
fn boot_id_in(text: &str) -> Option<u128> {
    let digits = text.trim_end().replace('-', "");
    (digits.len() == 32).then_some(())?;
    u128::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_confuse() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        for name in ["cat", "a) b", ") R 1 2", "((", "x\ny"] {
            let stat = format!("17 ({name}) {rest}\n");
            assert_eq!(start_time_in(stat.as_bytes()), Some(4711), "{name}");
        }
        for damaged in ["", "17", "17 (cat", "17 (cat)", "17 (cat) S 1 2"] {
            assert_eq!(start_time_in(damaged.as_bytes()), None);
        }
        assert_eq!(start_time_in(b"1 (\xff) \xff"), None);
    }

    #[test]
    fn boot_ids_are_of_32_digits() {
        let text = "01234567-89ab-cdef-0123-456789abcdef\n";
        assert_eq!(
            boot_id_in(text),
            Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)
        );
        for damaged in [
            "",
            "\n",
            "1234",
            "g1234567-89ab-cdef-0123-456789abcdef",
            "+1234567-89ab-cdef-0123-456789abcde",
        ] {
            assert_eq!(boot_id_in(damaged), None, "{damaged}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_known() {
        assert_ne!(pid_namespace(), 0);
        assert_ne!(boot_id().unwrap(), 0);
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        let own = start_time(std::process::id()).unwrap();
        assert!(start_time(1).is_none_or(|first| first <= own));
    }
}
