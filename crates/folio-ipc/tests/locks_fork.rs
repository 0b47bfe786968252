//! Guards that a forked child finds in its copy of the parent's memory: they are the parent's. The harness
//! has threads, with which a process cannot fork: this program has none.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::time::Duration;

use folio_ipc::{LockError, Mutex, Region, RwLock, Semaphore};
use folio_sys::process::{Fork, fork};

const PATIENCE: Duration = Duration::from_millis(20);

fn main() {
    let region = Region::options().anonymous().unwrap();
    let mutex = region.object_with::<Mutex<u32>>("m", || 5).unwrap();
    let reading = region.object::<RwLock<u32>>("r").unwrap();
    let writing = region.object::<RwLock<u32>>("w").unwrap();
    let semaphore = region.object::<Semaphore>("s").unwrap();
    let guards = (
        mutex.lock().unwrap(),
        reading.read().unwrap(),
        writing.write().unwrap(),
        semaphore.acquire().unwrap(),
    );
    let child = match fork().unwrap() {
        Fork::Child => {
            // A child that hangs ends by itself.
            rustix::process::setrlimit(
                rustix::process::Resource::Cpu,
                rustix::process::Rlimit {
                    current: Some(20),
                    maximum: Some(20),
                },
            )
            .unwrap();
            drop(guards);
            assert!(matches!(
                mutex.lock_timeout(PATIENCE),
                Err(LockError::TimedOut)
            ));
            assert!(reading.try_read().is_ok());
            assert!(matches!(
                reading.write_timeout(PATIENCE),
                Err(LockError::TimedOut)
            ));
            assert!(matches!(writing.try_read(), Err(LockError::WouldBlock)));
            assert!(matches!(
                semaphore.try_acquire(),
                Err(LockError::WouldBlock)
            ));
            std::process::exit(0);
        }
        Fork::Parent(child) => child,
    };
    let (_, status) = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())
        .unwrap()
        .unwrap();
    assert_eq!(status.exit_status(), Some(0), "the child says why");
    assert_eq!(guards.0.get(), 5);
    drop(guards);
    assert!(mutex.try_lock().is_ok());
    assert!(reading.try_write().is_ok());
    assert!(writing.try_write().is_ok());
    assert!(semaphore.try_acquire().is_ok());

    // A child that dies with a lock of its own is a dead owner like any other.
    let child = match fork().unwrap() {
        Fork::Child => {
            std::mem::forget(mutex.lock().unwrap());
            folio_sys::process::kill_self();
        }
        Fork::Parent(child) => child,
    };
    rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()).unwrap();
    assert!(matches!(
        mutex.lock_timeout(Duration::from_secs(30)),
        Err(LockError::OwnerDied(_))
    ));
    println!("guards are not inherited: ok");
}
