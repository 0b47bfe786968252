//! One file for each subcommand.

pub(crate) mod build;
pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod dump;
pub(crate) mod evict;
pub(crate) mod get;
pub(crate) mod lab;
pub(crate) mod load;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod map;
pub(crate) mod probe;
pub(crate) mod region;
pub(crate) mod scan;
pub(crate) mod serve;
pub(crate) mod stat;
pub(crate) mod store;
pub(crate) mod verify;
