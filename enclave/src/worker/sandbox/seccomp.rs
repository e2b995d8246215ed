//! The system calls that inference makes, and no others.

use std::collections::BTreeMap;

use seccompiler::{
    SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Applies the filter to all threads, for good. Any other call fails with `EPERM`.
pub(super) fn install() -> Result<(), seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program = |rules, otherwise, action| -> Result<_, seccompiler::Error> {
        let filter = SeccompFilter::new(rules, otherwise, action, arch)?;
        Ok(seccompiler::BpfProgram::try_from(filter)?)
    };
    // clone3 passes its flags by pointer, out of a filter's sight. Told that it does not exist, glibc falls back to
    // clone. Of two filters the stricter action counts, so this one stands beside the list below.
    let clone3 = program(
        BTreeMap::from([(libc::SYS_clone3, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
    )?;
    let allowed = program(
        allowed()?,
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        SeccompAction::Allow,
    )?;
    apply_filter_all_threads(&clone3)?;
    apply_filter_all_threads(&allowed)
}

/// Calls that are allowed whatever their arguments are.
const ALWAYS: &[i64] = &[
    // The socket and the diagnostics; there are no other descriptors, and no way to one.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory that is there already.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    // Time and chance.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    // Signals to itself, for aborts.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
];

fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<_, _> = ALWAYS.iter().map(|call| (*call, vec![])).collect();
    let no_exec = |argument| clear(argument, libc::PROT_EXEC);

    // Private anonymous memory only, never executable: nothing shared with another process, no code from data.
    let kind = libc::MAP_SHARED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let mmap = vec![
        no_exec(2)?,
        masked(3, kind, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)?,
    ];
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(mmap)?]);
    rules.insert(
        libc::SYS_mprotect,
        vec![SeccompRule::new(vec![no_exec(2)?])?],
    );

    // A thread of this process, exactly as glibc makes one: no new process, no namespaces.
    let thread = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    let clone = Condition::new(0, Len::Qword, Op::Eq, u64::from(thread.cast_unsigned()))?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![clone])?]);

    // abort() signals itself.
    let own = u64::from(std::process::id());
    let tgkill = Condition::new(0, Len::Dword, Op::Eq, own)?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![tgkill])?]);
    Ok(rules)
}

/// `argument & mask == value`.
fn masked(argument: u8, mask: i32, value: i32) -> Result<Condition, seccompiler::BackendError> {
    let mask = u64::from(mask.cast_unsigned());
    Condition::new(
        argument,
        Len::Dword,
        Op::MaskedEq(mask),
        u64::from(value.cast_unsigned()),
    )
}

/// `argument & bits == 0`.
fn clear(argument: u8, bits: i32) -> Result<Condition, seccompiler::BackendError> {
    masked(argument, bits, 0)
}
