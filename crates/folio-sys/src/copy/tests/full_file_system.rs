//! Writing into a hole on a file system that has no room for it.

use std::ffi::CString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::*;

const PAGES_OF_ROOM: usize = 16;

#[test]
fn a_hole_without_room_is_a_fault() {
    // A thread can have a mount namespace of its own, which ends with it and its files.
    let outcome = std::thread::spawn(|| {
        let folder = tempfile::tempdir().unwrap();
        mount_privately(folder.path(), PAGES_OF_ROOM * page::size())?;
        for policy in [prepared(0), prepared(1)] {
            fill_up(folder.path(), policy);
        }
        unmount(folder.path());
        io::Result::Ok(())
    });
    if let Err(error) = outcome.join().unwrap() {
        // CI runs as one who may mount.
        assert!(std::env::var_os("CI").is_none(), "mount: {error}");
        println!("skipped: mounting a small file system needs root: {error}");
    }
}

fn fill_up(folder: &Path, policy: FaultPolicy) {
    let page = page::size();
    let taken = folder.join("taken");
    let mut filler = File::create_new(&taken).unwrap();
    filler.write_all(&vec![1; 5 * page]).unwrap();
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(folder.join("holes"))
        .unwrap();
    file.set_len(64 * page as u64).unwrap();
    std::fs::remove_file(folder.join("holes")).unwrap();
    let mapped = Mapped::of(file, 64 * page);

    let room = (PAGES_OF_ROOM - 5) * page;
    let new = pattern(64 * page - 100, 0x33);
    assert_eq!(mapped.write(100, &new, policy), room - 100, "{policy:?}");
    assert_eq!(mapped.read(100, room - 100, policy).1, new[..room - 100]);
    // Small ones, which are inlined, across the border and beyond it.
    for len in [1, 2, 3, 4, 7, 8, 16, 17, 32, 33, 64, 65, 1000] {
        assert_eq!(mapped.write(room, &new[..len], policy), 0, "{len} bytes");
        let border = room - len / 2;
        assert_eq!(mapped.write(border, &new[..len], policy), len / 2);
    }
    // Through a mapping, this file system wants room for what is read, too.
    assert_eq!(mapped.read(room - 7, 30, policy).0, 7);

    filler.set_len(0).unwrap();
    std::fs::remove_file(taken).unwrap();
    let more = &new[room..room + 5 * page];
    assert_eq!(mapped.write(room, more, policy), 5 * page, "room again");
    assert_eq!(mapped.read(room, 5 * page, policy).1, more);
}

fn mount_privately(folder: &Path, size_bytes: usize) -> io::Result<()> {
    // SAFETY: the calling thread alone gets a namespace of its own.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(
        c"none",
        Path::new("/"),
        c"none",
        libc::MS_REC | libc::MS_PRIVATE,
        "",
    )?;
    mount(c"tmpfs", folder, c"tmpfs", 0, &format!("size={size_bytes}"))
}

fn mount(
    source: &std::ffi::CStr,
    target: &Path,
    kind: &std::ffi::CStr,
    flags: libc::c_ulong,
    options: &str,
) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    let options = CString::new(options)?;
    // SAFETY: strings that end, and outlive the call.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    })
}

fn unmount(folder: &Path) {
    let folder = CString::new(folder.as_os_str().as_bytes()).unwrap();
    // SAFETY: a string that ends, and outlives the call.
    check(unsafe { libc::umount(folder.as_ptr()) }).unwrap();
}

fn check(status: libc::c_int) -> io::Result<()> {
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
