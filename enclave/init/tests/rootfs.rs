//! What init makes of a root file system that is, or is not, what its manifest lists.
//!
//! Files must be root's, so these tests need to be run by root.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use nacre_init::manifest::Manifest;
use nacre_init::rootfs::check;
use support::{Tree, is_root};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.folder("usr", 0o755);
    tree.folder("usr/bin", 0o755);
    tree.file("init", b"never listed", 0o755);
    tree.file("usr/bin/program", &[7; 300_000], 0o755);
    tree.file("usr/bin/empty", b"", 0o644);
    tree.link("lib", "usr/lib");
    tree.write_manifest();
    tree
}

/// Checks a tree after `spoil`.
fn spoilt(spoil: impl FnOnce(&Path)) -> Result<(), String> {
    let tree = tree();
    let manifest = Manifest::parse(&fs::read(tree.path("etc/nacre/manifest")).unwrap()).unwrap();
    spoil(tree.root());
    check(tree.root(), &manifest).map_err(|refusal| refusal.to_string())
}

#[test]
fn the_root_file_system_must_be_what_the_manifest_lists() {
    if !is_root() {
        return eprintln!("left out: not root, so the files would not be root's");
    }
    let program = "usr/bin/program";
    assert_eq!(spoilt(|_| ()), Ok(()));
    // As the kernel leaves it: folders of its own, before any ramdisk.
    assert_eq!(
        spoilt(|root| {
            fs::create_dir(root.join("root")).unwrap();
            fs::set_permissions(root.join("root"), fs::Permissions::from_mode(0o700)).unwrap();
        }),
        Ok(())
    );
    let differs = |what: &str, spoil: &dyn Fn(&Path)| {
        assert_eq!(spoilt(spoil), Err(format!("rootfs-differs: {what}")));
    };
    differs(
        "/usr/bin/program has 299999 bytes and not 300000",
        &|root| {
            fs::write(root.join(program), [7; 299_999]).unwrap();
        },
    );
    differs("/usr/bin/program holds other bytes", &|root| {
        let mut bytes = vec![7; 300_000];
        bytes[299_999] = 8;
        fs::write(root.join(program), bytes).unwrap();
    });
    differs("/usr/bin/program is missing", &|root| {
        fs::remove_file(root.join(program)).unwrap();
    });
    differs("/usr/bin/program has mode 4755 and not 0755", &|root| {
        fs::set_permissions(root.join(program), fs::Permissions::from_mode(0o4755)).unwrap();
    });
    differs("/usr/bin has mode 0777 and not 0755", &|root| {
        fs::set_permissions(root.join("usr/bin"), fs::Permissions::from_mode(0o777)).unwrap();
    });
    let kind = "/usr/bin/program is of another kind or another owner";
    differs(kind, &|root| {
        fs::rename(root.join(program), root.join("etc/nacre/away")).unwrap();
        symlink("/etc/nacre/away", root.join(program)).unwrap();
    });
    differs(kind, &|root| {
        std::os::unix::fs::chown(root.join(program), Some(1), Some(1)).unwrap();
    });
    differs("/lib points elsewhere", &|root| {
        fs::remove_file(root.join("lib")).unwrap();
        symlink("usr/bin", root.join("lib")).unwrap();
    });
    for unlisted in ["etc/evil", "usr/bin/evil", "evil"] {
        differs(&format!("/{unlisted} is not in the manifest"), &|root| {
            fs::write(root.join(unlisted), b"").unwrap();
        });
    }
    differs("/evil is not in the manifest", &|root| {
        fs::create_dir(root.join("evil")).unwrap();
    });
    differs("/root is not in the manifest", &|root| {
        fs::write(root.join("root"), b"").unwrap();
    });
}
