//! How a server is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Limits, Populate};

/// How many workers, where they listen, and what clients may ask of them.
///
/// ```
/// use folio_server::Config;
/// use std::num::NonZeroUsize;
///
/// let mut config = Config::default();
/// assert_eq!(config.listen, Some("127.0.0.1:7379".parse()?));
/// config.workers = NonZeroUsize::new(4).unwrap();
/// config.listen = Some("127.0.0.1:0".parse()?); // any free port
/// config.unix = Some("/run/folio.sock".into());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How many worker processes; one for each processor that this process may use.
    pub workers: NonZeroUsize,

    /// The TCP address, or `None` for no TCP; 127.0.0.1:7379. Port 0 means any free
    /// port: [`Supervisor::local_addr`](crate::Supervisor::local_addr) tells which.
    pub listen: Option<SocketAddr>,

    /// The path of a Unix socket, or `None`, the default. A socket left there by a
    /// server that is gone is replaced. Who may connect is decided by the
    /// permissions of the path, which come from the umask.
    pub unix: Option<PathBuf>,

    /// What one client may ask of a worker.
    pub limits: Limits,

    /// Whether workers bring the tables into memory before they serve;
    /// [`Populate::IfItFits`].
    pub populate: Populate,

    /// How often the supervisor reports [`Event::Status`](crate::Event::Status);
    /// 1 second.
    pub tick: Duration,

    /// How long workers may take to answer what they have received when the server
    /// is told to stop; 5 seconds. Those that take longer are killed.
    pub drain_timeout: Duration,
}

impl Config {
    /// Where clients connect unless told otherwise: port 7379 of this machine.
    pub const DEFAULT_LISTEN: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7379);
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            listen: Some(Self::DEFAULT_LISTEN),
            unix: None,
            limits: Limits::default(),
            populate: Populate::default(),
            tick: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
