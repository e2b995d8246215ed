//! The first process inside the enclave.
//!
//! Init stands between the kernel and the program. It starts nothing before all of this holds, in this order:
//!
//! | step | module | otherwise |
//! |---|---|---|
//! | the root file system is the measured one, whole | [`rootfs`], [`manifest`] | `rootfs-differs` |
//! | the boot file says what to start | [`boot_file`] | `boot-file-malformed` |
//! | file systems, loopback | [`mounts`], [`loopback`] | `mount-failed`, `loopback-unavailable` |
//! | the secure module has seeded the kernel's randomness | [`randomness`] | `nsm-unavailable`, `rng-not-nsm`, … |
//! | the parent was told that the enclave runs | [`parent`] | a line on the console; see below |
//!
//! Then it starts the program ([`program`]), reaps orphans, and when the program ends, tells the parent how ([`ending`]) and
//! restarts the machine, which with the measured `panic=` and `reboot=` words ends the enclave. There is no second try
//! inside: whoever started the enclave starts another one, whose keys are new.
//!
//! **What the host can say.** Nothing. The kernel hands to its first process, as arguments and environment, every word of
//! its command line that it does not know, and a hypervisor may append to that line. Init reads neither its arguments nor
//! its environment; the program gets an environment and arguments made of the measured `/etc/nacre/boot` alone. Its standard
//! input is empty, because a serial line has two ends. (The C library that init is linked with looks for its own tunables in
//! init's environment before init runs. They tune its memory allocator; none of them makes it run or read anything.) Of the parent's answer to the heartbeat one byte is compared; if
//! it does not come, the enclave goes on all the same: to stop an enclave, a host has shorter ways, and what an enclave
//! answers does not hang on who waits for it.
//!
//! **Ends.** Init has no state to lose: nothing is written to a disk, so nothing is synced. A panic is caught and told as
//! `init-panicked`; were it not, the kernel would panic with its first process, and restart the machine after `panic=`
//! seconds. Every wait for the parent has a deadline (3 s for the last word), so a host that does not read cannot keep an
//! enclave that has ended.

pub mod boot_file;
pub mod ending;
pub mod loopback;
pub mod manifest;
pub mod mounts;
pub mod parent;
pub mod program;
pub mod randomness;
pub mod refusal;
pub mod rootfs;
mod sys;
