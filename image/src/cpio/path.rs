//! Paths in an archive.

use crate::cpio::error::CpioError;

/// The longest path and the longest target of a link, bytes: Linux's `PATH_MAX` less its zero byte.
pub(crate) const MAX_PATH: usize = 4095;

/// The absolute path that a name in an archive means to the kernel: `etc/x`, `./etc/x` and `/etc/x` are `/etc/x`, and
/// `.` is `/`. A folder's may end with a slash.
pub(crate) fn absolute(name: &str, is_folder: bool) -> Result<String, CpioError> {
    let refused = || CpioError::Path(name.to_owned());
    let relative = name.strip_prefix("./").unwrap_or(name);
    let relative = relative.strip_prefix('/').unwrap_or(relative);
    let relative = match relative.strip_suffix('/') {
        Some(stripped) if is_folder => stripped,
        _ => relative,
    };
    if relative.is_empty() || relative == "." {
        return if is_folder {
            Ok("/".to_owned())
        } else {
            Err(refused())
        };
    }
    match relative.split('/').all(is_plain) {
        true => Ok(format!("/{relative}")),
        false => Err(refused()),
    }
}

/// Checks a path of a tree: `/`, or `/a/b` without `.`, `..` or a second slash.
pub(crate) fn check(path: &str) -> Result<(), CpioError> {
    let plain = path.strip_prefix('/');
    let plain = plain.is_some_and(|rest| rest.is_empty() || rest.split('/').all(is_plain));
    match plain && path.len() <= MAX_PATH && !path.contains('\0') && path != TRAILER_PATH {
        true => Ok(()),
        false => Err(CpioError::Path(path.to_owned())),
    }
}

/// The folder that a path is in; none for `/`.
pub(crate) fn parent(path: &str) -> Option<&str> {
    let (parent, name) = path.rsplit_once('/')?;
    match (parent.is_empty(), name.is_empty()) {
        (true, true) => None,
        (true, false) => Some("/"),
        (false, _) => Some(parent),
    }
}

fn is_plain(component: &str) -> bool {
    !matches!(component, "" | "." | "..")
}

/// The name of the entry that ends an archive.
pub(crate) const TRAILER: &str = "TRAILER!!!";
const TRAILER_PATH: &str = "/TRAILER!!!";
