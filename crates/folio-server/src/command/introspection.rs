//! Commands that tell what this server is and can do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use folio::ReadAt;

use super::catalog::{self, COMMANDS, Command, Keys};
use super::pattern;
use super::{Dispatcher, Failure, Next, Outcome, excerpt, ok};
use crate::resp::{Reply, Request};

pub(super) fn command(request: Request<'_>, reply: &mut Reply<'_>) -> Outcome {
    if request.len() == 1 {
        describe_all(reply);
        return Ok(Next::Continue);
    }
    let subcommand = request.argument(1).to_ascii_lowercase();
    let named = request.from(2);
    match subcommand.as_slice() {
        b"count" if named.len() == 0 => reply.integer(COMMANDS.len()),
        b"list" if named.len() == 0 => {
            reply.array(COMMANDS.len());
            for command in COMMANDS {
                reply.bulk(command.name);
            }
        }
        b"info" if named.len() == 0 => describe_all(reply),
        b"info" => {
            reply.array(named.len());
            for name in named {
                match catalog::find(name) {
                    Some(command) => describe(command, reply),
                    None => reply.null_array(),
                }
            }
        }
        b"docs" if named.len() == 0 => {
            reply.map(COMMANDS.len());
            for command in COMMANDS {
                document(command, reply);
            }
        }
        b"docs" => {
            reply.map(named.clone().filter_map(catalog::find).count());
            named
                .filter_map(catalog::find)
                .for_each(|command| document(command, reply));
        }
        b"getkeys" if named.len() > 0 => get_keys(request, reply)?,
        b"count" | b"list" | b"getkeys" => {
            let name = String::from_utf8_lossy(&subcommand);
            return Err(Failure::arguments(&format!("command|{name}")));
        }
        _ => {
            return Err(Failure::new(format!(
                "ERR unknown subcommand '{}'. Try COMMAND HELP.",
                excerpt(request.argument(1))
            )));
        }
    }
    Ok(Next::Continue)
}

fn describe_all(reply: &mut Reply<'_>) {
    reply.array(COMMANDS.len());
    for command in COMMANDS {
        describe(command, reply);
    }
}

fn describe(command: &Command, reply: &mut Reply<'_>) {
    reply.array(10);
    reply.bulk(command.name);
    reply.integer(command.arity);
    reply.set(command.flags().count());
    command.flags().for_each(|flag| reply.simple(flag));
    for position in command.keys.positions() {
        reply.integer(position);
    }
    reply.set(command.categories().count());
    command
        .categories()
        .for_each(|category| reply.simple(category));
    // Tips, key specifications, subcommands.
    for _ in 0..3 {
        reply.array(0);
    }
}

fn document(command: &Command, reply: &mut Reply<'_>) {
    reply.bulk(command.name);
    reply.map(3);
    for (field, value) in [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group.name()),
    ] {
        reply.bulk(field);
        reply.bulk(value);
    }
}

/// Tells which arguments of the command that follows are keys.
fn get_keys(request: Request<'_>, reply: &mut Reply<'_>) -> Outcome<()> {
    let command = catalog::find(request.argument(2))
        .ok_or_else(|| Failure::new("ERR Invalid command specified"))?;
    if !command.takes(request.len() - 2) {
        return Err(Failure::new(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let keys = request.from(3);
    match command.keys {
        Keys::None => return Err(Failure::new("ERR The command has no key arguments")),
        Keys::First => {
            reply.array(1);
            keys.take(1).for_each(|key| reply.bulk(key));
        }
        Keys::All => {
            reply.array(keys.len());
            keys.for_each(|key| reply.bulk(key));
        }
    }
    Ok(())
}

pub(super) fn time(reply: &mut Reply<'_>) -> Next {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    reply.array(2);
    reply.bulk(now.as_secs().to_string());
    reply.bulk(now.subsec_micros().to_string());
    Next::Continue
}

impl<B: ReadAt> Dispatcher<B> {
    pub(super) fn config(&self, request: Request<'_>, reply: &mut Reply<'_>) -> Outcome {
        let subcommand = request.argument(1);
        if subcommand.eq_ignore_ascii_case(b"get") {
            if request.len() < 3 {
                return Err(Failure::arguments("config|get"));
            }
            let asked = |name: &str| {
                request
                    .from(2)
                    .any(|pattern| matches(pattern, name.as_bytes()))
            };
            let settings = self.settings();
            let found: Vec<_> = settings.iter().filter(|(name, _)| asked(name)).collect();
            reply.map(found.len());
            for (name, value) in found {
                reply.bulk(name);
                reply.bulk(value);
            }
            return Ok(Next::Continue);
        }
        if [&b"set"[..], b"rewrite", b"resetstat"]
            .iter()
            .any(|name| subcommand.eq_ignore_ascii_case(name))
        {
            return Err(Failure::new(
                "ERR settings cannot be changed while the server runs",
            ));
        }
        if subcommand.eq_ignore_ascii_case(b"help") {
            return Ok(ok(reply));
        }
        Err(Failure::new(format!(
            "ERR unknown subcommand '{}'. Try CONFIG HELP.",
            excerpt(subcommand)
        )))
    }

    /// What this server has in common with Redis' settings, which tools ask for.
    fn settings(&self) -> [(&'static str, String); 8] {
        [
            ("appendonly", "no".to_owned()),
            ("databases", self.tables.len().to_string()),
            ("maxclients", self.limits.connections.to_string()),
            ("maxmemory", "0".to_owned()),
            (
                "port",
                self.facts.listen.map_or(0, |at| at.port()).to_string(),
            ),
            ("proto-max-bulk-len", self.limits.argument_bytes.to_string()),
            ("save", String::new()),
            ("timeout", self.limits.idle_timeout.as_secs().to_string()),
        ]
    }
}

/// Whether a name is one of those that a pattern stands for, in any case.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    pattern::matches(&pattern.to_ascii_lowercase(), &name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("save", "save", true),
            ("SAVE", "save", true),
            ("sav", "save", false),
            ("savee", "save", false),
            ("*", "", true),
            ("**", "save", true),
            ("s*e", "save", true),
            ("s*a*e", "saaave", true),
            ("s*x", "save", false),
            ("?ave", "save", true),
            ("?", "", false),
            ("", "", true),
            ("*ave", "aveave", true),
        ] {
            let found = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }
}
