//! Passing descriptors from one process to another (`unix(7)`, `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// Sends a descriptor over a Unix stream socket, with a letter: at least one byte, which
/// it travels with.
///
/// # Errors
///
/// The system's: EPIPE when the peer has gone (no signal is raised), EAGAIN on a
/// socket that does not block. `InvalidInput` without a letter.
pub fn send(socket: impl AsFd, descriptor: BorrowedFd<'_>, letter: &[u8]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if letter.is_empty() || !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut sent = 0;
    while let Some(rest) = letter.get(sent..).filter(|rest| !rest.is_empty()) {
        let message = [IoSlice::new(rest)];
        match rustix::net::sendmsg(&socket, &message, &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(count) => {
                sent += count;
                // It went with the first byte.
                ancillary.clear();
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives what [`send`] sent: fills `letter`, and returns the descriptor, which is
/// closed when this process executes another program.
///
/// No byte behind the letter is taken from the socket. Descriptors beyond the one are closed.
///
/// # Errors
///
/// `UnexpectedEof` when the peer has gone; `InvalidData` when not exactly one
/// descriptor came with the letter's first byte; otherwise the system's.
pub fn receive(socket: impl AsFd, letter: &mut [u8]) -> io::Result<OwnedFd> {
    let mut descriptor = None;
    let mut filled = 0;
    while let Some(rest) = letter.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let (count, mut descriptors, are_all) = receive_some(&socket, rest)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if filled == 0 {
            descriptor = descriptors.pop();
        }
        if descriptor.is_none() || !descriptors.is_empty() || !are_all {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "what came is not one descriptor with its letter",
            ));
        }
        filled += count;
    }
    descriptor.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Some bytes, the descriptors that came with them, and whether those are all that did.
fn receive_some(socket: impl AsFd, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>, bool)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut message = [IoSliceMut::new(buf)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(&socket, &mut message, &mut ancillary, flags) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let are_all = !received.flags.contains(ReturnFlags::CTRUNC);
    Ok((received.bytes, descriptors, are_all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_and_its_letter_arrive_and_nothing_more_is_taken() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        send(&ours, file.as_fd(), b"letter").unwrap();
        ours.write_all(b"after").unwrap();
        let mut letter = [0; 6];
        let received = receive(&theirs, &mut letter).unwrap();
        assert_eq!(&letter, b"letter");
        let mut content = [0; 7];
        std::os::unix::fs::FileExt::read_exact_at(&File::from(received), &mut content, 0).unwrap();
        assert_eq!(&content, b"content");
        let mut after = [0; 5];
        theirs.read_exact(&mut after).unwrap();
        assert_eq!(&after, b"after");
    }

    #[test]
    fn what_is_not_one_descriptor_with_its_letter_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let kind = |run: &dyn Fn(&mut UnixStream)| {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            run(&mut ours);
            drop(ours);
            receive(&theirs, &mut [0; 6]).unwrap_err().kind()
        };
        assert_eq!(kind(&|_| {}), io::ErrorKind::UnexpectedEof);
        assert_eq!(
            kind(&|to| to.write_all(b"letter").unwrap()),
            io::ErrorKind::InvalidData
        );
        // The letter cut short.
        assert_eq!(
            kind(&|to| send(to, file.as_fd(), b"let").unwrap()),
            io::ErrorKind::UnexpectedEof
        );
        // A second descriptor, beside the first or behind it.
        assert_eq!(
            kind(&|to| {
                let many = [file.as_fd(); 20];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(20))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                assert!(ancillary.push(SendAncillaryMessage::ScmRights(&many)));
                let message = [IoSlice::new(b"letter")];
                rustix::net::sendmsg(to, &message, &mut ancillary, SendFlags::empty()).unwrap();
            }),
            io::ErrorKind::InvalidData
        );
        assert_eq!(
            kind(&|to| {
                send(&*to, file.as_fd(), b"let").unwrap();
                send(to, file.as_fd(), b"ter").unwrap();
            }),
            io::ErrorKind::InvalidData
        );
        assert!(send(&file, file.as_fd(), b"no socket").is_err());
    }
}
