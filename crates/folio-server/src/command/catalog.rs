//! Which commands there are, and what may be known of them before they run.

use Id as I;

/// A command that this server answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Command {
    /// In lower case.
    pub(crate) name: &'static str,
    pub(crate) id: Id,
    /// How many arguments it takes, its name included; negative: at least so many.
    pub(crate) arity: i32,
    pub(crate) keys: Keys,
    pub(crate) group: Group,
    /// Whether it takes the same time whatever its arguments and the tables hold.
    pub(crate) fast: bool,
    /// The version of Redis that brought it.
    pub(crate) since: &'static str,
    pub(crate) summary: &'static str,
}

impl Command {
    /// Whether a request of so many arguments, the name included, is one of this.
    pub(crate) fn takes(&self, arguments: usize) -> bool {
        let bound = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity < 0 {
            arguments >= bound
        } else {
            arguments == bound
        }
    }

    /// Its flags, in Redis' words.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static str> {
        let own = match self.group {
            Group::Strings | Group::Keyspace => "readonly",
            Group::Connection | Group::Transactions | Group::Server => "loading",
        };
        [own].into_iter().chain(self.fast.then_some("fast"))
    }

    /// Its categories of access, in Redis' words.
    pub(crate) fn categories(&self) -> impl Iterator<Item = &'static str> {
        let (own, read) = match self.group {
            Group::Strings => ("@string", true),
            Group::Keyspace => ("@keyspace", true),
            Group::Connection => ("@connection", false),
            Group::Transactions => ("@transaction", false),
            Group::Server => ("@dangerous", false),
        };
        let speed = if self.fast { "@fast" } else { "@slow" };
        read.then_some("@read").into_iter().chain([own, speed])
    }
}

/// Which arguments of a command are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// None.
    None,
    /// The first after the name.
    First,
    /// All after the name.
    All,
}

impl Keys {
    /// The first, the last (-1: the end), and the step, as `COMMAND` tells them.
    pub(crate) fn positions(self) -> [i32; 3] {
        match self {
            Self::None => [0, 0, 0],
            Self::First => [1, 1, 1],
            Self::All => [1, -1, 1],
        }
    }
}

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Strings,
    Keyspace,
    Connection,
    Transactions,
    Server,
}

impl Group {
    /// Its name in `COMMAND DOCS`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Strings => "string",
            Self::Keyspace => "generic",
            Self::Connection => "connection",
            Self::Transactions => "transactions",
            Self::Server => "server",
        }
    }
}

/// What runs a command. Commands that answer alike share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id {
    Auth,
    Client,
    Command,
    Config,
    DbSize,
    Discard,
    Echo,
    Exec,
    Exists,
    Get,
    GetRange,
    Hello,
    Info,
    Mget,
    Multi,
    Ok,
    Ping,
    Quit,
    Reset,
    Scan,
    Select,
    StrLen,
    Time,
    TimeToLive,
    Type,
    Watch,
}

/// The command of that name, in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0; LONGEST_NAME];
    let lower = lowercase(name, &mut lower)?;
    let index = COMMANDS
        .binary_search_by(|command| command.name.as_bytes().cmp(lower))
        .ok()?;
    COMMANDS.get(index)
}

/// Whether that is a command that changes data in Redis, in any case.
pub(crate) fn writes(name: &[u8]) -> bool {
    let mut lower = [0; LONGEST_NAME];
    lowercase(name, &mut lower).is_some_and(|lower| {
        WRITES
            .binary_search_by(|write| write.as_bytes().cmp(lower))
            .is_ok()
    })
}

const LONGEST_NAME: usize = 32;

fn lowercase<'a>(name: &[u8], lower: &'a mut [u8; LONGEST_NAME]) -> Option<&'a [u8]> {
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(lower)
}

const fn command(
    name: &'static str,
    id: Id,
    arity: i32,
    keys: Keys,
    group: Group,
    since: &'static str,
    summary: &'static str,
) -> Command {
    Command {
        name,
        id,
        arity,
        keys,
        group,
        fast: !matches!(
            id,
            Id::Info | Id::Command | Id::Client | Id::Config | Id::GetRange | Id::Scan
        ),
        since,
        summary,
    }
}

use Group::{Connection, Keyspace, Server, Strings, Transactions};
use Keys::{All, First};

/// Every command, by name.
#[rustfmt::skip]
pub(crate) static COMMANDS: &[Command] = &[
    command("auth", I::Auth, -2, Keys::None, Connection, "1.0.0", "Authenticates the connection; there is no password."),
    command("client", I::Client, -2, Keys::None, Connection, "2.4.0", "Names this connection and describes it."),
    command("command", I::Command, -1, Keys::None, Server, "2.8.13", "Describes the commands of this server."),
    command("config", I::Config, -2, Keys::None, Server, "2.0.0", "Tells settings; they cannot be changed."),
    command("dbsize", I::DbSize, 1, Keys::None, Keyspace, "1.0.0", "Returns the number of keys of the table."),
    command("discard", I::Discard, 1, Keys::None, Transactions, "2.0.0", "Forgets the requests since MULTI."),
    command("echo", I::Echo, 2, Keys::None, Connection, "1.0.0", "Returns its argument."),
    command("exec", I::Exec, 1, Keys::None, Transactions, "1.2.0", "Answers the requests since MULTI."),
    command("exists", I::Exists, -2, All, Keyspace, "1.0.0", "Counts those of the keys that exist, repeated ones each time."),
    command("expiretime", I::TimeToLive, 2, First, Keyspace, "7.0.0", "Tells when a key expires: never."),
    command("get", I::Get, 2, First, Strings, "1.0.0", "Returns the value of a key."),
    command("getrange", I::GetRange, 4, First, Strings, "2.4.0", "Returns a part of the value of a key."),
    command("hello", I::Hello, -1, Keys::None, Connection, "6.0.0", "Chooses the version of the protocol."),
    command("info", I::Info, -1, Keys::None, Server, "1.0.0", "Describes the server, its workers and its tables."),
    command("mget", I::Mget, -2, All, Strings, "1.0.0", "Returns the values of several keys."),
    command("multi", I::Multi, 1, Keys::None, Transactions, "1.2.0", "Keeps the requests that follow until EXEC."),
    command("pexpiretime", I::TimeToLive, 2, First, Keyspace, "7.0.0", "Tells when a key expires: never."),
    command("ping", I::Ping, -1, Keys::None, Connection, "1.0.0", "Returns PONG, or its argument."),
    command("pttl", I::TimeToLive, 2, First, Keyspace, "2.6.0", "Tells how long a key has to live: for ever."),
    command("quit", I::Quit, -1, Keys::None, Connection, "1.0.0", "Closes the connection."),
    command("readonly", I::Ok, 1, Keys::None, Connection, "3.0.0", "Does nothing: reading is all there is."),
    command("readwrite", I::Ok, 1, Keys::None, Connection, "3.0.0", "Does nothing: reading is all there is."),
    command("reset", I::Reset, 1, Keys::None, Connection, "6.2.0", "Forgets what this connection has asked for."),
    command("scan", I::Scan, -2, Keys::None, Keyspace, "2.8.0", "Returns some of the keys, and a cursor to go on with."),
    command("select", I::Select, 2, Keys::None, Connection, "1.0.0", "Chooses the table, by its number."),
    command("strlen", I::StrLen, 2, First, Strings, "2.2.0", "Returns the length of the value of a key."),
    command("substr", I::GetRange, 4, First, Strings, "1.0.0", "Returns a part of the value of a key."),
    command("time", I::Time, 1, Keys::None, Server, "2.6.0", "Returns the server's time."),
    command("touch", I::Exists, -2, All, Keyspace, "3.2.1", "Counts those of the keys that exist, repeated ones each time."),
    command("ttl", I::TimeToLive, 2, First, Keyspace, "1.0.0", "Tells how long a key has to live: for ever."),
    command("type", I::Type, 2, First, Keyspace, "1.0.0", "Returns the type of a value: string."),
    command("unwatch", I::Ok, 1, Keys::None, Transactions, "2.2.0", "Does nothing: keys do not change."),
    command("watch", I::Watch, -2, All, Transactions, "2.2.0", "Does nothing: keys do not change."),
];

/// Commands of Redis that change data, by name.
#[rustfmt::skip]
static WRITES: &[&str] = &[
    "append", "bitfield", "bitop", "blmove", "blmpop", "blpop", "brpop", "brpoplpush", "bzmpop",
    "bzpopmax", "bzpopmin", "copy", "decr", "decrby", "del", "delex", "expire", "expireat",
    "flushall", "flushdb", "geoadd", "georadius", "georadiusbymember", "geosearchstore", "getdel",
    "getex", "getset", "hdel", "hexpire", "hexpireat", "hgetdel", "hgetex", "hincrby",
    "hincrbyfloat", "hmset", "hpersist", "hpexpire", "hpexpireat", "hset", "hsetex", "hsetnx",
    "incr", "incrby", "incrbyfloat", "linsert", "lmove", "lmpop", "lpop", "lpush", "lpushx", "lrem",
    "lset", "ltrim", "migrate", "move", "mset", "msetex", "msetnx", "persist", "pexpire",
    "pexpireat", "pfadd", "pfdebug", "pfmerge", "psetex", "rename", "renamenx", "restore",
    "restore-asking", "rpop", "rpoplpush", "rpush", "rpushx", "sadd", "sdiffstore", "set", "setbit",
    "setex", "setnx", "setrange", "sinterstore", "smove", "sort", "spop", "srem", "sunionstore",
    "swapdb", "unlink", "xack", "xackdel", "xadd", "xautoclaim", "xclaim", "xdel", "xdelex",
    "xgroup", "xreadgroup", "xsetid", "xtrim", "zadd", "zdiffstore", "zincrby", "zinterstore",
    "zmpop", "zpopmax", "zpopmin", "zrangestore", "zrem", "zremrangebylex", "zremrangebyrank",
    "zremrangebyscore", "zunionstore",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_can_be_searched() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        assert!(WRITES.is_sorted_by(|a, b| a < b));
        let lower = |name: &str| name.len() <= LONGEST_NAME && name == name.to_ascii_lowercase();
        assert!(COMMANDS.iter().all(|command| lower(command.name)));
        assert!(WRITES.iter().all(|name| lower(name)));
        assert!(
            !COMMANDS
                .iter()
                .any(|command| writes(command.name.as_bytes()))
        );
    }

    #[test]
    fn names_are_found_in_any_case() {
        for command in COMMANDS {
            let found = find(command.name.to_ascii_uppercase().as_bytes()).unwrap();
            assert_eq!(found.name, command.name);
        }
        assert!(writes(b"SeT") && writes(b"zunionstore"));
        assert!(find(b"").is_none() && find(&[b'a'; 1000]).is_none());
        assert!(!writes(b"") && !writes(b"gett") && !writes(b"\xff\xfe"));
    }

    #[test]
    fn counts_arguments() {
        let get = find(b"get").unwrap();
        assert!(get.takes(2) && !get.takes(1) && !get.takes(3));
        let mget = find(b"mget").unwrap();
        assert!(mget.takes(2) && mget.takes(1000) && !mget.takes(1));
    }
}
