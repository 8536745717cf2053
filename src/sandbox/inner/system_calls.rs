//! Which system calls the program may make, by seccomp.
//!
//! A list of what is refused, since runtimes use too many calls to list those they need. Refused calls fail rather than
//! kill: libraries probe what they may do, such as whether there is IPv6, and go on without it.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

use crate::sandbox::job::{Job, Place};

/// Calls that act on other processes, on the machine, or on parts of the kernel that few programs need and that have
/// had many holes.
const REFUSED: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    // Its queues are those of the whole machine.
    libc::SYS_io_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    // Queues and shared memory of System V and POSIX belong to no process, so that nothing counts or frees them.
    libc::SYS_mq_open,
    libc::SYS_msgget,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_semget,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_shmget,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_kexec_file_load,
];

/// Calls that are said not to exist. Libraries then use an older call whose arguments can be checked.
///
/// Files in memory without a name count for no process until they are mapped; those in the work folder are counted.
const ABSENT: &[c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
];

/// Flags of `clone` that make namespaces.
const NAMESPACES: c_long = (libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS) as c_long;

/// The mark of calls in the x32 convention, of which a kernel may know a second number for each.
#[cfg(target_arch = "x86_64")]
const X32: c_long = 0x4000_0000;
/// Refused calls whose number in the x32 convention is another: `ptrace`, `process_vm_readv` and `_writev`,
/// `kexec_load`.
#[cfg(target_arch = "x86_64")]
const X32_REFUSED: [c_long; 4] = [X32 + 521, X32 + 539, X32 + 540, X32 + 528];

/// Calls that change what landlock knows nothing of: rights, owners, times and attributes of files. Refused where the
/// program is the user whose files it could reach by them.
const ATTRIBUTES: &[c_long] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_setxattr,
    SETXATTRAT,
    REMOVEXATTRAT,
    libc::SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
];

/// Calls that are newer than the table of the library; their numbers are the same everywhere.
const FCHMODAT2: c_long = 452;
const SETXATTRAT: c_long = 463;
const REMOVEXATTRAT: c_long = 466;
const OPEN_TREE_ATTR: c_long = 467;

type SystemCallRules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Restricts this thread and all that it starts. Calls of another architecture than ours kill.
pub(super) fn restrict(job: &Job) -> Result<(), String> {
    let failed = |error: String| format!("cannot restrict system calls: {error}");
    let is_owner = job.place == Place::Plain && job.uid.is_none();
    let filters = filters(job.network, job.place, is_owner).map_err(|error| failed(error.to_string()))?;
    for filter in filters {
        apply_filter(&filter).map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

/// The filters of a program; `is_owner` if it runs as a user who owns files elsewhere.
fn filters(
    network: bool,
    place: Place,
    is_owner: bool,
) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let mut refused = refused()?;
    if is_owner {
        refused.extend(ATTRIBUTES.iter().map(|call| (*call, Vec::new())));
    }
    let filters = [
        (refused, libc::EPERM),
        (ABSENT.iter().map(|call| (*call, Vec::new())).collect(), libc::ENOSYS),
        // Not `EPERM`: the message then says that the network is down, by which the outcome is recognized.
        (sockets(network, place)?, libc::ENETDOWN),
    ];
    filters.into_iter().map(|(rules, error)| compile(rules, error)).collect()
}

fn compile(mut rules: SystemCallRules, error: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    #[cfg(target_arch = "x86_64")]
    rules.extend(rules.clone().into_iter().map(|(call, rules)| (call | X32, rules)));
    let arch = std::env::consts::ARCH.try_into()?;
    let action = SeccompAction::Errno(error.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, action, arch)?.try_into()
}

fn refused() -> Result<SystemCallRules, seccompiler::BackendError> {
    let mut rules: SystemCallRules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend(X32_REFUSED.map(|call| (call, Vec::new())));
    let flag_rules =
        (0..c_long::BITS).map(|bit| 1 << bit).filter(|flag| NAMESPACES & flag != 0).map(|flag| {
            let flag = flag as u64;
            SeccompRule::new(vec![SeccompCondition::new(0, Length::Qword, Compare::MaskedEq(flag), flag)?])
        });
    rules.insert(libc::SYS_clone, flag_rules.collect::<Result<_, _>>()?);
    // The limits of another process, such as ours, which watches; one's own are process 0.
    rules.insert(libc::SYS_prlimit64, vec![argument(0, Compare::Ne, 0)?]);
    // Typing into a terminal that is not the program's.
    let terminal = [libc::TIOCSTI, 0x541C];
    let terminal = terminal.map(|request| argument(1, Compare::Eq, request));
    rules.insert(libc::SYS_ioctl, terminal.into_iter().collect::<Result<_, _>>()?);
    Ok(rules)
}

/// Sockets to other machines, to the kernel and to its host. A socket within the machine has no way out of the sandbox if
/// there is a new root; else it could be one to a service with a socket in a folder, of which landlock knows nothing.
fn sockets(network: bool, place: Place) -> Result<SystemCallRules, seccompiler::BackendError> {
    let mut allowed = Vec::new();
    if place != Place::Plain {
        allowed.push(libc::AF_UNIX);
    }
    if network {
        allowed.extend([libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK]);
    }
    let pairs = other_families(&[libc::AF_UNIX])?;
    Ok(BTreeMap::from([(libc::SYS_socket, other_families(&allowed)?), (libc::SYS_socketpair, pairs)]))
}

/// Rules for all families of sockets but these.
fn other_families(allowed: &[i32]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let conditions: Result<Vec<_>, _> = allowed
        .iter()
        .map(|family| SeccompCondition::new(0, Length::Dword, Compare::Ne, *family as u64))
        .collect();
    match conditions? {
        // No rule is a rule for all.
        conditions if conditions.is_empty() => Ok(Vec::new()),
        conditions => Ok(vec![SeccompRule::new(conditions)?]),
    }
}

fn argument(index: u8, compare: Compare, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(index, Length::Dword, compare, value)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_are_compiled() {
        let cases =
            [(false, Place::Plain), (true, Place::Plain), (false, Place::Prepared), (true, Place::Prepared)];
        for (network, place) in cases {
            let filters = filters(network, place, network).unwrap();
            assert!(filters.iter().all(|filter| filter.len() > 5 && filter.len() < 2000));
        }
    }
}
