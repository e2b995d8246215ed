//! The walls around a worker. [`separate`] comes first, while the process has one thread; [`confine`] comes when
//! everything that needs files is done, and before a byte of a model is read.
//!
//! Each wall stands for itself, so that a hole in one leads to the next: an own user id, namespaces without
//! network, processes or files, resource limits, Landlock with no rights at all, and a filter that leaves only the
//! system calls that inference makes. What this kernel or this user cannot put up is missing from the returned
//! [`Isolation`]; whoever started the worker decides whether that will do. Only without `no_new_privs`, resource
//! limits or the filter a worker never runs.

mod seccomp;

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{
    DumpableBehavior, Gid, Resource, Rlimit, Signal, Uid, chdir, chroot, geteuid, getgid, getuid,
    set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::wire::Isolation;

/// What [`confine`] has to know.
#[derive(Debug, Clone, Copy)]
pub struct Confinement {
    /// User and group id to become, where the process is root.
    pub uid: Option<u32>,
    /// Private memory beyond what the process has now, in bytes.
    pub memory_bytes: u64,
    /// Threads that may be started beyond the present one.
    pub threads: u16,
}

/// A wall without which no worker runs could not be put up.
#[derive(Debug, thiserror::Error)]
#[error("{wall}: {source}")]
pub struct SandboxError {
    /// Name of the wall.
    pub wall: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

fn wall<E: Into<io::Error>>(wall: &'static str) -> impl FnOnce(E) -> SandboxError {
    move |source| SandboxError {
        wall,
        source: source.into(),
    }
}

/// Leaves the network, IPC objects and mounts of the rest of the machine; a user namespace makes that possible
/// where the process is not root. The process must have one thread. Call it first of all.
pub fn separate() -> Isolation {
    let mut isolation = Isolation::default();
    if geteuid().is_root() {
        isolation.network_namespace = unshare(CloneFlags::CLONE_NEWNET).is_ok();
        isolation.ipc_namespace = unshare(CloneFlags::CLONE_NEWIPC).is_ok();
        // Whether the root is empty shows when it has been emptied.
        isolation.empty_root = unshare(CloneFlags::CLONE_NEWNS).is_ok();
    } else {
        let (uid, gid) = (getuid(), getgid());
        let all = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWNS;
        if unshare(all).is_ok() {
            isolation.network_namespace = true;
            isolation.ipc_namespace = true;
            isolation.empty_root = map_ids(uid, gid).is_ok();
        }
    }
    isolation
}

/// Puts up every other wall; from here on the process can compute, use the descriptors 0 and 2, and end.
pub fn confine(separated: Isolation, confinement: &Confinement) -> Result<Isolation, SandboxError> {
    let mut isolation = separated;
    one_thread().map_err(wall("single-thread"))?;
    close_descriptors().map_err(wall("descriptors"))?;
    let data = data_bytes().map_err(wall("rlimits"))?;
    // Should the whole enclave run out of memory, a worker ends before the keeper of the keys does.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");

    isolation.empty_root = separated.empty_root && empty_root().is_ok();
    isolation.own_uid = confinement
        .uid
        .is_some_and(|uid| geteuid().is_root() && become_user(uid).is_ok());
    drop_capabilities().map_err(wall("capabilities"))?;
    set_no_new_privs(true).map_err(wall("no-new-privs"))?;
    isolation.no_new_privs = true;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(wall("dumpable"))?;
    // After the change of user, which clears it.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(wall("parent-death"))?;

    isolation.landlock_abi = landlock();
    limit_resources(confinement, isolation.own_uid, data).map_err(wall("rlimits"))?;
    isolation.rlimits = true;
    seccomp::install().map_err(|source| SandboxError {
        wall: "seccomp",
        source: io::Error::other(source),
    })?;
    isolation.seccomp = true;
    Ok(isolation)
}

/// Keeps the ids as they are inside a new user namespace; without a map, nothing can be mounted in it.
fn map_ids(uid: Uid, gid: Gid) -> io::Result<()> {
    let (uid, gid) = (uid.as_raw(), gid.as_raw());
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

/// User, namespaces, capabilities and Landlock belong to a thread: with two threads, one would stay outside.
fn one_thread() -> io::Result<()> {
    match std::fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        threads => Err(io::Error::other(format!(
            "the process already has {threads} threads"
        ))),
    }
}

/// Closes everything but the socket (0) and the diagnostics (2).
fn close_descriptors() -> io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| ![0, 2].contains(descriptor))
        .collect();
    for descriptor in open {
        // The folder's own descriptor is in the list and already closed.
        match nix::unistd::close(descriptor) {
            Ok(()) | Err(nix::errno::Errno::EBADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Bytes of private writable memory, as `RLIMIT_DATA` counts them.
fn data_bytes() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmData:"))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1024))
        .ok_or_else(|| io::Error::other("/proc/self/status has no VmData"))
}

/// Makes an empty, read-only file system the root, mounted over `/proc`, which is certain to be there.
fn empty_root() -> io::Result<()> {
    const COVERED: &str = "/proc";
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", COVERED, "tmpfs", flags, Some(c"size=4k,mode=0555"))?;
    chroot(COVERED)?;
    chdir("/")?;
    Ok(())
}

fn become_user(uid: u32) -> io::Result<()> {
    if uid == 0 {
        return Err(io::Error::other("uid 0 is no user of its own"));
    }
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}

/// Handles every right that this kernel's Landlock knows and grants none; the ABI in force, or 0.
fn landlock() -> u8 {
    const NEWEST: ABI = ABI::V6;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    let Ok(status) = status else { return 0 };
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => effective_abi as u8,
        _ => 0,
    }
}

/// Address space reserved for one thread's stack, which counts as data.
const STACK_BYTES: u64 = 8 << 20;

fn limit_resources(confinement: &Confinement, own_uid: bool, data: u64) -> io::Result<()> {
    let stacks = u64::from(confinement.threads) * STACK_BYTES;
    let memory = data
        .saturating_add(confinement.memory_bytes)
        .saturating_add(stacks);
    limit(Resource::Data, memory)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Memlock, 0)?;
    limit(Resource::Msgqueue, 0)?;
    // Descriptors that are open stay open; new ones do not come.
    limit(Resource::Nofile, 0)?;
    if own_uid {
        // Only an own user's processes are the worker's alone.
        limit(Resource::Nproc, u64::from(confinement.threads) + 1)?;
    }
    Ok(())
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, limit)?;
    Ok(())
}
