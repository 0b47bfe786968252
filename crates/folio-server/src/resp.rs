//! The Redis serialization protocol, versions 2 and 3, from the server's side.
//!
//! Nothing here knows of commands: [`request`] turns bytes into arguments,
//! [`reply`] turns values into bytes.

pub(crate) mod inline;
pub(crate) mod read;
pub(crate) mod reply;
pub(crate) mod request;

pub(crate) use read::{Question, Read};
pub(crate) use reply::{Protocol, Reply};
pub(crate) use request::{Parsed, Parser, Request};
