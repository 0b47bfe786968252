//! Words in the libc's own robust list, between its mutexes: what the kernel makes of them when
//! their owner dies.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(unsafe_code, reason = "mutexes of the libc's, and looking at its list")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod robust_list;

use std::ffi::c_void;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use folio_sys::futex::{self, Deadline, OWNER_DIED, TID_MASK, WAITERS, Waited};
use folio_sys::process::kill_self;
use folio_sys::robust::{self, RobustWord};
use folio_sys::shared_memory::{Access, Pinned, SharedMemory};

use robust_list::{announced_and_linked, entry_of, give_up, take};

/// How long anything may take, on the slowest machine there is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Room for words at multiples of 64 bytes, and for mutexes behind them.
const SIZE_BYTES: usize = 1 << 18;
const MUTEXES_AT: usize = 1 << 17;
/// A word by which a child says how far it is.
const PROGRESS_AT: usize = SIZE_BYTES - 64;

fn map(path: &Path) -> Arc<SharedMemory> {
    let file = File::options().read(true).write(true).open(path).unwrap();
    Arc::new(SharedMemory::map(file.into(), SIZE_BYTES, 0, Access::ReadWrite).unwrap())
}

fn new_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(SIZE_BYTES as u64).unwrap();
    file
}

fn word(memory: &Arc<SharedMemory>, index: usize) -> Pinned<RobustWord> {
    memory.pin(index * 64).unwrap()
}

/// A robust mutex of the libc's, in shared memory.
struct Mutex(NonNull<libc::pthread_mutex_t>);

impl Mutex {
    /// The one at this index of the file, by a mapping that is never undone.
    fn all_of(path: &Path) -> impl Fn(usize) -> Self {
        use std::os::fd::AsRawFd;

        let file = File::options().read(true).write(true).open(path).unwrap();
        // SAFETY: the kernel chooses a free address.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIZE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        move |index| {
            let place = base.cast::<u8>().wrapping_add(MUTEXES_AT + index * 64);
            Self(NonNull::new(place.cast::<c_void>().cast()).unwrap())
        }
    }

    fn init(self, protocol: i32) -> Self {
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: fills the attributes.
        assert_eq!(unsafe { libc::pthread_mutexattr_init(attributes) }, 0);
        // SAFETY: initialised above.
        let status =
            unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) };
        assert_eq!(status, 0);
        // SAFETY: as above.
        let status =
            unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) };
        assert_eq!(status, 0);
        // SAFETY: as above.
        let status = unsafe { libc::pthread_mutexattr_setprotocol(attributes, protocol) };
        assert_eq!(status, 0);
        // SAFETY: room for a mutex, in mapped memory, that nobody uses yet.
        let status = unsafe { libc::pthread_mutex_init(self.0.as_ptr(), attributes) };
        assert_eq!(status, 0);
        self
    }

    fn lock(&self) -> i32 {
        // SAFETY: initialised, by this process or another.
        unsafe { libc::pthread_mutex_lock(self.0.as_ptr()) }
    }

    fn unlock(&self) {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0.as_ptr()) }, 0);
    }
}

/// All orders of four things.
fn orders() -> Vec<[usize; 4]> {
    let mut orders = vec![];
    for code in 0..256_usize {
        let order = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
        if (0..4).all(|thing| order.contains(&thing)) {
            orders.push(order);
        }
    }
    assert_eq!(orders.len(), 24);
    orders
}

/// What a thread's list is to be like.
#[derive(Default, Debug, PartialEq)]
struct Expected {
    announced: Option<usize>,
    linked: Vec<usize>,
}

impl Expected {
    fn take_word(&mut self, entry: usize) {
        if let Some(before) = self.announced.replace(entry) {
            self.linked.insert(0, before);
        }
    }

    /// The libc leaves nothing announced.
    fn lock_mutex(&mut self, entry: usize) {
        self.announced = None;
        self.linked.insert(0, entry);
    }

    fn give_up_word(&mut self, entry: usize) {
        if let Some(other) = self.announced.take().filter(|&other| other != entry) {
            self.linked.insert(0, other);
        }
        self.linked.retain(|&other| other != entry);
    }

    fn unlock_mutex(&mut self, entry: usize) {
        self.announced = None;
        self.linked.retain(|&other| other != entry);
    }

    #[track_caller]
    fn check(&self) {
        let (announced, linked) = announced_and_linked();
        assert_eq!(*self, Self { announced, linked });
    }
}

#[test]
fn words_and_mutexes_come_and_go_in_every_order() {
    let file = new_file();
    let memory = map(file.path());
    let words = [word(&memory, 0), word(&memory, 1)];
    let mutex = Mutex::all_of(file.path());
    // One of them has a mark in the pointers to it.
    let protocols = [libc::PTHREAD_PRIO_NONE, libc::PTHREAD_PRIO_INHERIT];
    let mutexes = [0, 1].map(|index| mutex(index).init(protocols[index]));
    let thread = robust::current();
    assert!(thread.kernel_recovers());
    let entry = |thing: usize| match thing {
        0 | 2 => entry_of(&raw const *words[thing / 2]),
        _ => entry_of(mutexes[thing / 2].0.as_ptr()),
    };
    for locking in orders() {
        for unlocking in orders() {
            let mut expected = Expected::default();
            for thing in locking {
                if thing % 2 == 0 {
                    take(thread, &words[thing / 2]);
                    expected.take_word(entry(thing));
                } else {
                    assert_eq!(mutexes[thing / 2].lock(), 0);
                    expected.lock_mutex(entry(thing));
                }
                expected.check();
            }
            for thing in unlocking {
                if thing % 2 == 0 {
                    give_up(thread, &words[thing / 2]);
                    expected.give_up_word(entry(thing));
                } else {
                    mutexes[thing / 2].unlock();
                    expected.unlock_mutex(entry(thing));
                }
                expected.check();
            }
            assert_eq!(expected, Expected::default());
        }
    }
}

#[test]
fn words_of_others_are_left_alone() {
    let file = new_file();
    let memory = map(file.path());
    let (mine, other) = (word(&memory, 0), word(&memory, 1));
    let thread = robust::current();
    let of_mine = entry_of(&raw const *mine);
    take(thread, &mine);
    other.word().store(thread.tid() + 1, Ordering::Relaxed);
    thread.announce_release(&other);
    assert_eq!(announced_and_linked(), (Some(of_mine), vec![]));
    // Announced, and taken by somebody else.
    thread.announce(&other, true);
    let of_other = entry_of(&raw const *other);
    assert_eq!(announced_and_linked(), (Some(of_other), vec![of_mine]));
    thread.withdraw(&other);
    assert_eq!(announced_and_linked(), (None, vec![of_mine]));
    give_up(thread, &mine);
    assert_eq!(announced_and_linked(), (None, vec![]));
    for part in mine.user() {
        assert_eq!(
            part.load(Ordering::Relaxed),
            0,
            "the user's words are the user's"
        );
    }
}

#[test]
fn a_word_that_is_announced_by_its_owner_stays_recoverable() {
    let file = new_file();
    let memory = map(file.path());
    let (first, second) = (word(&memory, 0), word(&memory, 1));
    let of_first = entry_of(&raw const *first);
    let of_second = entry_of(&raw const *second);
    let thread = robust::current();
    take(thread, &first);
    thread.announce(&first, true);
    thread.withdraw(&first);
    assert_kept(&[of_first]);
    take(thread, &second);
    thread.announce(&first, true);
    thread.withdraw(&first);
    assert_kept(&[of_first, of_second]);
    thread.announce(&second, true);
    thread.withdraw(&second);
    assert_kept(&[of_first, of_second]);
    give_up(thread, &first);
    give_up(thread, &second);
    assert_eq!(announced_and_linked(), (None, vec![]));
}

/// That the kernel would come to these, in whatever order, and to nothing else.
#[track_caller]
fn assert_kept(entries: &[usize]) {
    let (announced, mut found) = announced_and_linked();
    found.extend(announced);
    found.sort_unstable();
    // The kernel goes by what is announced but once.
    found.dedup();
    let mut entries = entries.to_vec();
    entries.sort_unstable();
    assert_eq!(found, entries);
}

#[test]
fn words_in_memory_of_strangers_are_never_linked() {
    let file = new_file();
    let memory = map(file.path());
    let (strange, trusted) = (word(&memory, 0), word(&memory, 1));
    let of_trusted = entry_of(&raw const *trusted);
    let thread = robust::current();
    thread.announce(&strange, false);
    strange.word().store(thread.tid(), Ordering::Relaxed);
    take(thread, &trusted);
    assert_eq!(announced_and_linked(), (Some(of_trusted), vec![]));
    give_up(thread, &strange);
    assert_eq!(announced_and_linked(), (None, vec![of_trusted]));
    give_up(thread, &trusted);
    assert_eq!(announced_and_linked(), (None, vec![]));
}

#[test]
fn a_thread_that_returns_is_dead_to_its_words() {
    let file = new_file();
    let memory = map(file.path());
    let taken = word(&memory, 0);
    std::thread::spawn({
        let taken = taken.clone();
        move || take(robust::current(), &taken)
    })
    .join()
    .unwrap();
    // The thread is joined before the kernel is done with it.
    let deadline = Deadline::after(PATIENCE);
    while taken.word().load(Ordering::Acquire) & TID_MASK != 0 {
        assert!(!deadline.has_passed());
        std::thread::yield_now();
    }
    assert_eq!(taken.word().load(Ordering::Acquire), OWNER_DIED);
}

#[test]
fn memory_stays_mapped_as_long_as_a_word_is_owned() {
    let file = new_file();
    // The list of a thread of its own, which this leaves as no thread should.
    std::thread::spawn(move || {
        let thread = robust::current();
        let memory = map(file.path());
        let (linked, announced, other) = (word(&memory, 0), word(&memory, 1), word(&memory, 2));
        take(thread, &linked);
        take(thread, &other);
        give_up(thread, &other);
        take(thread, &announced);
        let entries = (
            Some(entry_of(&raw const *announced)),
            vec![entry_of(&raw const *linked)],
        );
        assert_eq!(announced_and_linked().0, entries.0);
        drop((linked, announced, other, memory));
        assert_kept(&[entries.0.unwrap(), entries.1[0]]);
        let mutex = Mutex::all_of(file.path())(0).init(libc::PTHREAD_PRIO_NONE);
        assert_eq!(mutex.lock(), 0);
        mutex.unlock();
        assert_eq!(announced_and_linked(), (None, entries.1));
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert_eq!(maps.matches(file.path().to_str().unwrap()).count(), 2);
    })
    .join()
    .unwrap();
}

#[test]
fn memory_is_unmapped_when_no_word_is_owned_any_more() {
    let file = new_file();
    let thread = robust::current();
    let memory = map(file.path());
    let linked = word(&memory, 0);
    take(thread, &linked);
    // Held by somebody else's handle when this one goes.
    drop(word(&memory, 0));
    give_up(thread, &linked);
    drop((linked, memory));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains(file.path().to_str().unwrap()));
}

const CHILD: &str = "FOLIO_ROBUST_CHILD";

/// A child that does what the test of that name does where it is one.
fn spawn(name: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// In a child, the memory that its parent named.
fn in_child(work: impl FnOnce(&Path, Arc<SharedMemory>)) {
    if let Some(path) = std::env::var_os(CHILD) {
        work(Path::new(&path), map(Path::new(&path)));
        panic!("a child shall be dead by now");
    }
}

/// Tells the parent, and waits to be killed.
fn ready(memory: &SharedMemory) -> ! {
    let progress = memory.u32_at(PROGRESS_AT).unwrap();
    progress.store(1, Ordering::Release);
    futex::wake(progress, 1);
    std::thread::sleep(PATIENCE);
    panic!("nobody killed this child");
}

fn wait_until_ready(memory: &SharedMemory, child: &mut Child) {
    let progress = memory.u32_at(PROGRESS_AT).unwrap();
    let deadline = Deadline::after(PATIENCE);
    while progress.load(Ordering::Acquire) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "the child is dead");
        assert!(!deadline.has_passed());
        let soon = Deadline::after(Duration::from_millis(50));
        futex::wait(progress, 0, Some(soon.min(deadline)));
    }
}

fn assert_killed(mut child: Child) {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the child is still running");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
}

/// Waits until the word is another than `seen`, and says how that ended.
fn sleep_on(word: &AtomicU32, seen: u32, sleeper: &AtomicU32) -> Waited {
    let deadline = Deadline::after(PATIENCE);
    sleeper.store(robust::current().tid(), Ordering::Release);
    loop {
        match futex::wait(word, seen, Some(deadline)) {
            Waited::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Waits until the thread that tells its id sleeps.
fn until_asleep(sleeper: &AtomicU32) {
    let deadline = Deadline::after(PATIENCE);
    loop {
        let tid = sleeper.load(Ordering::Acquire);
        let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat"));
        // The state stands behind the name.
        if stat.is_ok_and(|stat| stat.rsplit(')').next().unwrap().starts_with(" S")) {
            return;
        }
        assert!(!deadline.has_passed());
        std::thread::sleep(Duration::from_millis(1));
    }
}

const WORDS: usize = 5;

#[test]
fn all_that_the_dead_held_is_marked_and_who_waits_is_woken() {
    let file = new_file();
    let memory = map(file.path());
    let words: Vec<_> = (0..WORDS).map(|index| word(&memory, index)).collect();
    let mutex = Mutex::all_of(file.path());
    for index in 0..WORDS {
        mutex(index).init(libc::PTHREAD_PRIO_NONE);
    }
    let mut child = spawn("child_holds_words_and_mutexes", file.path());
    wait_until_ready(&memory, &mut child);
    let sleepers: [AtomicU32; WORDS] = Default::default();
    std::thread::scope(|scope| {
        let waiters = words.iter().zip(&sleepers).map(|(word, sleeper)| {
            let seen = word.word().fetch_or(WAITERS, Ordering::Relaxed) | WAITERS;
            scope.spawn(move || sleep_on(word.word(), seen, sleeper))
        });
        let waiters: Vec<_> = waiters.collect();
        sleepers.iter().for_each(until_asleep);
        child.kill().unwrap();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Waited::Woken);
        }
    });
    assert_killed(child);
    for word in &words {
        assert_eq!(word.word().load(Ordering::Acquire), OWNER_DIED | WAITERS);
    }
    for index in 0..WORDS {
        assert_eq!(mutex(index).lock(), libc::EOWNERDEAD);
        mutex(index).unlock();
    }
    // What the dead left in a word is no hindrance to the next owner.
    let thread = robust::current();
    for word in &words {
        word.word().store(0, Ordering::Relaxed);
        take(thread, word);
        assert_kept(&[entry_of(&raw const **word)]);
        give_up(thread, word);
        assert_kept(&[]);
    }
}

#[test]
fn child_holds_words_and_mutexes() {
    in_child(|path, memory| {
        let mutex = Mutex::all_of(path);
        let thread = robust::current();
        // What has gone from between others has left them together.
        let gone = word(&memory, WORDS);
        for index in 0..WORDS {
            take(thread, &gone);
            assert_eq!(mutex(index).lock(), 0);
            take(thread, &word(&memory, index));
            give_up(thread, &gone);
        }
        ready(&memory);
    });
}

#[test]
fn a_mutex_of_the_libc_s_hides_the_word_that_was_taken_last() {
    let file = new_file();
    let memory = map(file.path());
    Mutex::all_of(file.path())(0).init(libc::PTHREAD_PRIO_NONE);
    let tid = memory.u32_at(PROGRESS_AT).unwrap();
    assert_killed(spawn("child_locks_a_mutex_in_between", file.path()));
    let tid = tid.load(Ordering::Acquire);
    let found = [0, 1, 2].map(|index| word(&memory, index).word().load(Ordering::Acquire));
    assert_eq!(found, [OWNER_DIED, tid, OWNER_DIED]);
}

#[test]
fn child_locks_a_mutex_in_between() {
    in_child(|path, memory| {
        let thread = robust::current();
        let tid = memory.u32_at(PROGRESS_AT).unwrap();
        tid.store(thread.tid(), Ordering::Release);
        take(thread, &word(&memory, 0));
        take(thread, &word(&memory, 1));
        let mutex = Mutex::all_of(path)(0);
        assert_eq!(mutex.lock(), 0);
        mutex.unlock();
        take(thread, &word(&memory, 2));
        kill_self();
    });
}

#[test]
fn what_was_announced_and_taken_is_marked() {
    let file = new_file();
    let memory = map(file.path());
    let taken = word(&memory, 0);
    assert_killed(spawn("child_dies_after_taking", file.path()));
    assert_eq!(taken.word().load(Ordering::Acquire), OWNER_DIED);
}

#[test]
fn child_dies_after_taking() {
    in_child(|_, memory| {
        let thread = robust::current();
        let taken = word(&memory, 0);
        thread.announce(&taken, false);
        taken.word().store(thread.tid(), Ordering::Relaxed);
        kill_self();
    });
}

#[test]
fn who_waits_is_woken_between_giving_up_and_waking() {
    let file = new_file();
    let memory = map(file.path());
    let given_up = word(&memory, 0);
    let mut child = spawn("child_dies_before_waking", file.path());
    wait_until_ready(&memory, &mut child);
    let sleeper = AtomicU32::new(0);
    // The word is 0, and who waits for it to change is the one whom nobody has woken.
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| sleep_on(given_up.word(), 0, &sleeper));
        until_asleep(&sleeper);
        child.kill().unwrap();
        assert_eq!(waiter.join().unwrap(), Waited::Woken);
    });
    assert_killed(child);
    assert_eq!(given_up.word().load(Ordering::Acquire), 0);
}

#[test]
fn child_dies_before_waking() {
    in_child(|_, memory| {
        let thread = robust::current();
        let given_up = word(&memory, 0);
        take(thread, &given_up);
        thread.announce_release(&given_up);
        given_up.word().store(0, Ordering::Release);
        ready(&memory);
    });
}

/// How many words the kernel looks at (`ROBUST_LIST_LIMIT`).
const LIMIT: usize = 2048;

#[test]
fn the_kernel_goes_through_2048_words() {
    // A word in each 64 bytes, and all of them before the mutexes.
    const { assert!((LIMIT - 1) * 64 < MUTEXES_AT) };
    let file = new_file();
    let memory = map(file.path());
    assert_killed(spawn("child_holds_2048_words", file.path()));
    for index in 0..LIMIT {
        let word = word(&memory, index).word().load(Ordering::Acquire);
        assert_eq!(word, OWNER_DIED, "word {index}");
    }
}

#[test]
fn child_holds_2048_words() {
    in_child(|_, memory| {
        let thread = robust::current();
        for index in 0..LIMIT {
            take(thread, &word(&memory, index));
        }
        let (announced, linked) = announced_and_linked();
        assert!(announced.is_some());
        assert_eq!(linked.len(), LIMIT - 1);
        kill_self();
    });
}
