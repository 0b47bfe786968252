//! Sockets that clients connect to, made once and inherited by every worker.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, sockopt};

use crate::{Error, Result};

/// Connections that may wait to be accepted, at one socket. The system may lower it.
const BACKLOG: i32 = 1024;

/// TCP sockets that listen on one address, one for each worker.
///
/// On Linux they share the address by `SO_REUSEPORT`: the kernel spreads connections
/// over them by a hash, and wakes one worker for each. The supervisor keeps them all
/// open, so that the connections in the queue of a worker that died wait for its
/// replacement instead of being reset. Elsewhere that option spreads nothing, and
/// all workers share one socket.
#[derive(Debug)]
pub(crate) struct TcpSockets {
    sockets: Vec<TcpListener>,
    address: SocketAddr,
}

impl TcpSockets {
    /// Listens on `address`, with a socket for each of so many workers.
    pub(crate) fn bind(address: SocketAddr, workers: usize) -> Result<Self> {
        let failed = |error: io::Error| Error::listen(&address, error);
        let first = tcp_socket(address).map_err(failed)?;
        // The first is bound without SO_REUSEPORT. Were it bound with it, a second
        // server of the same user would get the address as well, silently, and half
        // of the connections.
        rustix::net::bind(&first, &address).map_err(|error| failed(error.into()))?;
        let mut sockets = vec![TcpListener::from(first)];
        let address = sockets
            .first()
            .map_or(Ok(address), TcpListener::local_addr)
            .map_err(failed)?;
        if cfg!(target_os = "linux") {
            for socket in &sockets {
                sockopt::set_socket_reuseport(socket, true)
                    .map_err(|error| failed(error.into()))?;
            }
            for _ in 1..workers {
                sockets.push(another(address).map_err(failed)?);
            }
        }
        for socket in &sockets {
            rustix::net::listen(socket, BACKLOG).map_err(|error| failed(error.into()))?;
        }
        Ok(Self { sockets, address })
    }

    /// Where they listen, with the port that was picked.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket of one worker; the others are closed in this process.
    pub(crate) fn into_socket(mut self, worker: usize) -> Option<TcpListener> {
        let index = worker.checked_rem(self.sockets.len())?;
        Some(self.sockets.swap_remove(index))
    }
}

/// One more socket on an address that was bound.
fn another(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tcp_socket(address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}

fn tcp_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = stream_socket(family)?;
    // An address whose last connections are in TIME_WAIT is free.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

/// A socket that does not block and that no program executed later inherits.
fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// A listening Unix socket, whose path goes away with it.
///
/// One socket is enough for all workers: connections are short of nothing that
/// spreading them in the kernel would save, and paths cannot be shared by several.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: what was made here, and not what others put in its place.
    identity: (u64, u64),
    /// Who made it. Its children have it too, and they leave the path alone.
    owner: u32,
}

impl UnixSocket {
    /// Listens at `path`, in place of a socket that a dead server left there.
    ///
    /// Two servers that start at the same moment at one path may both find the old
    /// socket dead; then the last to bind has the path.
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        let failed = |error| Error::listen_at(path, error);
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                UnixListener::bind(path).map_err(failed)?
            }
            bound => bound.map_err(failed)?,
        };
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            identity: identity(path).map_err(failed)?,
            listener,
            path: path.to_owned(),
            owner: std::process::id(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The socket again, for a worker to own.
    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let ours = identity(&self.path).is_ok_and(|found| found == self.identity);
        if ours && self.owner == std::process::id() {
            // Who removed it meanwhile has done what was to be done.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Removes the socket of a server that is gone, and nothing else.
fn remove_stale(path: &Path) -> Result<()> {
    let failed = |error| Error::listen_at(path, error);
    let found = std::fs::symlink_metadata(path).map_err(failed)?;
    if !found.file_type().is_socket() {
        return Err(Error::NotASocket {
            path: path.to_owned(),
        });
    }
    let probe = stream_socket(AddressFamily::UNIX).map_err(failed)?;
    let address = SocketAddrUnix::new(path).map_err(|error| failed(error.into()))?;
    match rustix::net::connect(&probe, &address) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(failed),
        // Connected, or its queue is full: somebody has it open.
        Ok(()) | Err(Errno::AGAIN) => Err(failed(Errno::ADDRINUSE.into())),
        Err(error) => Err(failed(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    fn localhost() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn workers_share_one_port() {
        let sockets = TcpSockets::bind(localhost(), 4).unwrap();
        let ports: Vec<_> = sockets
            .sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap().port())
            .collect();
        assert!(ports.iter().all(|&port| port == sockets.address().port()));
        if cfg!(target_os = "linux") {
            assert_eq!(ports.len(), 4);
        }
    }

    #[test]
    fn connections_are_spread() {
        let sockets = TcpSockets::bind(localhost(), 2).unwrap();
        let clients: Vec<_> = (0..64)
            .map(|_| TcpStream::connect(sockets.address()).unwrap())
            .collect();
        let accepted: Vec<_> = sockets
            .sockets
            .iter()
            .map(|socket| std::iter::from_fn(|| socket.accept().ok()).count())
            .collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        // A hash that sends 64 connections to one of two sockets would be no hash.
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn an_address_has_one_server() {
        let sockets = TcpSockets::bind(localhost(), 2).unwrap();
        for workers in [1, 2] {
            let error = TcpSockets::bind(sockets.address(), workers).unwrap_err();
            assert!(matches!(error, Error::AddressInUse { .. }), "{error}");
            assert!(error.to_string().contains("address in use"), "{error}");
        }
        let address = sockets.address();
        drop(sockets);
        TcpSockets::bind(address, 2).unwrap();
    }

    #[test]
    fn a_foreign_address_is_another_error() {
        let error = TcpSockets::bind("192.0.2.1:0".parse().unwrap(), 1).unwrap_err();
        assert!(matches!(error, Error::Listen { .. }), "{error:?}");
    }

    #[test]
    fn each_worker_has_a_socket() {
        for worker in 0..5 {
            let sockets = TcpSockets::bind(localhost(), 2).unwrap();
            assert!(sockets.into_socket(worker).is_some());
        }
    }

    #[test]
    fn a_unix_socket_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = UnixSocket::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        let error = UnixSocket::bind(&path).unwrap_err();
        assert!(matches!(error, Error::AddressInUse { .. }), "{error}");
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_unix_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        UnixSocket::bind(&path).unwrap();
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "precious").unwrap();
        let error = UnixSocket::bind(&path).unwrap_err();
        assert!(matches!(error, Error::NotASocket { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn what_others_put_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = UnixSocket::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        drop(socket);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
