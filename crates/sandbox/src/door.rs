//! The door of a unit granted [`Network::Door`](crate::Network::Door): one port of an otherwise empty network, at which
//! the harness answers.
//!
//! The helper makes a network of its own, listens in it, and sends the listening socket to the harness before the program
//! starts. A socket stays in the network it was made in, so the harness accepts what the program connects there, and
//! nothing runs in between: no forwarder that could be tricked, no socket file that could be found.

use std::io::{IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::Error;
use crate::zygote::leave_network;

/// The port of the door.
pub const DOOR: u16 = 8421;
/// What goes with the socket; no report begins so.
const MARK: u8 = b'>';

/// Leaves for a network of its own and hands its door to the harness at the other end of `connection`.
pub(crate) fn make(connection: impl AsFd) -> Result<(), Error> {
    if !leave_network()? {
        return Err(Error::Unsupported(
            "this machine lets nobody have a network of its own".into(),
        ));
    }
    raise_loopback().map_err(|errno| Error::io("raise the loopback interface")(errno.into()))?;
    let listener =
        TcpListener::bind(("127.0.0.1", DOOR)).map_err(Error::io("listen at the unit's door"))?;
    let fds = [listener.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let mark = [MARK];
    rustix::net::sendmsg(connection, &[IoSlice::new(&mark)], &mut ancillary, SendFlags::NOSIGNAL)
        .map_err(|errno| Error::io("hand over the unit's door")(errno.into()))?;
    Ok(())
}

/// Brings up `lo`, the first interface of every network: an `RTM_NEWLINK` message, rtnetlink(7).
fn raise_loopback() -> rustix::io::Result<()> {
    const NEWLINK: u16 = 16;
    /// `NLM_F_REQUEST | NLM_F_ACK`.
    const ASK: u16 = 1 | 4;
    const UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    // struct nlmsghdr: length, type, flags, sequence, port.
    message.extend(32_u32.to_ne_bytes());
    message.extend(NEWLINK.to_ne_bytes());
    message.extend(ASK.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    // struct ifinfomsg: family and padding, type, index, flags, which of them to change.
    message.extend([0, 0]);
    message.extend(0_u16.to_ne_bytes());
    message.extend(1_i32.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol zero.
        None,
    )?;
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 1024];
    let (_, length) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    // An NLMSG_ERROR follows its header with a negated error number, zero for success.
    let number = answer[..length]
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match number {
        Some(0) => Ok(()),
        Some(number) => Err(rustix::io::Errno::from_raw_os_error(-number)),
        None => Err(rustix::io::Errno::IO),
    }
}

/// Waits for the door that the helper at the other end makes. What it says instead is in the error.
pub(crate) fn receive(connection: &mut UnixStream) -> Result<TcpListener, Error> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = &mut [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(&*connection, message, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(|errno| Error::io("receive the unit's door")(errno.into()))?;
    let mut rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    });
    let door = rights.next().and_then(|mut fds| fds.next());
    if let (MARK, Some(door)) = (byte[0], door) {
        return Ok(door.into());
    }
    let mut said = vec![byte[0]];
    connection.read_to_end(&mut said).map_err(Error::io("hear why the unit has no door"))?;
    let said = match crate::answered(&said) {
        Ok(report) => format!("{:?}", report.ending),
        Err(_) => String::from_utf8_lossy(&said).trim().to_owned(),
    };
    Err(Error::NoDoor { said })
}
