//! The host's side of the [`World`]: what it reads, and how its socket moves.

use super::{Checked, World, byte, check};

impl World {
    pub(super) fn host_reads(&mut self, count: usize) -> Checked {
        let Some(connection) = self.table.get(self.token) else {
            return Ok(());
        };
        let mut left = count;
        while left > 0 && !self.host.ends_reading {
            let bytes = connection.for_host(0);
            let bytes = &bytes[..bytes.len().min(left)];
            if bytes.is_empty() {
                break;
            }
            check(!self.host.saw_end, "the host gets bytes after the end")?;
            for found in bytes {
                check(
                    *found == byte(self.host.came),
                    "the host gets other bytes than were sent",
                )?;
                self.host.came += 1;
            }
            left -= bytes.len();
            let taken = bytes.len();
            connection.host_took(taken);
        }
        Ok(())
    }

    /// The device learns from the host's socket what there is to be learnt.
    pub(super) fn host_moves(&mut self) {
        let Some(connection) = self.table.get(self.token) else {
            return;
        };
        if self.host.ends_reading {
            connection.host_deaf();
        }
        if !connection.is_open() {
            return;
        }
        let waiting = self.host.wrote - self.host.passed;
        let wanted = u32::try_from(connection.wanted_of_host()).unwrap_or(u32::MAX);
        let count = waiting.min(wanted);
        if count > 0 {
            let bytes: Vec<u8> = (0..count)
                .map(|place| byte(self.host.passed + place))
                .collect();
            connection.host_bytes(0, &bytes);
            self.host.passed += count;
        }
        let read_all = self.host.passed == self.host.wrote;
        if self.host.ends_writing && (read_all && wanted > count || connection.host_read_ends()) {
            if self.host.breaks_off {
                connection.host_broke_off();
            } else {
                connection.host_finished();
            }
        }
    }
}
