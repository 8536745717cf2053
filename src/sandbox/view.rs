//! What every confined program sees of the machine besides the folders of the system.

/// Its work folder where there is a new root. The same for all, so that messages with paths do not differ; not a name that
/// projects lie in, which would stand among the program's own files.
pub(super) const WORK_FOLDER: &str = "/exec";

/// Folders in memory that it may write to, beside nothing else.
pub(super) const WRITABLE: [&str; 3] = [WORK_FOLDER, "/tmp", "/dev/shm"];

/// Devices that it may use.
pub(super) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Files and folders of `/etc` that it may read, where they exist.
pub(super) const SYSTEM_FILES: [&str; 27] = [
    "/etc/alternatives",
    "/etc/bash.bashrc",
    "/etc/ca-certificates",
    "/etc/debian_version",
    "/etc/fonts",
    "/etc/group",
    "/etc/inputrc",
    "/etc/java",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/login.defs",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/perl",
    "/etc/pki",
    "/etc/profile",
    "/etc/protocols",
    "/etc/python3",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// Files that it may read as well if it may use the network.
pub(super) const NETWORK_FILES: [&str; 4] =
    ["/etc/gai.conf", "/etc/host.conf", "/etc/hosts", "/etc/resolv.conf"];

/// Files of `/proc` that it may read where it has no `/proc` of its own.
pub(super) const PROCESS_FILES: [&str; 9] = [
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/kernel",
    "/proc/sys/vm",
    "/proc/uptime",
    "/proc/version",
];
