//! The guest's serial console.
//!
//! A real enclave has one in debug mode only. Here its bytes are thrown away unless they are asked for, and never kept;
//! only whether the kernel has panicked is noticed, for the machine's end does not tell.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

const PANIC: &[u8] = b"Kernel panic - not syncing";

/// Reads the console until it ends; `show` gets what can be shown of it.
pub(super) fn follow(mut console: impl Read, mut show: Option<impl Write>, panicked: &AtomicBool) {
    let mut buffer = [0; 4096];
    let mut matched = 0;
    loop {
        let bytes = match console.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => &mut buffer[..length],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        for byte in bytes.iter_mut() {
            // No byte of the pattern's first comes again in it, so a mismatch begins anew.
            matched = match *byte {
                byte if byte == PANIC[matched] => matched + 1,
                byte => usize::from(byte == PANIC[0]),
            };
            if matched == PANIC.len() {
                panicked.store(true, Ordering::Relaxed);
                matched = 0;
            }
            if !matches!(byte, b'\n' | b'\r' | b'\t' | b' '..=b'~') {
                // A guest shall not give orders to the terminal.
                *byte = b'?';
            }
        }
        if let Some(out) = &mut show {
            // Somebody who no longer reads must not hold up the guest.
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_noticed_and_control_sequences_are_not_passed_on() {
        let panicked = AtomicBool::new(false);
        let mut shown = Vec::new();
        follow(&b"KKernel panic \x1b[2J\n"[..], Some(&mut shown), &panicked);
        assert!(!panicked.load(Ordering::Relaxed));
        assert_eq!(shown, b"KKernel panic ?[2J\n");
        let text = b"[ 1.2] KKernel panic - not syncing: No working init";
        follow(&text[..], None::<Vec<u8>>, &panicked);
        assert!(panicked.load(Ordering::Relaxed));
    }
}
