//! That there is one copy of the data.

use std::fs;

use crate::Test;
use crate::server::Server;

pub(crate) const TESTS: &[Test] = &[("workers_share_one_copy", shares_one_copy)];

const RECORDS: u32 = 100_000;
const WORKERS: usize = 4;
/// What a worker may have for itself.
const PRIVATE_BYTES: u64 = 8 << 20;

fn shares_one_copy() {
    let mut server = Server::start(RECORDS, WORKERS);
    for mut client in server.connect_each() {
        for start in (0..RECORDS).step_by(1000) {
            let keys = (start..start + 1000).map(|index| format!(" user:{index:07}"));
            client.send(format!("EXISTS{}\r\n", keys.clone().collect::<String>()));
            client.expect(":1000\r\n");
            client.send(format!("MGET{}\r\n", keys.collect::<String>()));
            client.expect("*1000\r\n");
            for _ in 0..1000 {
                let len: usize = client.line()[1..].parse().unwrap();
                client.take(len + 2);
            }
        }
    }
    server.lines_so_far();
    let status = server.await_line(|line| line.starts_with("status "));
    let field = |name: &str| {
        let field = status.split(' ').find_map(|field| field.strip_prefix(name));
        field.unwrap().parse::<u64>().unwrap()
    };
    let (data, pss) = (field("data="), field("pss="));
    assert!(pss * 100 <= data * 105, "{pss} of {data}");
    assert!(pss * 100 >= data * 10, "{pss} of {data}");
    for (index, &pid) in &server.workers {
        let private = private_bytes(pid);
        assert!(private <= PRIVATE_BYTES, "worker {index}: {private}");
    }
}

/// What a process has in memory that no other has, by `/proc/PID/smaps_rollup`.
fn private_bytes(pid: u32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .map(|line| {
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
                << 10
        })
        .sum()
}
