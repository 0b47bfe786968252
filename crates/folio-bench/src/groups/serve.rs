//! `folio serve` beside `redis-server`, as their clients see them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use folio_table::Builder;

use super::process::Server;
use super::sample;
use crate::args::Settings;
use crate::measure::order;
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

pub(super) fn get_hit() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    name: "serve.get_hit_vs_redis",
                    unit: "ns",
                    peer_name: "redis-server",
                    limit_name: None,
                    goal: None,
                    about: "a GET that finds one of 1,000,000 keys (quick: 100,000), on loopback, by \
                            `redis-benchmark -t get -P 16 -c 50`: wall time a request",
                },
                Spec {
                    name: "serve.get_cpu_vs_redis",
                    unit: "ns CPU",
                    peer_name: "redis-server",
                    limit_name: None,
                    goal: None,
                    about: "the same requests: CPU time of all the server's processes a request",
                },
            ]
        },
        measure: measure_get_hit,
    }
}

/// How much is asked, of how much, how often.
struct Load {
    keys: u32,
    requests: u32,
    rounds: usize,
}

fn measure_get_hit(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    for tool in ["redis-server", "redis-cli", "redis-benchmark"] {
        let found = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        found.map_err(|error| Skipped(format!("{tool} cannot be started: {error}")))?;
    }
    let load = if settings.quick {
        Load {
            keys: 100_000,
            requests: 300_000,
            rounds: 7,
        }
    } else {
        Load {
            keys: 1_000_000,
            requests: 1_000_000,
            rounds: 9,
        }
    };
    let folder = tempfile::tempdir()?;
    let folio = start_folio(settings.folio()?, folder.path(), load.keys)?;
    let redis = start_redis(folder.path(), load.keys)?;
    for server in [&folio, &redis] {
        answers_with_our_data(server, load.keys)?;
        // Once round untimed: connections, caches and page tables are warm then.
        server.get_random(&load)?;
    }

    let mut wall = [Vec::new(), Vec::new()];
    let mut cpu = [Vec::new(), Vec::new()];
    for round in 0..load.rounds {
        for turn in order(round, 2) {
            let server = if turn == 0 { &folio } else { &redis };
            let cost = server.get_random(&load)?;
            wall.iter_mut()
                .skip(turn)
                .take(1)
                .for_each(|costs| costs.push(cost.wall_ns));
            cpu.iter_mut()
                .skip(turn)
                .take(1)
                .for_each(|costs| costs.push(cost.cpu_ns));
        }
    }
    let row = |[folio, peer]: [Vec<f64>; 2]| Costs {
        folio,
        peer,
        limit: None,
    };
    Ok(vec![Ok(row(wall)), Ok(row(cpu))])
}

fn start_folio(command: &Path, folder: &Path, keys: u32) -> Result<Server, Skipped> {
    let table = folder.join("sample.folio");
    let mut builder = Builder::new();
    for number in (0..keys).map(u64::from) {
        builder.add(number + 1, &sample::key(number), &sample::value(number))?;
    }
    builder.write_to(&table)?;
    Server::start("folio serve", folder, |port| {
        let mut serve = Command::new(command);
        serve
            .arg("serve")
            .arg(&table)
            .arg("--listen")
            .arg(format!("127.0.0.1:{port}"));
        serve
    })
}

fn start_redis(folder: &Path, keys: u32) -> Result<Server, Skipped> {
    let server = Server::start("redis-server", folder, |port| {
        let mut redis = Command::new("redis-server");
        redis
            .current_dir(folder)
            .arg("--port")
            .arg(port.to_string());
        // Nothing but answering: no snapshots, no journal.
        redis.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        redis
    })?;
    let commands = folder.join("sample.resp");
    let mut out = std::io::BufWriter::new(fs::File::create(&commands)?);
    for number in (0..keys).map(u64::from) {
        let value = sample::value(number);
        write!(out, "*3\r\n$3\r\nSET\r\n${}\r\n", sample::KEY_LEN)?;
        out.write_all(&sample::key(number))?;
        write!(out, "\r\n${}\r\n", value.len())?;
        out.write_all(&value)?;
        out.write_all(b"\r\n")?;
    }
    out.into_inner()?;
    let loaded = Command::new("redis-cli")
        .args(["-p", &server.port().to_string(), "--pipe"])
        .stdin(fs::File::open(&commands)?)
        .output()?;
    if !loaded.status.success() {
        return Err(Skipped(format!("redis-cli --pipe: {}", loaded.status)));
    }
    Ok(server)
}

/// The first key, the last one, and how many: what is measured is the finding of values, not the
/// missing of them.
fn answers_with_our_data(server: &Server, keys: u32) -> Result<(), Skipped> {
    server.expect(b"DBSIZE\r\n", format!(":{keys}\r\n").as_bytes())?;
    for number in [0, u64::from(keys) - 1] {
        let value = sample::value(number);
        let expected = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
        server.expect(
            &[b"GET ", &sample::key(number)[..], b"\r\n"].concat(),
            &expected,
        )?;
    }
    Ok(())
}

/// What one request cost.
struct Cost {
    wall_ns: f64,
    cpu_ns: f64,
}

impl Server {
    /// Has `redis-benchmark` ask for keys at random.
    fn get_random(&self, load: &Load) -> Result<Cost, Skipped> {
        let before = self.cpu_time()?;
        let output = Command::new("redis-benchmark")
            .args(["-h", "127.0.0.1", "-p", &self.port().to_string()])
            .args([
                "-n",
                &load.requests.to_string(),
                "-r",
                &load.keys.to_string(),
            ])
            .args(["-t", "get", "-P", "16", "-c", "50", "--csv"])
            .stdin(Stdio::null())
            .output()?;
        let used = self.cpu_time()?.saturating_sub(before);
        let said = String::from_utf8_lossy(&output.stdout);
        let a_second = requests_a_second(&said).filter(|_| output.status.success());
        let a_second = a_second.ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            let last = errors
                .lines()
                .last()
                .or(said.lines().last())
                .unwrap_or_default();
            Skipped(format!("redis-benchmark: {}: {last}", output.status))
        })?;
        Ok(Cost {
            wall_ns: 1e9 / a_second,
            cpu_ns: used.as_secs_f64() * 1e9 / f64::from(load.requests),
        })
    }
}

/// From `"GET","123456.78",…`, below a line that names the columns.
fn requests_a_second(csv: &str) -> Option<f64> {
    let line = csv
        .lines()
        .find_map(|line| line.strip_prefix("\"GET\",\""))?;
    line.split_once('"')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found_in_the_table() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"GET\",\"1234567.88\",\"0.5\"\n";
        assert_eq!(requests_a_second(csv), Some(1_234_567.88));
        assert_eq!(requests_a_second("WARNING: no\n"), None);
    }
}
