//! That there is one copy of the data, however many workers serve it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::client::Client;
use crate::program::report;
use crate::sample::sample;
use crate::server::Server;

const RECORDS: u32 = folio_server::sample::COUNT;
const BATCH: u32 = 1000;
/// What a worker may have for itself.
const PRIVATE_BYTES: u64 = 8 << 20;
/// How often the data is touched again when some of it was evicted meanwhile.
const ROUNDS: usize = 10;

#[test]
fn four_workers_share_one_copy() {
    let sample = sample();
    let file = sample.table();
    let len = fs::metadata(&file).unwrap().len();
    let server = Server::start(&sample.folder, &["--workers", "4"]);
    let mut workers = server.connect_each();
    assert_eq!(workers.len(), 4);
    read_every_key(&mut workers);

    let mut memory = BTreeMap::new();
    for _ in 0..ROUNDS {
        memory = workers
            .keys()
            .map(|&pid| (pid, Memory::of(pid, &file)))
            .collect();
        if memory.values().all(|memory| memory.rss >= len / 100 * 99) {
            break;
        }
        // What was read first may be cold by now, and a kernel may evict that.
        touch_every_page(&mut workers);
    }
    let sum: u64 = memory.values().map(|memory| memory.pss).sum();
    let most_private = memory.values().map(|memory| memory.private).max().unwrap();
    report(&format!(
        "sharing: 4 workers, {RECORDS} keys read through each: sum of PSS {:.2} MiB, {:.3} of \
         the file's {:.2} MiB; private at most {:.2} MiB; {memory:?}",
        mib(sum),
        mib(sum) / mib(len),
        mib(len),
        mib(most_private),
    ));
    for memory in memory.values() {
        // Each has all of it at hand, or there would be nothing to share.
        assert!(memory.rss >= len / 100 * 99, "{memory:?} of {len}");
        assert!(memory.private <= PRIVATE_BYTES, "{memory:?}");
    }
    assert!(sum <= len / 100 * 105, "{sum} of {len}");
    // Processes that are no workers take a share as well: this supervisor, and servers of
    // tests that run meanwhile. Far less than that would be no measurement.
    assert!(sum >= len / 100 * 25, "{sum} of {len}");
    server.stop();
}

/// Reads every key through every worker, and compares every value.
fn read_every_key(workers: &mut BTreeMap<u32, Client>) {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let mut compared = 0_u64;
    for start in (0..RECORDS).step_by(BATCH as usize) {
        let mut request = format!("*{}\r\n$4\r\nMGET\r\n", BATCH + 1).into_bytes();
        let mut reply = format!("*{BATCH}\r\n").into_bytes();
        for index in start..start + BATCH {
            folio_server::sample::record(index, &mut key, &mut value);
            append_bulk(&mut request, &key);
            append_bulk(&mut reply, &value);
        }
        for client in workers.values_mut() {
            client.send(&request);
        }
        for client in workers.values_mut() {
            client.expect(&reply);
            compared += u64::from(BATCH);
        }
    }
    assert_eq!(compared, workers.len() as u64 * u64::from(RECORDS));
}

fn append_bulk(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    to.extend_from_slice(bytes);
    to.extend_from_slice(b"\r\n");
}

/// Asks for a few keys of each page of the records; the index, being hashed, is hit
/// all over as well.
fn touch_every_page(workers: &mut BTreeMap<u32, Client>) {
    for start in (0..RECORDS).step_by(10 * BATCH as usize) {
        let keys = (start..start + 10 * BATCH).step_by(10);
        let keys: Vec<_> = keys.map(|index| format!(" user:{index:07}")).collect();
        for client in workers.values_mut() {
            client.send(format!("EXISTS{}\r\n", keys.concat()));
        }
        for client in workers.values_mut() {
            assert_eq!(client.line(), format!(":{BATCH}"));
        }
    }
}

/// What a process has in memory, in bytes.
#[derive(Debug, Default)]
struct Memory {
    /// Of the file.
    rss: u64,
    pss: u64,
    /// Of everything: what no other process has.
    private: u64,
}

impl Memory {
    /// By `/proc/PID/smaps` (`proc_pid_smaps(5)`).
    fn of(pid: u32, file: &Path) -> Self {
        let inode = fs::metadata(file).unwrap().ino().to_string();
        let name = file.file_name().unwrap().to_str().unwrap();
        let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
        let mut memory = Self::default();
        let mut is_file = false;
        for line in smaps.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            // A mapping's first line has its addresses, permissions, offset, device,
            // inode and path; those after it have a name with a colon.
            if !words[0].ends_with(':') {
                is_file = words[4] == inode && line.ends_with(name);
                continue;
            }
            let bytes = || words[1].parse::<u64>().unwrap() << 10;
            match words[0] {
                "Rss:" if is_file => memory.rss += bytes(),
                "Pss:" if is_file => memory.pss += bytes(),
                "Private_Clean:" | "Private_Dirty:" => memory.private += bytes(),
                _ => {}
            }
        }
        memory
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is printed with two digits")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
