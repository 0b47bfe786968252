//! Commands about the connection itself.

use folio::ReadAt;

use super::session::Session;
use super::{Dispatcher, Failure, Next, Outcome, excerpt, integer, ok};
use crate::resp::{Protocol, Reply, Request};

pub(super) fn ping(request: Request<'_>, reply: &mut Reply<'_>) -> Outcome {
    match request.len() {
        1 => reply.simple("PONG"),
        2 => reply.bulk(request.argument(1)),
        _ => return Err(Failure::arguments("ping")),
    }
    Ok(Next::Continue)
}

pub(super) fn echo(request: Request<'_>, reply: &mut Reply<'_>) -> Next {
    reply.bulk(request.argument(1));
    Next::Continue
}

pub(super) fn reset(session: &mut Session, reply: &mut Reply<'_>) -> Next {
    session.reset();
    reply.simple("RESET");
    Next::Continue
}

/// There is no password: what Redis answers then.
pub(super) fn auth(request: Request<'_>, reply: &mut Reply<'_>) -> Outcome {
    match request.len() {
        2 => Err(Failure::new(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        3 => {
            check_user(request.argument(1))?;
            Ok(ok(reply))
        }
        _ => Err(Failure::new("ERR syntax error")),
    }
}

/// The only user is `default`, for whom every password is right.
fn check_user(name: &[u8]) -> Outcome<()> {
    if name == b"default" {
        return Ok(());
    }
    Err(Failure::new(
        "WRONGPASS invalid username-password pair or user is disabled.",
    ))
}

pub(super) fn hello(session: &mut Session, request: Request<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mut protocol = session.protocol;
    let mut name = None;
    if request.len() > 1 {
        let version = integer(request.argument(1)).ok_or_else(|| {
            Failure::new("ERR Protocol version is not an integer or out of range")
        })?;
        protocol = match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Failure::new("NOPROTO unsupported protocol version")),
        };
    }
    let mut options = request.from(2);
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"auth") && options.len() >= 2 {
            check_user(options.next().unwrap_or_default())?;
            options.next();
        } else if option.eq_ignore_ascii_case(b"setname") && options.len() >= 1 {
            name = Some(checked_name(options.next().unwrap_or_default())?);
        } else {
            return Err(Failure::new(format!(
                "ERR Syntax error in HELLO option '{}'",
                excerpt(option)
            )));
        }
    }
    session.protocol = protocol;
    if let Some(name) = name {
        session.name = name;
    }
    reply.protocol = protocol;
    reply.map(7);
    for (field, value) in [("server", "folio"), ("version", env!("CARGO_PKG_VERSION"))] {
        reply.bulk(field);
        reply.bulk(value);
    }
    reply.bulk("proto");
    reply.integer(match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    });
    reply.bulk("id");
    reply.integer(session.id);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(field);
        reply.bulk(value);
    }
    reply.bulk("modules");
    reply.array(0);
    Ok(Next::Continue)
}

/// A name for a connection: it must stay one word in `CLIENT LIST`.
fn checked_name(name: &[u8]) -> Outcome<Box<[u8]>> {
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(name.into());
    }
    Err(Failure::new(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

impl<B: ReadAt> Dispatcher<B> {
    pub(super) fn client(
        &self,
        session: &mut Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let subcommand = request.argument(1).to_ascii_lowercase();
        let arity = match subcommand.as_slice() {
            b"id" | b"getname" | b"info" => 2..=2,
            b"setname" | b"no-evict" | b"no-touch" => 3..=3,
            b"setinfo" => 4..=4,
            b"list" => 2..=usize::MAX,
            _ => {
                return Err(Failure::new(format!(
                    "ERR unknown subcommand '{}'. Try CLIENT HELP.",
                    excerpt(request.argument(1))
                )));
            }
        };
        if !arity.contains(&request.len()) {
            let name = String::from_utf8_lossy(&subcommand);
            return Err(Failure::arguments(&format!("client|{name}")));
        }
        match subcommand.as_slice() {
            b"id" => reply.integer(session.id),
            b"getname" if session.name.is_empty() => reply.null(),
            b"getname" => reply.bulk(&session.name),
            b"setname" => {
                session.name = checked_name(request.argument(2))?;
                ok(reply);
            }
            b"setinfo" => {
                set_info(session, request)?;
                ok(reply);
            }
            // A worker knows its own connections, and tells of the one that asks.
            b"info" | b"list" => reply.text(&self.describe(session)),
            _ => {
                ok(reply);
            }
        }
        Ok(Next::Continue)
    }

    fn describe(&self, session: &Session) -> String {
        let address = match (session.peer, &self.facts.unix) {
            (super::Peer::Unix, Some(path)) => format!("{}:0", path.display()),
            (peer, _) => peer.to_string(),
        };
        let text = String::from_utf8_lossy;
        format!(
            "id={} addr={address} name={} age={} idle=0 flags={} db={} cmd=client user=default \
             resp={} lib-name={} lib-ver={} worker={}\n",
            session.id,
            text(&session.name),
            self.now.saturating_duration_since(session.opened).as_secs(),
            if session.peer == super::Peer::Unix {
                'U'
            } else {
                'N'
            },
            session.database,
            match session.protocol {
                Protocol::Resp2 => 2,
                Protocol::Resp3 => 3,
            },
            text(&session.library_name),
            text(&session.library_version),
            self.facts.worker,
        )
    }
}

fn set_info(session: &mut Session, request: Request<'_>) -> Outcome<()> {
    let attribute = request.argument(2);
    let place = if attribute.eq_ignore_ascii_case(b"lib-name") {
        &mut session.library_name
    } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
        &mut session.library_version
    } else {
        return Err(Failure::new(format!(
            "ERR Unrecognized option '{}'",
            excerpt(attribute)
        )));
    };
    let value = request.argument(3);
    if !value.iter().all(u8::is_ascii_graphic) {
        return Err(Failure::new(format!(
            "ERR {} cannot contain spaces, newlines or special characters.",
            excerpt(attribute).to_ascii_lowercase()
        )));
    }
    *place = value.into();
    Ok(())
}
