//! Files as memory.
mod error;
mod read_at;

pub use error::{Error, Result};
pub use read_at::ReadAt;
