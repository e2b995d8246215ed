//! Reads a machine. Nothing is judged here, and nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit, getuid};

use super::machine::{Cache, Debian, Device, Machine, System, Walls};

/// Programs that matter to some check.
const PROGRAMS: [&str; 7] = [
    "apt-get",
    "dpkg-deb",
    "nitro-cli",
    "node",
    "python3",
    "tar",
    "xz",
];
/// Nacre's own, which stand beside this one.
const OWN_PROGRAMS: [&str; 2] = ["nacre-enclave", "nacre-worker"];
const LIBRARY: &str = ".deps/onnxruntime/libonnxruntime.so";
/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Where a machine's files begin, and what the process was given.
pub(super) struct Surroundings {
    pub(super) root: PathBuf,
    pub(super) variables: BTreeMap<String, OsString>,
    /// This program, as seen from within `root`.
    pub(super) program: PathBuf,
}

impl Surroundings {
    /// This machine.
    pub(super) fn here() -> Self {
        let names = [
            "PATH",
            "HOME",
            "XDG_CACHE_HOME",
            "NACRE_CACHE",
            "NACRE_DEBIAN_MIRROR",
            "NACRE_ONNXRUNTIME",
        ];
        let set = |name: &str| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            Some((name.to_owned(), value?))
        };
        Self {
            root: "/".into(),
            variables: names.into_iter().filter_map(set).collect(),
            program: std::env::current_exe().unwrap_or_default(),
        }
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn text(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().to_owned())
    }

    fn number(&self, path: &str) -> u64 {
        let text = self.text(path).unwrap_or_default();
        text.parse().unwrap_or(0)
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        self.variables.get(name).map(PathBuf::from)
    }

    fn device(&self, path: &str) -> Device {
        let path = self.path(path);
        if !path.exists() {
            return Device::Absent;
        }
        match access(&path, Access::READ_OK | Access::WRITE_OK) {
            Ok(()) => Device::Usable,
            Err(_) => Device::Denied,
        }
    }
}

/// Looks at everything that the checks want to know.
pub(super) fn probe(here: &Surroundings) -> Machine {
    Machine {
        system: system(here),
        architecture: here
            .text("/proc/sys/kernel/arch")
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        kernel: here.text("/proc/sys/kernel/osrelease").unwrap_or_default(),
        root: getuid().is_root(),
        ec2: here
            .text("/sys/devices/virtual/dmi/id/sys_vendor")
            .is_some_and(|vendor| vendor == "Amazon EC2"),
        nitro: here.device("/dev/nitro_enclaves"),
        kvm: here.device("/dev/kvm"),
        vsock: here.device("/dev/vsock"),
        cpu_pool: here.text("/sys/module/nitro_enclaves/parameters/ne_cpus"),
        huge_free: huge_free(here),
        memory_available: memory_available(here),
        programs: programs(here),
        debian: debian(here),
        cache: cache(here),
        walls: walls(here),
        // No limit is the most.
        open_files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        listening: listening(here),
        not_built: OWN_PROGRAMS
            .into_iter()
            .filter(|name| !here.path(here.program.with_file_name(name)).is_file())
            .collect(),
        onnxruntime: onnxruntime(here),
    }
}

fn system(here: &Surroundings) -> System {
    let text = here.text("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.split_once('='));
        let value = values.find(|(key, _)| *key == name).map(|(_, value)| value);
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    let like = field("ID_LIKE");
    match field("ID").as_str() {
        "debian" => System::Debian,
        "amzn" if field("VERSION_ID") == "2" => System::Amazon2,
        "amzn" => System::Amazon,
        "ubuntu" => System::Ubuntu,
        _ if like.split(' ').any(|id| id == "debian" || id == "ubuntu") => System::Ubuntu,
        _ => System::Other,
    }
}

fn huge_free(here: &Surroundings) -> u64 {
    let sizes = [
        ("hugepages-2048kB", 2 << 20),
        ("hugepages-1048576kB", 1 << 30),
    ];
    let free = sizes.map(|(size, bytes)| {
        let pages = here.number(&format!("/sys/kernel/mm/hugepages/{size}/free_hugepages"));
        pages.saturating_mul(bytes)
    });
    free.iter()
        .fold(0, |sum: u64, bytes| sum.saturating_add(*bytes))
}

fn memory_available(here: &Surroundings) -> u64 {
    let text = here.text("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn programs(here: &Surroundings) -> BTreeSet<&'static str> {
    let path = here.variables.get("PATH").cloned().unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found = |name: &&str| {
        let mut files = folders.iter().map(|folder| here.path(folder.join(name)));
        files.any(|file| file.is_file() && access(&file, Access::EXEC_OK).is_ok())
    };
    PROGRAMS.into_iter().filter(found).collect()
}

fn debian(here: &Surroundings) -> Debian {
    let keyring = |ending| {
        here.exists(&format!(
            "/usr/share/keyrings/debian-archive-keyring.{ending}"
        ))
    };
    let of_apt = system(here) == System::Debian
        && (here.exists("/etc/apt/sources.list") || here.exists("/etc/apt/sources.list.d"));
    Debian {
        apt_helper: here.exists("/usr/lib/apt/apt-helper"),
        keyring: keyring("gpg") || keyring("pgp"),
        mirror: of_apt || here.variables.contains_key("NACRE_DEBIAN_MIRROR"),
    }
}

/// Entries of the cache are folders whose names begin with what they are.
fn cache(here: &Surroundings) -> Cache {
    let folder = here
        .variable("NACRE_CACHE")
        .or_else(|| Some(here.variable("XDG_CACHE_HOME")?.join("nacre")))
        .or_else(|| Some(here.variable("HOME")?.join(".cache/nacre")));
    let entries = folder.iter().flat_map(|folder| {
        let entries = std::fs::read_dir(here.path(folder)).into_iter().flatten();
        entries.flatten().filter(|entry| entry.path().is_dir())
    });
    let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    let has = |kind: &str| {
        let mut names = names.iter().map(|name| name.to_string_lossy());
        names.any(|name| name.starts_with(kind))
    };
    Cache {
        free: folder
            .as_ref()
            .map_or(0, |folder| free_space(&here.path(folder))),
        qemu: has("qemu-"),
        kernel: has("kernel-"),
        folder,
    }
}

/// Free bytes where a folder is, or would be made.
fn free_space(folder: &Path) -> u64 {
    let there = folder.ancestors().find(|folder| folder.exists());
    let space = there.and_then(|folder| statvfs(folder).ok());
    space.map_or(0, |space| space.f_bavail.saturating_mul(space.f_frsize))
}

fn walls(here: &Surroundings) -> Walls {
    let not = |path: &str, value: &str| here.text(path).is_none_or(|text| text != value);
    let modules = here.text("/sys/kernel/security/lsm");
    Walls {
        user_namespaces: here.number("/proc/sys/user/max_user_namespaces") > 0
            && not("/proc/sys/kernel/unprivileged_userns_clone", "0")
            && not(
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                "1",
            ),
        landlock: modules.map(|modules| modules.split(',').any(|module| module == "landlock")),
        seccomp: here.exists("/proc/sys/kernel/seccomp/actions_avail"),
    }
}

/// Ports in state LISTEN, proc_net_tcp(5): the second field is address and port in hexadecimal, the fourth the state.
fn listening(here: &Surroundings) -> BTreeSet<u16> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| here.text(path).unwrap_or_default());
    let port = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().take(4).collect();
        let [_, address, _, LISTEN] = fields[..] else {
            return None;
        };
        u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok()
    };
    tables
        .iter()
        .flat_map(|table| table.lines().filter_map(port))
        .collect()
}

/// As `nacre dev` looks for it: named by the environment, or where `make setup` puts it.
fn onnxruntime(here: &Surroundings) -> Option<PathBuf> {
    let above = here
        .program
        .ancestors()
        .skip(1)
        .map(|folder| folder.join(LIBRARY));
    let mut candidates = here.variable("NACRE_ONNXRUNTIME").into_iter().chain(above);
    candidates.find(|file| here.path(file).is_file())
}
