//! What a caller says before there is anybody to say it to.

use std::io;

use nacre_transport::Stream;

use super::load::{Load, Pools};

/// Bytes of it at most: a ClientHello.
const MOST: usize = 4096;

/// What a caller said first, to be carried before all else.
#[derive(Debug)]
pub struct First<'a> {
    pub(super) load: Load<'a>,
    pub(super) read: usize,
    pub(super) written: usize,
}

impl<'a> First<'a> {
    /// Nothing was read yet.
    pub fn nothing(pools: &'a Pools) -> Self {
        Self {
            load: Load::new(pools),
            read: 0,
            written: 0,
        }
    }

    /// Reads what is there already, without waiting. An error: the caller is gone.
    pub fn read(pools: &'a Pools, caller: &Stream) -> io::Result<Self> {
        let mut first = Self::nothing(pools);
        first.read = first.load.fill_now(caller, MOST)?;
        Ok(first)
    }

    /// What is still to be written.
    pub fn bytes(&self) -> &[u8] {
        self.load.loaded()
    }

    /// So many of these bytes were written.
    pub fn written(&mut self, bytes: usize) {
        self.load.unload(bytes);
        self.written += bytes;
    }

    /// It will be a while until it can be written: until then it takes no more memory than it needs.
    pub fn wait(&mut self) {
        self.load.shrink();
    }
}
