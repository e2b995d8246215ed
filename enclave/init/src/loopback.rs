//! The loopback interface, which is all the network that an enclave has.

use std::io;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

use crate::refusal::Refusal;

/// The kernel makes the loopback interface first.
const INTERFACE: i32 = 1;

/// Brings it up.
///
/// # Errors
///
/// `loopback-unavailable`.
pub fn up() -> Result<(), Refusal> {
    set_up().map_err(|error| Refusal::new("loopback-unavailable", error))
}

/// One `RTM_NEWLINK` that sets `IFF_UP`, and its acknowledgement (rtnetlink(7)).
fn set_up() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    const NLMSG_ERROR: u16 = 2;

    let mut request = Vec::with_capacity(32);
    // struct nlmsghdr
    request.extend(32u32.to_ne_bytes());
    request.extend(RTM_NEWLINK.to_ne_bytes());
    request.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    request.extend([0; 8]);
    // struct ifinfomsg
    request.extend([0; 4]);
    request.extend(INTERFACE.to_ne_bytes());
    request.extend(IFF_UP.to_ne_bytes());
    request.extend(IFF_UP.to_ne_bytes());

    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sendto(
        &socket,
        &request,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    let mut answer = [0; 256];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let answer = answer.get(..length).unwrap_or_default();
    let field = |at: usize| {
        answer
            .get(at..at + 4)?
            .try_into()
            .ok()
            .map(i32::from_ne_bytes)
    };
    let kind = answer
        .get(4..6)
        .map(|kind| kind == NLMSG_ERROR.to_ne_bytes());
    match (kind, field(16)) {
        (Some(true), Some(0)) => Ok(()),
        (Some(true), Some(error)) => Err(io::Error::from_raw_os_error(error.wrapping_neg())),
        _ => Err(io::Error::other("the kernel answered something else")),
    }
}
