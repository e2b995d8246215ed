use super::libraries::needed;
use super::*;

#[test]
fn the_loader_and_the_libraries_are_read() {
    let printed = "  INTERP         0x000318 0x1 R   0x1\n\
        \x20     [Requesting program interpreter: /lib64/ld-linux-x86-64.so.2]\n\
        \x200x0000000000000001 (NEEDED)             Shared library: [libgcc_s.so.1]\n\
        \x200x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n\
        \x200x000000000000000e (SONAME)             Library soname: [libx.so]\n";
    assert_eq!(
        needed(printed),
        ["ld-linux-x86-64.so.2", "libgcc_s.so.1", "libc.so.6"]
    );
}

#[test]
fn the_manifest_lists_every_file_folder_and_link_in_order() {
    let mut plan = Plan::default();
    plan.file("/usr/bin/tool", 0o755, Content::Bytes(b"hello".to_vec()));
    plan.link("/lib64/loader", "/lib/loader");
    assert_eq!(
        plan.manifest().unwrap(),
        "dir 0755 /dev\n\
         dir 0755 /lib64\n\
         link /lib/loader /lib64/loader\n\
         dir 0755 /proc\n\
         dir 0755 /run\n\
         dir 0755 /sys\n\
         dir 1777 /tmp\n\
         dir 0755 /usr\n\
         dir 0755 /usr/bin\n\
         2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 0755 5 /usr/bin/tool\n"
    );
}

#[test]
fn nothing_but_lines_that_init_knows_is_in_the_boot_file() {
    for line in boot_file().lines().filter(|line| !line.starts_with('#')) {
        let word = line.split(' ').next().unwrap();
        assert!(
            ["program", "argument", "environment", "limit", "heartbeat"].contains(&word),
            "{line}"
        );
    }
}
