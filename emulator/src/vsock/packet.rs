//! The header of a vsock packet, as virtio 1.2 §5.10.6 puts it on the wire.

use crate::vsock::Key;

/// Bytes of a header. All numbers are little-endian.
pub const HEADER_LEN: usize = 44;
/// The only kind of socket that a Nitro enclave's device carries: `VIRTIO_VSOCK_TYPE_STREAM`.
pub const TYPE_STREAM: u16 = 1;
/// The most payload one packet carries. Linux cuts at the same length.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// `VIRTIO_VSOCK_SHUTDOWN_RCV`: the sender takes no more bytes.
pub const SHUTDOWN_RECEIVE: u32 = 1;
/// `VIRTIO_VSOCK_SHUTDOWN_SEND`: the sender gives no more bytes.
pub const SHUTDOWN_SEND: u32 = 2;
/// Both halves.
pub const SHUTDOWN_BOTH: u32 = SHUTDOWN_RECEIVE | SHUTDOWN_SEND;

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A connection is asked for.
    Request,
    /// It is granted.
    Response,
    /// There is no such connection, or no longer.
    Reset,
    /// One or both halves end; [`Header::flags`] says which.
    Shutdown,
    /// Bytes.
    Data,
    /// How many bytes the sender would take.
    CreditUpdate,
    /// The sender wants a [`Op::CreditUpdate`].
    CreditRequest,
}

impl Op {
    const fn number(self) -> u16 {
        match self {
            Self::Request => 1,
            Self::Response => 2,
            Self::Reset => 3,
            Self::Shutdown => 4,
            Self::Data => 5,
            Self::CreditUpdate => 6,
            Self::CreditRequest => 7,
        }
    }

    const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Reset,
            4 => Self::Shutdown,
            5 => Self::Data,
            6 => Self::CreditUpdate,
            7 => Self::CreditRequest,
            _ => return None,
        })
    }
}

/// A packet without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who sends.
    pub source_cid: u64,
    /// Whom it is for.
    pub destination_cid: u64,
    /// The sender's port.
    pub source_port: u32,
    /// The receiver's port.
    pub destination_port: u32,
    /// Bytes of payload that follow.
    pub length: u32,
    /// [`TYPE_STREAM`], from those who keep to the rules.
    pub kind: u16,
    /// [`Op`], or a number that means nothing.
    pub op: Result<Op, u16>,
    /// Of a [`Op::Shutdown`]: which halves.
    pub flags: u32,
    /// How many bytes the sender has room for, of those that are on their way or unread.
    pub buffer: u32,
    /// How many bytes of this connection the sender's reader has taken so far, modulo 2³².
    pub forwarded: u32,
}

impl Header {
    /// A packet from the host to the guest, with nothing in it yet.
    #[must_use]
    pub fn to_guest(key: Key, guest_cid: u64, op: Op) -> Self {
        Self {
            source_cid: key.host_cid,
            destination_cid: guest_cid,
            source_port: key.host_port,
            destination_port: key.guest_port,
            length: 0,
            kind: TYPE_STREAM,
            op: Ok(op),
            flags: 0,
            buffer: 0,
            forwarded: 0,
        }
    }

    /// The connection that a packet of the guest belongs to.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            host_cid: self.destination_cid,
            host_port: self.destination_port,
            guest_port: self.source_port,
        }
    }

    /// The answer to a packet that belongs to no connection.
    #[must_use]
    pub fn reset(&self) -> Self {
        Self {
            // Of an unknown kind of socket, the guest's own kind goes back: it looks for its socket by it.
            kind: self.kind,
            ..Self::to_guest(self.key(), self.source_cid, Op::Reset)
        }
    }

    /// Reads a header. Every 44 bytes are one; whether it makes sense is the reader's business.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let mut reader = Reader(bytes);
        let number;
        Self {
            source_cid: reader.u64(),
            destination_cid: reader.u64(),
            source_port: reader.u32(),
            destination_port: reader.u32(),
            length: reader.u32(),
            kind: reader.u16(),
            op: {
                number = reader.u16();
                Op::from_number(number).ok_or(number)
            },
            flags: reader.u32(),
            buffer: reader.u32(),
            forwarded: reader.u32(),
        }
    }

    /// Writes a header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let op = self.op.map_or_else(|unknown| unknown, Op::number);
        bytes[0..8].copy_from_slice(&self.source_cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.destination_cid.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.source_port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.destination_port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&op.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.buffer.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.forwarded.to_le_bytes());
        bytes
    }
}

/// Takes numbers off the front of a header.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        // The fields' lengths add up to the header's.
        let (head, tail) = self.0.split_first_chunk::<N>().unwrap_or((&[0; N], &[]));
        self.0 = tail;
        *head
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_is_where_the_specification_puts_it() {
        let header = Header {
            source_cid: 3,
            destination_cid: 0x0102_0304_0506_0708,
            source_port: 9000,
            destination_port: 0x0a0b_0c0d,
            length: 5,
            kind: TYPE_STREAM,
            op: Ok(Op::Shutdown),
            flags: SHUTDOWN_SEND,
            buffer: 0x0004_0000,
            forwarded: 0xffff_fffe,
        };
        let expected = "0300000000000000 0807060504030201 28230000 0d0c0b0a 05000000 0100 0400 02000000 00000400 feffffff";
        assert_eq!(hex::encode(header.encode()), expected.replace(' ', ""));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_and_come_back_as_they_were(bytes in proptest::array::uniform32(any::<u8>()), rest in proptest::array::uniform12(any::<u8>())) {
            let mut whole = [0; HEADER_LEN];
            whole[..32].copy_from_slice(&bytes);
            whole[32..].copy_from_slice(&rest);
            prop_assert_eq!(Header::decode(&whole).encode(), whole);
        }
    }
}
