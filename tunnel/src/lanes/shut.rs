//! A listening socket that nobody more begins to connect to, while those who have begun are let in.
//!
//! Closing a socket resets who waits in its queue: a caller who has been told that it is connected loses what it said. There is
//! always somebody in the queue while callers come without a pause. So first of all nobody is let into it any more: a filter
//! on the socket drops packets that begin a connection. Their senders repeat them after a second (RFC 6298 §2), find no
//! socket then, and are refused before there was a connection. Whoever had begun before completes it, and is accepted.

use std::io;
use std::os::fd::AsFd;

use socket2::{SockFilter, SockRef};

/// Offset of the flags in a TCP header (RFC 9293 §3.1). A filter of a TCP socket sees packets from there on.
const FLAGS: u32 = 13;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

// Instructions of the classic BPF (linux/filter.h).
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Drops from now on what begins a connection to this listening TCP socket. Sockets accepted from it inherit that, which is
/// nothing to them: no such packet belongs to a connection.
pub(super) fn shut(listener: &impl AsFd) -> io::Result<()> {
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}
