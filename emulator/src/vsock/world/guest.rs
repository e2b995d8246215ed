//! The guest's side of the [`World`]: what it writes, reads and says, and what it finds in the packets that come.

use super::{Broken, Checked, GUEST_CID, GUEST_PORT, Guest, WINDOW, World, byte, check};
use crate::vsock::packet::{
    Header, Op, SHUTDOWN_BOTH, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, TYPE_STREAM,
};
use crate::vsock::table::PARENT_CID;

impl World {
    pub(super) fn guest_writes(&mut self, count: u32) {
        let ended = self.guest.said & SHUTDOWN_SEND != 0 || self.guest.told & SHUTDOWN_RECEIVE != 0;
        let count = count.min(self.guest_room());
        if ended || count == 0 {
            return;
        }
        let bytes: Vec<u8> = (0..count)
            .map(|place| byte(self.guest.wrote + place))
            .collect();
        self.guest.wrote += count;
        self.send(Op::Data, &bytes);
    }

    pub(super) fn guest_room(&self) -> u32 {
        let on_the_way = self.guest.wrote.wrapping_sub(self.guest.taken_by_host);
        self.guest.window_of_host.saturating_sub(on_the_way)
    }

    pub(super) fn guest_reads(&mut self, count: u32) {
        let unread = self.guest.came - self.guest.read;
        if unread > 0 && count > 0 {
            self.guest.read += count.min(unread);
            self.send(Op::CreditUpdate, &[]);
        }
    }

    pub(super) fn guest_says(&mut self, flags: u32) {
        self.guest.said |= flags;
        self.send(Op::Shutdown, &[]);
    }

    pub(super) fn guest_receives(&mut self, header: &Header, payload: &[u8]) -> Checked {
        self.guest.window_of_host = header.buffer;
        self.guest.taken_by_host = header.forwarded;
        if self.guest.gone || (self.guest.closed && header.op != Ok(Op::Reset)) {
            // Linux, once closed, waits for nothing but the reset.
            return Ok(());
        }
        match header.op {
            Ok(Op::Request) => {
                self.guest.open = true;
                self.send(Op::Response, &[]);
                self.settle()
            }
            Ok(Op::Response) => {
                check(!self.guest.open, "two answers to one question")?;
                self.guest.open = true;
                Ok(())
            }
            Ok(Op::Data) => self.guest_gets(payload),
            Ok(Op::Shutdown) => {
                let news = header.flags & !self.guest.told;
                check(news != 0, "an end is said twice")?;
                check(self.guest.told & !header.flags == 0, "an end is taken back")?;
                self.guest.told = header.flags;
                if self.guest.told == SHUTDOWN_BOTH && self.guest.read == self.guest.came {
                    self.guest.gone = true;
                    self.guest.closed = true;
                    self.send(Op::Reset, &[]);
                }
                Ok(())
            }
            Ok(Op::CreditRequest) => {
                self.send(Op::CreditUpdate, &[]);
                Ok(())
            }
            Ok(Op::CreditUpdate) => Ok(()),
            Ok(Op::Reset) | Err(_) => Err(Broken("a packet that makes no sense")),
        }
    }

    pub(super) fn guest_gets(&mut self, payload: &[u8]) -> Checked {
        check(self.guest.open, "bytes before the connection is open")?;
        check(
            self.guest.told & SHUTDOWN_SEND == 0,
            "the guest gets bytes after the end",
        )?;
        check(!payload.is_empty(), "a packet of no bytes")?;
        for found in payload {
            check(
                *found == byte(self.guest.came),
                "the guest gets other bytes than were sent",
            )?;
            self.guest.came += 1;
        }
        let unread = self.guest.came - self.guest.read;
        check(unread <= WINDOW, "the guest gets more than it has room for")
    }
}

impl Guest {
    pub(super) fn packet(&self, host_port: u32, op: Op) -> Header {
        Header {
            source_cid: GUEST_CID,
            destination_cid: PARENT_CID,
            source_port: GUEST_PORT,
            destination_port: host_port,
            length: 0,
            kind: TYPE_STREAM,
            op: Ok(op),
            flags: 0,
            buffer: WINDOW,
            forwarded: self.read,
        }
    }
}
