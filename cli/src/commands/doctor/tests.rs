//! Machines made of files, and what the doctor says of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::check::{self, Mode, Status};
use super::machine::{Device, Machine, System};
use super::probe::{Surroundings, probe};
use super::report::Report;

const UBUNTU: &str = "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n";
const DEBIAN: &str = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID=\"12\"\n";
const AMAZON: &str = "ID=\"amzn\"\nVERSION_ID=\"2023\"\nID_LIKE=\"fedora\"\n";

/// A folder that stands for a machine.
struct Files {
    root: TempDir,
    variables: BTreeMap<String, OsString>,
}

impl Files {
    /// An x86-64 machine with memory, a recent kernel and nothing installed.
    fn bare(os_release: &str) -> Self {
        let variables = [("PATH", "/usr/local/bin:/usr/bin"), ("HOME", "/home/u")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.into()));
        let files = Self {
            root: tempfile::tempdir().unwrap(),
            variables: variables.into(),
        };
        files
            .with("/etc/os-release", os_release)
            .with("/proc/sys/kernel/arch", "x86_64\n")
            .with("/proc/sys/kernel/osrelease", "6.8.0-1012-aws\n")
            .with(
                "/proc/meminfo",
                "MemTotal: 16000000 kB\nMemAvailable:    8000000 kB\n",
            )
            .with("/proc/sys/user/max_user_namespaces", "63000\n")
            .with(
                "/sys/kernel/security/lsm",
                "lockdown,capability,landlock,yama",
            )
            .with("/proc/sys/kernel/seccomp/actions_avail", "kill_process")
    }

    fn with(self, path: &str, text: &str) -> Self {
        let file = self.root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        self
    }

    fn with_programs(mut self, names: &[&str]) -> Self {
        for name in names {
            let path = format!("/usr/bin/{name}");
            self = self.with(&path, "");
            let file = self.root.path().join(path.trim_start_matches('/'));
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        self
    }

    /// Everything that fetches Debian packages.
    fn with_apt(self) -> Self {
        self.with_programs(&["apt-get", "dpkg-deb", "tar", "xz"])
            .with("/usr/lib/apt/apt-helper", "")
            .with("/etc/apt/sources.list", "")
    }

    fn with_nacre(self) -> Self {
        self.with("/opt/nacre/bin/nacre-enclave", "")
            .with("/opt/nacre/bin/nacre-worker", "")
            .with("/opt/nacre/.deps/onnxruntime/libonnxruntime.so", "")
    }

    fn probe(&self) -> Machine {
        let surroundings = Surroundings {
            root: self.root.path().to_owned(),
            variables: self.variables.clone(),
            program: "/opt/nacre/bin/nacre".into(),
        };
        let machine = probe(&surroundings);
        // These are of the process that runs the test.
        Machine {
            root: false,
            open_files: 1 << 20,
            ..machine
        }
    }

    fn report(&self) -> Report {
        Report::of(check::all(&self.probe()))
    }
}

fn missing(report: &Report, mode: Mode) -> Vec<&'static str> {
    report.modes[&mode].missing.clone()
}

fn status(report: &Report, code: &str) -> Status {
    find(report, code).status
}

fn fix<'a>(report: &'a Report, code: &str) -> &'a str {
    find(report, code).fix.as_deref().unwrap_or_default()
}

fn find<'a>(report: &'a Report, code: &str) -> &'a check::Check {
    let mut of_code = report.checks.iter().filter(|check| check.code == code);
    let found = of_code.next().unwrap_or_else(|| panic!("no check {code}"));
    assert_eq!(of_code.next(), None, "a code stands for one check");
    found
}

#[test]
fn an_instance_with_enclaves_runs_them() {
    let machine = Files::bare(AMAZON)
        .with("/sys/devices/virtual/dmi/id/sys_vendor", "Amazon EC2\n")
        .with("/dev/nitro_enclaves", "")
        .with("/dev/vsock", "")
        .with("/sys/module/nitro_enclaves/parameters/ne_cpus", "2,6\n")
        .with(
            "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
            "512\n",
        )
        .with_programs(&["nitro-cli"]);
    let report = machine.report();
    assert_eq!(missing(&report, Mode::Nitro), [""; 0]);
    assert!(report.works(None) && report.works(Some(Mode::Nitro)));
    // Amazon Linux has no apt: the emulator's QEMU is not to be had, and images come from elsewhere.
    assert!(!report.works(Some(Mode::Emulator)));
    assert_eq!(status(&report, "qemu"), Status::Missing);
    assert_eq!(status(&report, "kernel"), Status::Degraded);
    assert_eq!(fix(&report, "python3"), "sudo dnf install -y python3");
}

#[test]
fn an_instance_without_its_pool_is_told_how_to_fill_it() {
    let machine = Files::bare(AMAZON)
        .with("/sys/devices/virtual/dmi/id/sys_vendor", "Amazon EC2\n")
        .with("/dev/nitro_enclaves", "")
        .with("/sys/module/nitro_enclaves/parameters/ne_cpus", "\n")
        .with(
            "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
            "255\n",
        );
    let report = machine.report();
    let wanted = ["nitro-cpu-pool", "nitro-hugepages", "vsock"];
    assert_eq!(missing(&report, Mode::Nitro), wanted);
    for code in ["nitro-cpu-pool", "nitro-hugepages"] {
        assert!(fix(&report, code).contains("nitro-enclaves-allocator.service"));
    }
    assert_eq!(
        fix(&report, "nitro-cli"),
        "sudo dnf install -y aws-nitro-enclaves-cli"
    );
    assert_eq!(
        fix(&report, "vsock"),
        "sudo modprobe vmw_vsock_virtio_transport"
    );
}

#[test]
fn a_device_that_is_another_groups_is_told_apart_from_none() {
    let report = |change: fn(&mut Machine)| {
        let mut machine = Files::bare(AMAZON).probe();
        change(&mut machine);
        Report::of(check::all(&machine))
    };
    let denied = report(|machine| machine.nitro = Device::Denied);
    assert!(fix(&denied, "nitro-device").starts_with("sudo usermod -aG ne "));
    let unloaded = report(|machine| machine.ec2 = true);
    assert!(fix(&unloaded, "nitro-device").starts_with("sudo modprobe nitro_enclaves"));
    let elsewhere = report(|_| ());
    assert!(fix(&elsewhere, "nitro-device").contains("--enclave-options Enabled=true"));
    let denied = report(|machine| machine.kvm = Device::Denied);
    assert_eq!(status(&denied, "kvm"), Status::Degraded);
    assert!(fix(&denied, "kvm").starts_with("sudo usermod -aG kvm "));
}

#[test]
fn a_bare_ubuntu_lacks_debians_keys_and_then_a_mirror() {
    let without_keys = Files::bare(UBUNTU).with_apt();
    let report = without_keys.report();
    assert_eq!(missing(&report, Mode::Emulator), ["qemu"]);
    assert_eq!(
        fix(&report, "qemu"),
        "sudo apt-get install -y debian-archive-keyring"
    );
    let with_keys = without_keys.with("/usr/share/keyrings/debian-archive-keyring.gpg", "");
    let report = with_keys.report();
    assert!(fix(&report, "qemu").starts_with("export NACRE_DEBIAN_MIRROR="));
    let mut with_mirror = with_keys;
    let mirror = (
        "NACRE_DEBIAN_MIRROR".to_owned(),
        "http://mirror.example/debian".into(),
    );
    with_mirror.variables.extend([mirror]);
    let report = with_mirror.report();
    assert!(report.works(Some(Mode::Emulator)), "{}", report.text());
    assert_eq!(status(&report, "qemu"), Status::Ok);
}

#[test]
fn a_debian_container_without_kvm_emulates_slowly() {
    let machine = Files::bare(DEBIAN)
        .with_apt()
        .with("/usr/share/keyrings/debian-archive-keyring.pgp", "")
        .with_nacre();
    let report = machine.report();
    assert!(report.works(Some(Mode::Emulator)), "{}", report.text());
    assert!(report.works(Some(Mode::Process)), "{}", report.text());
    assert!(!report.works(Some(Mode::Nitro)));
    assert_eq!(status(&report, "kvm"), Status::Degraded);
    let with_kvm = machine.with("/dev/kvm", "").report();
    assert_eq!(status(&with_kvm, "kvm"), Status::Ok);
}

#[test]
fn what_is_in_the_cache_needs_no_tools() {
    let machine = Files::bare(AMAZON)
        .with("/home/u/.cache/nacre/qemu-0123/usr/bin/qemu", "")
        .with("/home/u/.cache/nacre/kernel-0123/bzImage", "")
        .with("/home/u/.cache/nacre/kernel.lock", "");
    let report = machine.report();
    assert_eq!(find(&report, "qemu").found, "in the cache");
    assert_eq!(find(&report, "kernel").found, "in the cache");
    assert!(report.works(Some(Mode::Emulator)), "{}", report.text());
    let locks_alone = Files::bare(AMAZON)
        .with("/home/u/.cache/nacre/kernel.lock", "")
        .with("/home/u/.cache/nacre/unfinished-qemu/x", "");
    assert_eq!(status(&locks_alone.report(), "qemu"), Status::Missing);
}

#[test]
fn space_is_judged_by_what_has_still_to_be_built() {
    let report = |free: u64, built: bool| {
        let mut machine = Files::bare(DEBIAN).probe();
        machine.cache.free = free;
        (machine.cache.qemu, machine.cache.kernel) = (built, built);
        status(&Report::of(check::all(&machine)), "cache-space")
    };
    assert_eq!(report(7 << 30, false), Status::Ok);
    assert_eq!(report(1 << 30, false), Status::Degraded);
    assert_eq!(report(1 << 30, true), Status::Ok);
    assert_eq!(report(1 << 20, true), Status::Missing);
    let mut homeless = Files::bare(DEBIAN);
    homeless.variables.remove("HOME");
    assert!(fix(&homeless.report(), "cache-space").starts_with("export NACRE_CACHE="));
}

#[test]
fn process_mode_needs_its_programs_and_runs_without_walls() {
    let report = Files::bare(UBUNTU).report();
    assert_eq!(
        missing(&report, Mode::Process),
        ["enclave-programs", "onnxruntime"]
    );
    assert_eq!(fix(&report, "enclave-programs"), "make build");
    let open = Files::bare(UBUNTU)
        .with_nacre()
        .with(
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1\n",
        )
        .with("/sys/kernel/security/lsm", "capability,apparmor");
    fs::remove_dir_all(open.root.path().join("proc/sys/kernel/seccomp")).unwrap();
    let report = open.report();
    assert!(report.works(Some(Mode::Process)));
    for code in ["user-namespaces", "landlock", "seccomp", "python3", "node"] {
        assert_eq!(status(&report, code), Status::Degraded, "{code}");
        assert!(!fix(&report, code).is_empty(), "{code}");
    }
    assert!(fix(&report, "user-namespaces").contains("apparmor_restrict_unprivileged_userns=0"));
}

#[test]
fn an_old_or_foreign_machine_is_no_place_for_it() {
    let old = Files::bare(DEBIAN)
        .with_nacre()
        .with("/proc/sys/kernel/osrelease", "5.10.0-30\n");
    let report = old.report();
    assert_eq!(missing(&report, Mode::Process), ["linux"]);
    assert_eq!(fix(&report, "linux"), "sudo apt-get dist-upgrade");
    let arm = Files::bare(DEBIAN)
        .with_nacre()
        .with("/proc/sys/kernel/arch", "aarch64\n");
    let report = arm.report();
    assert!(!report.works(None), "{}", report.text());
    let poor = Files::bare(DEBIAN)
        .with_nacre()
        .with("/proc/meminfo", "MemAvailable: 500000 kB\n");
    assert_eq!(missing(&poor.report(), Mode::Process), ["memory"]);
}

#[test]
fn ports_that_are_taken_are_named() {
    const TABLE: &str = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:1DB0 00000000:0000 0A 00000000:00000000\n   1: 0100007F:1DB1 0100007F:9999 01 00000000:00000000\n";
    let machine = Files::bare(DEBIAN).with("/proc/net/tcp", TABLE);
    let report = machine.report();
    assert_eq!(find(&report, "ports").found, "somebody listens on 7600");
    assert!(fix(&report, "ports").contains("--listen 127.0.0.1:0"));
}

#[test]
fn few_open_files_are_few_connections() {
    let report = |limit: u64| {
        let mut machine = Files::bare(DEBIAN).probe();
        machine.open_files = limit;
        status(&Report::of(check::all(&machine)), "open-files")
    };
    assert_eq!(report(u64::MAX), Status::Ok);
    assert_eq!(report(4096), Status::Degraded);
    assert_eq!(report(256), Status::Missing);
}

#[test]
fn systems_are_told_by_their_own_words() {
    for (text, system) in [
        (DEBIAN, System::Debian),
        (UBUNTU, System::Ubuntu),
        ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", System::Ubuntu),
        (AMAZON, System::Amazon),
        ("ID=\"amzn\"\nVERSION_ID=\"2\"\n", System::Amazon2),
        ("ID=arch\n", System::Other),
        ("", System::Other),
    ] {
        assert_eq!(Files::bare(text).probe().system, system, "{text:?}");
    }
}

#[test]
fn whatever_is_not_ok_comes_with_a_command_that_names_no_mirror() {
    let files = Files::bare("")
        .with("/proc/sys/kernel/arch", "riscv64")
        .with("/proc/meminfo", "");
    let machine = files.probe();
    for system in [
        System::Debian,
        System::Ubuntu,
        System::Amazon,
        System::Amazon2,
        System::Other,
    ] {
        for root in [false, true] {
            let machine = Machine {
                system,
                root,
                ..machine.clone()
            };
            let report = Report::of(check::all(&machine));
            for check in &report.checks {
                let fix = check.fix.as_deref();
                assert_eq!(fix.is_some(), check.status != Status::Ok, "{}", check.code);
                let fix = fix.unwrap_or_default();
                assert!(!fix.contains("://"), "{fix}");
                assert!(!root || !fix.contains("sudo "), "{fix}");
                assert!(
                    !check.modes.is_empty() && !check.found.is_empty(),
                    "{}",
                    check.code
                );
            }
        }
    }
}

#[test]
fn the_report_says_the_same_in_text_and_in_json() {
    let report = Files::bare(DEBIAN).with_nacre().report();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["modes"]["process"]["works"], true);
    assert_eq!(json["modes"]["nitro"]["works"], false);
    let qemu = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["code"] == "qemu");
    assert_eq!(qemu.unwrap()["status"], "missing");
    let text = report.text();
    assert!(
        text.starts_with("nitro     does not work; missing: nitro-device"),
        "{text}"
    );
    assert!(text.contains("\nprocess   works"), "{text}");
    for check in &report.checks {
        assert!(text.contains(check.code) && text.contains(&check.found));
    }
}

#[test]
fn this_machine_can_be_looked_at() {
    let machine = probe(&Surroundings::here());
    assert_eq!(machine.architecture, std::env::consts::ARCH);
    assert!(machine.memory_available > 0 && Path::new("/proc").exists());
}
